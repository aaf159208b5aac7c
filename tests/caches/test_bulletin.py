import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from imgproxy.caches.bulletin import KEY, Bulletin
from imgproxy.caches.connecting import connect
from imgproxy.caches.purges import STEP, Purges
from imgproxy.model import Purge
from tests.parts import redis_cluster, redis_server
from tests.toxic import toxic


class Node:
    """A node's purges, its bulletin and what that told."""

    def __init__(self, url, limit) -> None:
        self.shards = connect(url, timeout=limit, slow=None, connections=4)
        self.purges = Purges()
        self.news: list[Purge] = []
        self.bulletin = Bulletin(self.shards, self.purges, self.news.append)

    def knows(self, tag, *, soft=False):
        """The generation of the newest purge of a tag."""
        marks = self.purges.marks("https://a/", (tag,))
        return marks.soft if soft else marks.hard


@asynccontextmanager
async def node(url, *, limit=1.0, running=True):
    """A node; ``running`` if it listens."""
    it = Node(url, limit)
    task = asyncio.ensure_future(it.bulletin.run()) if running else None
    try:
        if running:
            await until(lambda: it.bulletin.synced)
        yield it
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        await it.shards.aclose()


async def until(condition):
    """The seconds until the condition holds."""
    started = time.monotonic()
    while not condition():
        await asyncio.sleep(0.005)
        assert time.monotonic() - started < 20
    return time.monotonic() - started


@pytest.fixture(scope="module")
def shared():
    with redis_server() as server:
        yield server


@pytest.fixture
def server(shared):
    shared.cli("FLUSHALL")
    return shared


@asynccontextmanager
async def two(url, **options):
    async with node(url, **options) as a, node(url, **options) as b:
        yield a, b


async def test_two_nodes_learn_at_once(server):
    async with two(server.url) as (a, b):
        await a.bulletin.publish(Purge("tag", "warm up"))  # the subscription may not be there yet
        await until(lambda: b.knows("warm up"))
        for number in range(10):
            purge = await a.bulletin.publish(Purge("tag", f"t{number}", soft=number % 2 == 0))
            assert await until(lambda purge=purge: b.knows(purge.value, soft=purge.soft)) < 0.1
            assert b.knows(purge.value, soft=purge.soft) == purge.generation == b.purges.newest
            assert b.news[-1] == purge
        assert a.news == []


async def test_generations_are_multiples_and_grow_with_the_clock_whoever_gives_them(server):
    async with two(server.url, running=False) as (a, b):
        generations = [(await node.bulletin.publish(Purge("tag", "t"))).generation for node in (a, b, b, a)]
    assert generations == sorted(set(generations))
    assert all(generation % STEP == 0 for generation in generations)
    seconds = int(server.cli("TIME").split()[0])
    assert abs(generations[0] / 1e6 - seconds) < 5


async def test_a_generation_is_above_all_that_the_node_knows(server):
    async with node(server.url, running=False) as a:
        a.purges.learn(Purge("tag", "from the future", generation=8_000_000_000_000_000))
        assert (await a.bulletin.publish(Purge("tag", "t"))).generation == 8_000_000_000_001_000


async def test_a_node_that_comes_later_learns_everything(server):
    rules = [Purge("all"), Purge("prefix", "https://a/\udc80é ]\"'"), Purge("tag", "a b", soft=True)]
    async with node(server.url, running=False) as a:
        published = {await a.bulletin.publish(rule) for rule in rules}
        published |= {await a.bulletin.publish(Purge("tag", f"t{number}")) for number in range(3000)}
    async with node(server.url) as b:
        assert set(b.purges) == published == set(b.news)


async def test_a_node_that_was_away_learns_when_it_is_back(server):
    async with toxic(server.port) as proxy, node(server.url) as a, node(proxy.url, limit=0.2) as b:
        proxy.hangs = True
        purge = await a.bulletin.publish(Purge("tag", "t"))
        await until(lambda: not b.bulletin.synced)
        assert not b.knows("t")
        proxy.go_on()
        assert await until(lambda: b.bulletin.synced) <= 2
        assert b.knows("t") == purge.generation


async def test_a_subscription_that_is_cut_misses_nothing(server):
    async with toxic(server.port) as proxy, node(server.url) as a, node(proxy.url) as b:
        for number in range(3):
            proxy.cut()
            await a.bulletin.publish(Purge("tag", f"t{number}"))
            assert await until(lambda number=number: b.knows(f"t{number}")) <= 2


async def test_repetition_and_order_change_nothing(server):
    async with node(server.url) as a, node(server.url, running=False) as b:
        first = await b.bulletin.publish(Purge("tag", "t"))
        second = await b.bulletin.publish(Purge("tag", "t"))
        for purge in (second, first, second):
            a.purges.learn(purge)
            server.cli("PUBLISH", KEY, f'0 {purge.generation} ["tag", false, "t"]')
        await a.bulletin.sync()
        assert a.knows("t") == second.generation
        assert server.cli("HGET", KEY, '["tag", false, "t"]') == str(second.generation)


async def test_garbage_on_the_channel_and_in_the_hash_is_passed_over(server):
    async with two(server.url) as (a, b):
        server.cli("HSET", KEY, "nonsense", "1", '["tag"]', "2", '["tag", false, 7]', "3", '["what", false, "x"]', "4")
        for message in ("nonsense", "1 2 3", "1 x y", "", '0 5 {"a"', "1 2 null"):
            server.cli("PUBLISH", KEY, message)
        purge = await a.bulletin.publish(Purge("tag", "t"))
        await until(lambda: b.knows("t") == purge.generation)
        assert b.bulletin.synced


async def test_flushed_rules_are_put_back(server):
    async with two(server.url) as (a, b):
        purges = [await a.bulletin.publish(Purge("tag", f"t{number}")) for number in range(1500)]
        await until(lambda: b.knows("t1499"))
        server.cli("FLUSHALL")
        assert await until(lambda: server.cli("HLEN", KEY) == "1501") <= 2
        assert int(server.cli("HGET", KEY, "generation")) >= purges[-1].generation
    async with node(server.url) as c:
        assert set(c.purges) == set(purges)


async def test_a_rule_lost_with_a_primary_is_put_back_although_others_came_after_it(server):
    async with node(server.url, running=False) as a, node(server.url, running=False) as b:
        lost = await a.bulletin.publish(Purge("tag", "lost"))
        server.cli("FLUSHALL")
        later = await b.bulletin.publish(Purge("tag", "later"))
        await a.bulletin.sync()
        assert a.knows("later") == later.generation
        await b.bulletin.sync()
        assert b.knows("lost") == lost.generation


async def test_without_redis_a_purge_holds_here_and_is_published_later():
    with redis_server() as server:
        async with two(server.url, limit=0.2) as (a, b):
            before = await a.bulletin.publish(Purge("tag", "before"))
            server.kill()
            for tag in ("x", "y", "x"):
                issued = await a.bulletin.publish(Purge("tag", tag))
                assert issued.generation > before.generation
                assert a.knows(tag) == issued.generation == a.purges.newest
            assert not a.bulletin.synced
            assert a.bulletin.pending == 2
            server.start()
            assert await until(lambda: b.knows("x") and b.knows("y")) <= 2.5
            await until(lambda: not a.bulletin.pending)
            for tag in ("x", "y"):
                assert a.knows(tag) == b.knows(tag)
                assert a.knows(tag) % STEP == 0
            # Redis forgot everything; what was known before came back as well, and nobody holds a number of one node.
            assert await until(lambda: b.bulletin.synced and a.bulletin.synced) <= 2
            await until(lambda: server.cli("HLEN", KEY) == "4")
            assert a.knows("before") == before.generation


async def test_a_server_that_hangs_and_comes_back():
    with redis_server() as server:
        async with two(server.url, limit=0.2) as (a, b):
            server.hang()
            issued = await a.bulletin.publish(Purge("all"))
            await until(lambda: not b.bulletin.synced)
            assert a.purges.newest == issued.generation
            server.go_on()
            assert await until(lambda: a.bulletin.synced and b.bulletin.synced) <= 2
            assert await until(lambda: b.purges.newest > issued.generation) <= 1
            assert set(a.purges) == set(b.purges)


async def test_too_many_waiting_purges_become_one_of_everything(monkeypatch):
    monkeypatch.setattr("imgproxy.caches.bulletin._PENDING", 10)
    with redis_server() as server:
        server.kill()
        async with node(server.url, limit=0.1, running=False) as a:
            for number in range(11):
                await a.bulletin.publish(Purge("tag", f"t{number}", soft=True))
            assert a.bulletin.pending == 1
            server.start()
            await asyncio.sleep(1)
            await a.bulletin.sync()
            assert server.cli("HKEYS", KEY).split("\n") == ["generation", '["all", true, ""]']


async def test_a_full_redis_is_read_and_written_to_later():
    with redis_server("--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as server:
        async with two(server.url) as (a, b):
            known = await a.bulletin.publish(Purge("tag", "before"))
            server.cli("CONFIG", "SET", "maxmemory", "1")
            await a.bulletin.publish(Purge("tag", "t"))
            assert a.bulletin.pending == 1
            await until(lambda: a.bulletin.synced)
            assert b.knows("before") == known.generation
            server.cli("CONFIG", "SET", "maxmemory", "0")
            await until(lambda: b.knows("t"))


async def test_the_hash_is_bounded(server, monkeypatch):
    monkeypatch.setattr("imgproxy.caches.purges._MOST", {"tag": 100, "prefix": 10, "all": 1})
    async with node(server.url, running=False) as a:
        for number in range(150):
            await a.bulletin.publish(Purge("tag", f"t{number}"))
    async with node(server.url) as b:
        assert int(server.cli("HLEN", KEY)) <= 102
        assert all(b.knows(f"t{number}") for number in range(150))
        newest = b.purges.newest
    async with node(server.url) as c:
        assert all(c.knows(f"t{number}") for number in range(150))
        assert c.knows("t149") == newest


async def test_no_purge_is_missed_when_all_publish_at_once(server):
    async with two(server.url, limit=10) as (a, b), node(server.url, limit=10) as c:
        published = await asyncio.gather(
            *(it.bulletin.publish(Purge("tag", f"{number % 30}")) for number in range(200) for it in (a, b, c))
        )
        newest = max(purge.generation for purge in published)
        for it in (a, b, c):
            await until(lambda it=it: it.purges.newest == newest)
            await it.bulletin.sync()
        assert set(a.purges) == set(b.purges) == set(c.purges)
        assert len(set(a.purges)) == 30


async def test_in_a_cluster():
    with redis_cluster() as cluster:
        async with two(cluster.url) as (a, b):
            await a.bulletin.publish(Purge("tag", "warm up"))
            await until(lambda: b.knows("warm up"))
            purge = await a.bulletin.publish(Purge("tag", "t"))
            assert await until(lambda: b.knows("t")) < 0.1
            assert b.knows("t") == purge.generation


async def test_garbage_in_the_hash_ends_nothing(server):
    async with two(server.url) as (a, b):
        await a.bulletin.publish(Purge("tag", "before"))
        await until(lambda: b.knows("before"))
        server.cli("HSET", KEY, "generation", "garbage", '["tag", false, "zz"]', "junk")
        await until(lambda: server.cli("HGET", KEY, "generation").isdigit())
        purge = await a.bulletin.publish(Purge("tag", "after"))
        await until(lambda: b.knows("after") == purge.generation)
        assert b.bulletin.synced
