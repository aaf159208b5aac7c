import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from imgproxy.caches.base import TierDown, source_id
from imgproxy.caches.connecting import connect
from imgproxy.caches.redis import RedisTier
from imgproxy.formats import RESULTS
from tests.caches.entries import a_key, an_entry, entries
from tests.parts import redis_server
from tests.toxic import toxic

MB = 1 << 20
KEY = a_key()


@asynccontextmanager
async def tier_at(
    url,
    *,
    limit=0.05,
    slow: float | None = 0.02,
    max_value_size=4 * MB,
    on_damage=None,
):
    """A tier as the app makes it, and what it goes through."""
    shards = connect(url, timeout=limit, slow=slow)
    try:
        yield RedisTier(shards, max_value_size=max_value_size, on_damage=on_damage), shards
    finally:
        await shards.aclose()


@pytest.fixture(scope="module")
def server():
    with redis_server() as server:
        yield server


@pytest.fixture
async def tier(server):
    """A tier that is patient, for what is not about time; empty."""
    server.cli("FLUSHALL")
    async with tier_at(server.url, limit=5, slow=None) as (tier, _):
        yield tier


# The contract of a tier.


@pytest.mark.parametrize("format_", RESULTS.values(), ids=lambda format_: format_.name)
async def test_an_entry_comes_back_as_it_was_put(tier, format_):
    entry = an_entry(bytes(range(256)) * 100)
    entry = replace(entry, rendition=replace(entry.rendition, format=format_))
    await tier.put(a_key(), entry, 60)
    assert await tier.get(a_key()) == entry


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(entry=entries)
async def test_any_entry_comes_back_as_it_was_put(tier, entry):
    await tier.put(a_key(), entry, 60)
    assert await tier.get(a_key()) == entry


async def test_what_was_never_put_is_not_there(tier):
    assert await tier.get(a_key()) is None


async def test_what_is_too_big_is_not_kept(server):
    async with tier_at(server.url, limit=5, slow=None, max_value_size=1000) as (tier, _):
        await tier.put(a_key(1), an_entry(bytes(1001)), 60)
        await tier.put(a_key(2), an_entry(bytes(990)), 60)  # too big with all that is known of it
        await tier.put(a_key(3), an_entry(bytes(10)), 60)
        assert [await tier.get(a_key(number)) is not None for number in (1, 2, 3)] == [False, False, True]
        # Nor does what it would have replaced stay in its place: nobody would ever learn that it is old.
        await tier.put(a_key(3), an_entry(bytes(1001)), 60)
        assert await tier.get(a_key(3)) is None


async def test_megabytes_come_back(tier):
    entry = an_entry(bytes(3 * MB))
    await tier.put(a_key(), entry, 60)
    assert await tier.get(a_key()) == entry


async def test_it_expires(tier, server):
    await tier.put(a_key(1), an_entry(), 0.05)
    await tier.put(a_key(2), an_entry(), 60)
    await tier.put(a_key(3), an_entry(), 0)
    await tier.put(a_key(4), an_entry(), float("inf"))
    while await tier.get(a_key(1)):
        pass
    assert await tier.get(a_key(2))
    assert not await tier.get(a_key(3))
    assert await tier.get(a_key(4))
    assert 59_000 < int(server.cli("PTTL", f"imgproxy:1:r:{a_key(2)}")) <= 60_000


async def test_everything_in_redis_is_under_one_prefix_and_expires(tier, server):
    await tier.put(a_key(1), an_entry(), 60)
    await tier.put(a_key(2), an_entry(), 600)
    await tier.put(a_key(3), an_entry(), 6)
    lives = {key: int(server.cli("TTL", key)) for key in server.cli("KEYS", "*").split()}
    assert sorted(lives) == [
        *sorted(f"imgproxy:1:r:{a_key(number)}" for number in (1, 2, 3)),
        "imgproxy:1:t:host-pictures.example.com",
        f"imgproxy:1:t:source-{source_id(an_entry().provenance.url)}",
        f"imgproxy:1:u:{source_id(an_entry().provenance.url)}",
    ]
    index = [life for key, life in lives.items() if ":r:" not in key]
    assert all(590 < life <= 600 for life in index)


async def test_a_tag_forgets_what_has_expired(tier, server):
    await tier.put(a_key(1), an_entry(), 0.02)
    while await tier.get(a_key(1)):
        pass
    await tier.put(a_key(2), an_entry(), 60)
    assert server.cli("ZCARD", "imgproxy:1:t:host-pictures.example.com") == "1"


async def test_one_is_removed(tier):
    await tier.put(a_key(1), an_entry(), 60)
    await tier.put(a_key(2), an_entry(), 60)
    await tier.remove(a_key(1))
    await tier.remove(a_key(3))
    assert await tier.get(a_key(1)) is None
    assert await tier.get(a_key(2)) == an_entry()


# Purges.


async def test_drop_by_tag_counts_what_went(tier):
    for number in range(5):
        await tier.put(a_key(number), an_entry(tags=("even" if number % 2 == 0 else "odd", "all")), 60)
    assert await tier.drop("even") == 3
    assert [await tier.get(a_key(number)) is not None for number in range(5)] == [False, True, False, True, False]
    assert await tier.drop("even") == 0
    assert await tier.drop("all") == 2
    assert await tier.drop("never heard of") == 0


async def test_drop_does_not_count_what_had_expired(tier, server):
    await tier.put(a_key(1), an_entry(tags=("t",)), 60)
    await tier.put(a_key(2), an_entry(tags=("t",)), 60)
    server.cli("DEL", f"imgproxy:1:r:{a_key(1)}")
    assert await tier.drop("t") == 1


async def test_drop_finds_thousands(tier):
    entry = an_entry(b"x", tags=("t",))
    for start in range(0, 1200, 30):
        await asyncio.gather(*(tier.put(a_key(number), entry, 60) for number in range(start, start + 30)))
    assert await tier.drop("t") == 1200


async def test_any_text_is_a_tag(tier):
    for number, tag in enumerate(("*", "a b", "ä€", "\udc80", "{x}", "a\nb")):
        await tier.put(a_key(number), an_entry(tags=(tag,)), 60)
        assert await tier.drop(tag) == 1


async def test_drop_by_prefix_of_the_source(tier):
    urls = ["https://a/x/1.jpg", "https://a/x/2.jpg", "https://a/y/1.jpg", "https://b/x/1.jpg", "local:///\udcff.jpg"]
    for url in urls:
        for number in range(2):
            await tier.put(a_key(number, url=url), an_entry(url=url, tags=(f"source-{source_id(url)}",)), 60)
    assert await tier.drop_prefix("https://a/x/") == 4
    assert [await tier.get(a_key(0, url=url)) is not None for url in urls] == [False, False, True, True, True]
    assert await tier.drop_prefix("https://*") == 0
    assert await tier.drop_prefix("local:///\udcff") == 2
    assert await tier.drop_prefix("https://") == 4


async def test_drop_all_leaves_what_is_not_ours(tier, server):
    for number in range(20):
        await tier.put(a_key(number), an_entry(), 60)
    server.cli("SET", "theirs", "1")
    server.cli("SET", "imgproxy:1:l:lease", "1")
    server.cli("HSET", "imgproxy:1:purges", "generation", "1")
    assert await tier.drop_all() == 20
    assert sorted(server.cli("KEYS", "*").split()) == ["imgproxy:1:l:lease", "imgproxy:1:purges", "theirs"]


# Damage.


async def test_what_is_damaged_is_not_there_and_goes(server):
    damages = 0

    def count() -> None:
        nonlocal damages
        damages += 1

    name = f"imgproxy:1:r:{a_key()}"
    async with tier_at(server.url, limit=5, slow=None, on_damage=count) as (tier, _):
        for number, spoil in enumerate(
            [
                ("SET", name, "garbage"),
                ("SET", name, ""),
                ("SETRANGE", name, "200", "X"),
                ("APPEND", name, "x"),
                ("RENAME", "other", name),
                ("LPUSH", name, "x"),
            ],
            1,
        ):
            await tier.put(a_key(7), an_entry(b"other"), 60)
            await tier.put(a_key(), an_entry(bytes(500)), 60)
            server.cli("RENAME", f"imgproxy:1:r:{a_key(7)}", "other")
            if spoil[0] == "LPUSH":
                server.cli("DEL", name)
            server.cli(*spoil)
            assert await tier.get(a_key()) is None, spoil
            assert damages == number
            assert server.cli("EXISTS", name) == "0"


async def test_a_bit_flipped_now_and_then_is_never_a_wrong_byte(server):
    """Row 6: one bit in 1 % of all that Redis says; values, lengths and errors alike."""
    server.cli("FLUSHALL")
    stored = {a_key(number): an_entry(number.to_bytes(4, "big") * 250) for number in range(50)}
    keys = list(stored)
    outcomes: Counter[str] = Counter()
    async with (
        toxic(server.port) as proxy,
        tier_at(server.url, limit=5, slow=None) as (clean, _),
        tier_at(proxy.url, limit=0.2, slow=None) as (tier, shards),
    ):
        proxy.flips = 0.01
        # Many at once and over few connections, so that a reply out of step would find a taker.
        for turn in range(200):
            if turn % 10 == 0:  # what was found damaged was removed
                await asyncio.gather(*(clean.put(key, entry, 600) for key, entry in stored.items()))
            asked = [keys[(turn + number * 7) % 50] for number in range(50)]
            shards.circuits[0].state = "closed"
            got = await asyncio.gather(*(_or_none(tier, key) for key in asked))
            outcomes.update(_judge(stored[key], entry) for key, entry in zip(asked, got, strict=True))
    assert outcomes["wrong"] == 0
    assert proxy.flipped > 50
    assert outcomes["right"] > 5_000


def _judge(put, got):
    if got is None:
        return "missed"
    return "right" if got == put else "wrong"


async def _or_none(tier, key):
    try:
        return await tier.get(key)
    except TierDown:
        return None


# Redis in trouble.


async def ops(tier, count):
    """The seconds that each of ``count`` failing reads takes."""
    taken = []
    for _ in range(count):
        started = time.monotonic()
        with pytest.raises(TierDown):
            await tier.get(a_key())
        taken.append(time.monotonic() - started)
    return taken


async def test_refused():
    with redis_server() as gone:
        async with tier_at(gone.url) as (tier, shards):
            await tier.put(a_key(), an_entry(), 60)
            gone.kill()
            await ops(tier, 5)
            assert shards.circuits[0].state == "open"
            assert sorted(await ops(tier, 1000))[990] < 0.001
            gone.start()
            assert await seconds_until_it_answers(tier) <= 2


async def _answers(tier, key=KEY):
    try:
        await tier.get(key)
    except TierDown:
        return False
    return True


async def seconds_until_it_answers(tier, key=KEY):
    started = time.monotonic()
    while not await _answers(tier, key):
        await asyncio.sleep(0.02)
        assert time.monotonic() - started < 20
    return time.monotonic() - started


async def test_hanging():
    """Row 2: each operation costs 50 ms at most, then none costs anything."""
    with redis_server() as server:
        async with tier_at(server.url) as (tier, shards):
            await tier.put(a_key(), an_entry(b"kept"), 60)
            server.hang()
            first = await ops(tier, 5)
            assert sorted(first)[2] <= 0.06
            assert shards.circuits[0].state == "open"
            assert sorted(await ops(tier, 1000))[990] < 0.001
            server.go_on()
            assert await seconds_until_it_answers(tier) <= 2
            entry = await tier.get(a_key())
            assert entry is not None
            assert entry.rendition.body == b"kept"


async def test_many_callers_at_once_at_a_server_that_hangs():
    with redis_server() as server:
        async with tier_at(server.url, slow=None) as (tier, _):
            await tier.put(a_key(), an_entry(), 60)
            server.hang()
            started = time.monotonic()
            results = await asyncio.gather(*(_answers(tier) for _ in range(200)))
            assert time.monotonic() - started < 0.5
            assert not any(results)
            server.go_on()
            # None of them keeps a connection for ever.
            assert await seconds_until_it_answers(tier) <= 2
            for _ in range(20):  # a busy machine may be late for some
                assert await seconds_until_it_answers(tier) <= 2
                if all(await asyncio.gather(*(_answers(tier) for _ in range(32)))):
                    break
            else:
                pytest.fail("connections are lost")


async def test_slow_is_left_alone_and_taken_back_when_fast(server):
    """Row 3."""
    async with toxic(server.port) as proxy, tier_at(proxy.url) as (tier, shards):
        await tier.get(a_key())
        proxy.latency = 0.03
        circuit = shards.circuits[0]
        asked = 0
        while circuit.state == "closed":
            await _answers(tier)
            asked += 1
        assert asked <= 15
        assert circuit.reason == "slow"
        assert sorted(await ops(tier, 200))[190] < 0.001
        proxy.latency = 0.0
        assert await seconds_until_it_answers(tier) <= 2


async def test_a_full_redis_can_be_read():
    """Row 4."""
    with redis_server("--maxmemory", "8mb", "--maxmemory-policy", "noeviction") as server:
        async with tier_at(server.url, limit=1, slow=None) as (tier, shards):
            refused = 0
            for number in range(60):
                try:
                    await tier.put(a_key(number), an_entry(bytes(200_000)), 60)
                except TierDown:
                    refused += 1
            assert refused > 20
            assert shards.circuits[0].state == "closed"
            assert shards.circuits[0].outcomes["refused"] == refused
            assert await tier.get(a_key(0)) == an_entry(bytes(200_000))
            assert await tier.drop("host-pictures.example.com") == 60 - refused
            await tier.put(a_key(99), an_entry(), 60)
            assert await tier.get(a_key(99)) == an_entry()


async def test_a_late_reply_is_never_another_s(server):
    """Cancelled and timed out commands leave no connection behind on which their replies still come."""
    server.cli("FLUSHALL")
    damages: list[str] = []
    async with (
        toxic(server.port) as proxy,
        tier_at(server.url, limit=5, slow=None) as (clean, _),
        # A value names its key, so that another's reply would be found out as damaged.
        tier_at(proxy.url, limit=0.15, slow=None, on_damage=lambda: damages.append("!")) as (tier, shards),
    ):
        stored = {a_key(number): an_entry(number.to_bytes(4, "big")) for number in range(40)}
        for key, entry in stored.items():
            await clean.put(key, entry, 600)

        async def get(key: str, patience: float) -> bool:
            shards.circuits[0].state = "closed"
            try:
                async with asyncio.timeout(patience):
                    entry = await tier.get(key)
            except (TierDown, TimeoutError):
                return False
            assert entry == stored[key]
            return True

        answered = 0
        for turn in range(16):
            # Late for some, too late for others, and a crowd of callers who leave at any moment.
            proxy.latency = (0.0, 0.01, 0.1, 0.2)[turn % 4]
            answered += sum(
                await asyncio.gather(*(get(key, 0.005 * (1 + number)) for number, key in enumerate(stored)))
            )
        assert answered > 30
        assert not damages
        proxy.latency = 0.0
        # Nobody took a connection along: as many as ever can be used at once.
        shards.circuits[0]._timeout = 5
        assert sum(await asyncio.gather(*(get(key, 5) for key in list(stored)[:32]))) == 32


async def test_a_cut_connection_is_one_miss(server):
    async with toxic(server.port) as proxy, tier_at(proxy.url, limit=1, slow=None) as (tier, shards):
        await tier.put(a_key(), an_entry(), 60)
        for _ in range(3):
            proxy.cut()
            await _answers(tier)
            assert await tier.get(a_key()) == an_entry()
        assert shards.circuits[0].state == "closed"
