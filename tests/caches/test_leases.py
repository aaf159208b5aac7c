import asyncio

import pytest

from imgproxy.caches.base import TierDown
from imgproxy.caches.connecting import connect
from imgproxy.caches.leases import RENEW_EVERY, TTL, Leases
from tests.parts import redis_server


@pytest.fixture(scope="module")
def server():
    with redis_server() as server:
        yield server


@pytest.fixture
async def two(server):
    """Two nodes' leases."""
    server.cli("FLUSHALL")
    nodes = [connect(server.url, timeout=5, slow=None) for _ in range(2)]
    yield [Leases(shards) for shards in nodes]
    for shards in nodes:
        await shards.aclose()


async def test_one_of_two_contenders_gets_it(two):
    tokens = await asyncio.gather(*(leases.acquire("k") for leases in two for _ in range(20)))
    assert len([token for token in tokens if token]) == 1
    assert await two[0].held("k")
    assert await two[1].held("k")


async def test_leases_of_different_keys_do_not_meet(two):
    assert await two[0].acquire("a")
    assert await two[1].acquire("b")
    assert not await two[0].held("c")


async def test_release_lets_the_next_one_in(two):
    token = await two[0].acquire("k")
    assert await two[0].release("k", token)
    assert not await two[1].held("k")
    assert await two[1].acquire("k")


async def test_a_stranger_changes_nothing(two, server):
    await two[0].acquire("k")
    server.cli("PEXPIRE", "imgproxy:1:l:k", "1500")
    assert not await two[1].release("k", "stranger")
    assert not await two[1].renew("k", "stranger")
    assert await two[0].held("k")
    assert int(server.cli("PTTL", "imgproxy:1:l:k")) <= 1500


async def test_a_lease_ends_by_itself_and_is_not_renewed_after_that(two, server):
    token = await two[0].acquire("k")
    assert 0 < int(server.cli("PTTL", "imgproxy:1:l:k")) <= TTL * 1000
    server.cli("PEXPIRE", "imgproxy:1:l:k", "1")
    while await two[1].held("k"):
        pass
    assert not await two[0].renew("k", token)
    assert not await two[0].release("k", token)


async def test_renewal_makes_it_last(two, server):
    token = await two[0].acquire("k")
    server.cli("PEXPIRE", "imgproxy:1:l:k", "500")
    assert await two[0].renew("k", token)
    assert int(server.cli("PTTL", "imgproxy:1:l:k")) > 1000
    assert RENEW_EVERY * 3 < TTL


async def test_without_redis_there_are_no_leases():
    with redis_server() as server:
        shards = connect(server.url, timeout=1)
        leases = Leases(shards)
        token = await leases.acquire("k") or ""
        server.kill()
        with pytest.raises(TierDown):
            await leases.acquire("l")
        with pytest.raises(TierDown):
            await leases.release("k", token)
        with pytest.raises(TierDown):
            await leases.held("k")
        await shards.aclose()
