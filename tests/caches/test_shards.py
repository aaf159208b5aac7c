"""Sentinels and clusters: what happens to keys when a primary is lost."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from imgproxy.caches.base import TierDown
from imgproxy.caches.connecting import connect
from imgproxy.caches.leases import Leases
from imgproxy.caches.redis import RedisTier
from tests.caches.entries import a_key, an_entry
from tests.parts import Sentinels, redis_cluster, redis_sentinels, redis_server, wait_for

KEYS = [a_key(number) for number in range(60)]


@asynccontextmanager
async def tier_at(url, limit=0.05):
    # Not slow, ever: these are about servers that are lost, and this machine may be busy.
    shards = connect(url, timeout=limit, slow=None)
    try:
        yield RedisTier(shards, max_value_size=1 << 20), shards
    finally:
        await shards.aclose()


async def put(tier, key, body=b"picture"):
    """Put it, however busy this machine is."""
    for _ in range(200):
        try:
            return await tier.put(key, an_entry(body), 600)
        except TierDown:
            await asyncio.sleep(0.05)
    raise TimeoutError


async def answers(tier, key):
    """Whether it answers, and the seconds that takes. Nothing else than `TierDown` may be raised."""
    started = time.monotonic()
    try:
        await tier.get(key)
    except TierDown:
        return False, time.monotonic() - started
    return True, time.monotonic() - started


async def seconds_until(tier, key):
    started = time.monotonic()
    while not (await answers(tier, key))[0]:
        await asyncio.sleep(0.02)
        assert time.monotonic() - started < 30
    return time.monotonic() - started


def mine(cluster, server):
    """The keys that a server has, and those that others have."""
    have = {key for key in KEYS if cluster.primary_of(f"imgproxy:1:r:{key}") is server}
    return sorted(have), sorted(set(KEYS) - have)


async def test_a_cluster_is_a_tier():
    with redis_cluster() as cluster:
        async with tier_at(cluster.url, limit=5) as (tier, shards):
            for number, key in enumerate(KEYS):
                await tier.put(key, an_entry(str(number).encode(), tags=("odd" if number % 2 else "even",)), 60)
            got = [await tier.get(key) for key in KEYS]
            assert [entry and entry.rendition.body for entry in got] == [str(number).encode() for number in range(60)]
            assert len(await shards.all()) == 3
            assert await tier.drop("odd") == 30
            assert await tier.drop("odd") == 0
            assert await tier.drop_prefix("https://other") == 0
            assert await tier.get(KEYS[0])
            await tier.put(KEYS[1], an_entry(), 60)
            assert await tier.drop_prefix("https://pictures.") == 1
            assert await tier.drop_all() == 30
            assert [server.cli("KEYS", "*") for server in cluster.servers] == ["", "", ""]
            leases = Leases(shards)
            tokens = [await leases.acquire(key) or "" for key in KEYS]
            assert all(tokens)
            assert await leases.release(KEYS[0], tokens[0])


async def test_a_cluster_s_lost_primary_costs_its_own_keys_only():
    with redis_cluster() as cluster:
        async with tier_at(cluster.url) as (tier, _):
            for key in KEYS:
                await put(tier, key)
            for trouble in (cluster.servers[0].hang, cluster.servers[0].kill):
                trouble()
                lost, kept = mine(cluster, cluster.servers[0])
                outcomes = []
                for _ in range(20):
                    outcomes += await asyncio.gather(*(answers(tier, key) for key in (*kept[:8], *lost[:4])))
                good = [ok for index, (ok, _) in enumerate(outcomes) if index % 12 < 8]
                # A busy machine may be late for some.
                assert sum(good) > 0.8 * len(good)
                assert not any(ok for index, (ok, _) in enumerate(outcomes) if index % 12 >= 8)
                assert sum(seconds for _, seconds in outcomes) / len(outcomes) < 0.03
                assert (await tier.drop_all()) > 0 or trouble == cluster.servers[0].kill


async def test_a_cluster_s_replica_takes_over():
    with redis_cluster(replicas=1) as cluster:
        async with tier_at(cluster.url) as (tier, shards):
            for key in KEYS:
                await put(tier, key)
            for server in cluster.servers[:3]:
                server.cli("WAIT", "1", "1000")
            victim = cluster.servers[1]
            lost, _ = mine(cluster, victim)
            victim.kill()
            replica = cluster.servers[4]
            await asyncio.to_thread(wait_for, lambda: "role:master" in replica.cli("INFO", "replication"))
            assert await seconds_until(tier, lost[0]) <= 1.5
            assert all([(await answers(tier, key))[0] for key in lost])
            assert await tier.get(lost[0]) is not None
            assert len(await shards.all()) == 3


async def test_a_slot_that_has_moved_is_followed():
    with redis_cluster() as cluster:
        async with tier_at(cluster.url, limit=5) as (tier, _):
            source, target = cluster.servers[0], cluster.servers[1]
            key = mine(cluster, source)[0][0]
            slot = source.cli("CLUSTER", "KEYSLOT", f"imgproxy:1:r:{key}")
            await tier.put(key, an_entry(), 60)
            target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", source.cli("CLUSTER", "MYID"))
            source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", target.cli("CLUSTER", "MYID"))
            assert await tier.get(key) == an_entry()
            source.cli("MIGRATE", "127.0.0.1", str(target.port), f"imgproxy:1:r:{key}", "0", "5000")
            with pytest.raises(TierDown, match="on the move"):
                await tier.get(key)
            for server in (target, source, cluster.servers[2]):
                server.cli("CLUSTER", "SETSLOT", slot, "NODE", target.cli("CLUSTER", "MYID"))
            assert await tier.get(key) == an_entry()


async def test_a_cluster_that_is_not_there():
    with redis_cluster() as cluster:
        for server in cluster.servers:
            server.kill()
        async with tier_at(cluster.url) as (tier, _):
            taken = [await answers(tier, KEYS[0]) for _ in range(20)]
            assert not any(ok for ok, _ in taken)
            assert sum(seconds for _, seconds in taken) / 20 < 0.1


async def test_a_server_that_is_no_cluster_is_down():
    with redis_server() as server:
        async with tier_at(f"redis+cluster://127.0.0.1:{server.port}") as (tier, _):
            assert not (await answers(tier, KEYS[0]))[0]


@pytest.fixture(scope="module")
def sentinels():
    with redis_sentinels() as sentinels:
        yield sentinels


async def test_sentinels_name_the_primary(sentinels: Sentinels):
    async with tier_at(sentinels.url, limit=5) as (tier, _):
        await tier.put(KEYS[0], an_entry(), 60)
        assert await tier.get(KEYS[0]) == an_entry()
        assert sentinels.primary.cli("EXISTS", f"imgproxy:1:r:{KEYS[0]}") == "1"


async def test_a_sentinel_that_hangs_is_passed_over(sentinels: Sentinels):
    sentinels.sentinels[0].hang()
    try:
        async with tier_at(sentinels.url, limit=0.2) as (tier, _):
            await seconds_until(tier, KEYS[0])
            assert [(await answers(tier, KEYS[0]))[0] for _ in range(10)].count(True) >= 9
    finally:
        sentinels.sentinels[0].go_on()


async def test_a_failover_by_sentinels():
    """Row 5. What the Sentinels themselves need is not ours: a second from when they name another primary."""
    with redis_sentinels() as sentinels:
        async with tier_at(sentinels.url) as (tier, _):
            await put(tier, KEYS[0])
            old = sentinels.primary
            old.cli("WAIT", "1", "1000")
            replica = next(server for server in sentinels.servers if server is not old)
            old.kill()
            promoted = asyncio.ensure_future(asyncio.to_thread(wait_for, lambda: sentinels.primary is replica))
            taken = []
            while not promoted.done():
                taken.append((await answers(tier, KEYS[0]))[1])
                await asyncio.sleep(0.01)
            assert sorted(taken)[len(taken) // 2] < 0.01
            named = time.monotonic()
            await seconds_until(tier, KEYS[0])
            assert time.monotonic() - named <= 1.5
            assert await tier.get(KEYS[0]) == an_entry()
            await put(tier, KEYS[1])
