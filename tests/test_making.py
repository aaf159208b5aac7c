"""What is remembered, for how long, and when it is made anew: one node, with a clock and an origin of the test's."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from obstore.store import MemoryStore

from imgproxy.caches.base import key_of
from imgproxy.caches.store import Store
from imgproxy.circuit import Circuit
from imgproxy.errors import (
    BrokenImage,
    ImageError,
    QueueFull,
    SourceRefused,
    SourceTimeout,
    SourceTooLarge,
    SourceUnreachable,
    UnknownImageType,
    WorkerLost,
)
from imgproxy.model import Caching, Conditions, Purge, Reply, SourceRef, Unchanged
from tests.remembering import Clock, Gallery, Remembering, remembering

URL = "http://example.com/a.png"
TTL = 60
STALE = 86_400


@pytest.fixture
def shared_store() -> Store:
    return Store(MemoryStore(), Circuit("store", 1.0, slow=None), now=Clock())


def says(reply: Reply) -> str:
    return reply.rendition.body.decode()


async def test_the_second_request_is_a_hit() -> None:
    async with remembering() as node:
        first = await node.image(URL, "w:10")
        node.clock.now += 7
        second = await node.image(URL, "w:10")
    assert second.rendition == first.rendition
    assert second.validators == first.validators
    assert (first.found.tier, first.found.forwarded, first.found.stored) == ("", "uri-miss", True)
    assert (second.found.tier, second.found.forwarded, second.found.age, second.found.ttl) == ("memory", "", 7, 53)
    assert (node.copier.rendered, len(node.gallery.asked)) == (1, 1)


async def test_equal_plans_share_and_others_do_not() -> None:
    async with remembering() as node:
        for options in [("rs:fit:10:20", "q:70"), ("q:70", "w:10", "h:20"), ("rs:fit:10:20:0", "q:70", "fn:x")]:
            await node.image(URL, *options)
        assert node.copier.rendered == 1
        await node.image(URL, "rs:fit:10:20", "q:71")
        await node.image(URL + "?2", "rs:fit:10:20", "q:70")
    assert node.copier.rendered == 3
    assert node.gallery.sent == [URL, URL + "?2"]


async def test_all_at_once_is_one_render_and_all_sizes_are_one_fetch() -> None:
    async with remembering() as node:
        asked = await asyncio.gather(*(node.image(URL, f"w:{size}") for size in (1, 2, 3) for _ in range(300)))
    assert len({reply.rendition.body for reply in asked}) == 3
    assert (node.copier.rendered, node.gallery.asked) == (3, [URL])
    assert sum(reply.found.collapsed for reply in asked) == 3 * 299


async def test_a_client_with_a_copy_gets_304_from_memory() -> None:
    async with remembering() as node:
        tag = (await node.image(URL)).validators.etag
        assert isinstance(await node.ask(URL, conditions=Conditions(tag)), Unchanged)
        assert isinstance(await node.ask(URL, conditions=Conditions('"x"')), Reply)
    assert len(node.gallery.asked) == 1


async def test_a_client_with_a_copy_spares_a_node_that_has_none_the_render() -> None:
    gallery = Gallery()
    async with remembering(gallery) as node:
        tag = (await node.image(URL)).validators.etag
    async with remembering(gallery) as fresh:
        answer = await fresh.ask(URL, conditions=Conditions(tag))
        assert isinstance(answer, Unchanged)
        assert answer.validators.etag == tag
        assert fresh.copier.rendered == 0
        gallery.versions[URL] = 1
        fresh.clock.now += TTL
        changed = await fresh.ask(URL, conditions=Conditions(tag))
        assert isinstance(changed, Reply)
        assert says(changed).startswith(f"{URL} 1")


async def test_stale_is_answered_at_once_and_renewed_without_a_render() -> None:
    async with remembering() as node:
        await node.image(URL)
        node.clock.now += TTL + 5
        stale = await node.image(URL)
        assert (stale.found.tier, stale.found.ttl) == ("memory", -5)
        await node.settle()
        fresh = await node.image(URL)
        assert (fresh.found.tier, fresh.found.ttl) == ("memory", TTL)
    assert (node.copier.rendered, len(node.gallery.asked), len(node.gallery.sent)) == (1, 2, 1)


@pytest.mark.parametrize("tagged", [True, False])
async def test_a_changed_picture_comes_after_one_stale_answer_for_each_size_and_one_question_for_all(
    tagged: bool,
) -> None:
    sizes = [f"w:{n}" for n in range(1, 7)]
    async with remembering(Gallery(tagged=tagged)) as node:
        for size in sizes:
            await node.image(URL, size)
        node.gallery.versions[URL] = 1
        node.clock.now += TTL
        for size in sizes:
            assert says(await node.image(URL, size)).startswith(f"{URL} 0 ")
        await node.settle()
        for size in sizes:
            reply = await node.image(URL, size)
            assert says(reply).startswith(f"{URL} 1 ")
            assert reply.found.ttl == TTL
    assert len(node.gallery.asked) == 2
    assert node.copier.rendered == 12


async def test_an_unchanged_picture_without_validators_is_fetched_but_not_rendered() -> None:
    async with remembering(Gallery(tagged=False)) as node:
        await node.image(URL)
        node.clock.now += TTL
        await node.image(URL)
        await node.settle()
        assert (await node.image(URL)).found.ttl == TTL
    assert (node.copier.rendered, len(node.gallery.sent)) == (1, 2)


BRIDGED = [
    SourceUnreachable("x"),
    SourceTimeout("x"),
    SourceRefused(500),
    SourceRefused(503),
    SourceRefused(429),
]


@pytest.mark.parametrize("error", BRIDGED, ids=str)
async def test_an_origin_that_is_down_is_bridged_with_stale_results(error: ImageError) -> None:
    async with remembering(result_cache_stale_while_revalidate=100) as node:
        await node.image(URL)
        node.gallery.failure = error
        for seconds in (TTL + 1, 50, 100, 1000, 10_000):
            node.clock.now += seconds
            for _ in range(3):
                stale = await node.image(URL)
                assert stale.found.ttl < 0
                assert stale.found.tier == "memory"
            await node.settle()
        node.clock.now += STALE
        with pytest.raises(type(error)):
            await node.image(URL)
        node.gallery.failure = None
        assert (await node.image(URL)).found.ttl == TTL
    # Memory keeps nothing for so long; a store does, see below.
    assert node.copier.rendered == 2


async def test_an_origin_that_is_down_is_not_asked_by_every_request() -> None:
    async with remembering(result_cache_stale_while_revalidate=0) as node:
        await node.image(URL)
        node.gallery.failure = SourceTimeout("x")
        node.clock.now += TTL + 1
        for _ in range(50):
            await node.image(URL)
    assert len(node.gallery.asked) == 2


@pytest.mark.parametrize("status", [404, 410, 403, 401])
async def test_a_picture_that_was_withdrawn_is_not_answered_any_more(status: int) -> None:
    async with remembering(result_cache_stale_while_revalidate=0) as node:
        await node.image(URL)
        node.gallery.failure = SourceRefused(status)
        node.clock.now += TTL
        with pytest.raises(SourceRefused):
            await node.image(URL)
        node.clock.now += 20
        node.gallery.failure = SourceUnreachable("and now it is down, too")
        with pytest.raises(SourceUnreachable):
            await node.image(URL)


async def test_a_picture_that_was_withdrawn_behind_a_stale_answer_is_gone_after_it() -> None:
    async with remembering() as node:
        await node.image(URL)
        node.gallery.failure = SourceRefused(404)
        node.clock.now += TTL
        await node.image(URL)
        await node.settle()
        with pytest.raises(SourceRefused):
            await node.image(URL)


async def test_overload_and_lost_processes_are_bridged_too() -> None:
    async with remembering(result_cache_stale_while_revalidate=0) as node:
        await node.image(URL)
        node.gallery.versions[URL] = 1
        for error in (QueueFull("x"), WorkerLost("x")):
            node.clock.now += TTL + 10
            node.copier.failure = error
            assert says(await node.image(URL)).startswith(f"{URL} 0")


@pytest.mark.parametrize("error", [BrokenImage("x"), UnknownImageType("x"), SourceTooLarge("x")], ids=str)
async def test_what_is_wrong_with_a_picture_is_remembered_for_a_short_while(error: ImageError) -> None:
    async with remembering() as node:
        node.copier.failure = error
        for _ in range(5):
            with pytest.raises(type(error)):
                await node.image(URL)
        assert node.copier.rendered == 1
        node.clock.now += 13
        node.copier.failure = None
        await node.image(URL)


@pytest.mark.parametrize("error", BRIDGED, ids=str)
async def test_what_may_pass_is_tried_anew_each_time(error: ImageError) -> None:
    async with remembering() as node:
        node.gallery.failure = error
        for _ in range(3):
            with pytest.raises(type(error)):
                await node.image(URL)
        assert len(node.gallery.asked) == 3
        node.gallery.failure = None
        await node.image(URL)


@pytest.mark.parametrize("ttl", [{"ttl": 0}, {"result_cache_ttl": 0, "result_cache_stale_while_revalidate": 0}])
async def test_without_a_lifetime_the_origin_is_asked_each_time_and_nothing_is_rendered_twice(
    ttl: dict[str, int],
) -> None:
    async with remembering(**ttl) as node:  # pyright: ignore[reportArgumentType]
        for _ in range(4):
            assert says(await node.image(URL)).startswith(f"{URL} 0")
        node.gallery.versions[URL] = 1
        assert says(await node.image(URL)).startswith(f"{URL} 1")
    assert (len(node.gallery.asked), len(node.gallery.sent), node.copier.rendered) == (5, 2, 2)


PURGES = [
    Purge("all"),
    Purge("prefix", "http://example.com/"),
    Purge("tag", "host-example.com"),
    Purge("tag", "summer"),
]


@pytest.mark.parametrize("purge", PURGES, ids=str)
async def test_after_a_purge_all_is_asked_for_anew(purge: Purge) -> None:
    async with remembering() as node:
        await node.image(URL, "ct:summer")
        await node.image(URL, "w:3", "ct:summer")
        await node.image("http://other.example/b.png")
        gone = await node.purge(purge)
        assert gone["memory"] == (3 if purge.kind == "all" else 2)
        node.gallery.versions[URL] = 1
        for options in [(), ("w:3",)]:
            reply = await node.image(URL, "ct:summer", *options)
            assert says(reply).startswith(f"{URL} 1")
        assert node.gallery.sent.count(URL) == 2


async def test_a_soft_purge_leaves_something_to_answer_with() -> None:
    async with remembering() as node:
        await node.image(URL)
        assert (await node.purge(Purge("all", soft=True))) == {"memory": 1}
        node.gallery.versions[URL] = 1
        stale = await node.image(URL)
        assert says(stale).startswith(f"{URL} 0")
        assert stale.found.ttl <= 0
        await node.settle()
        assert says(await node.image(URL)).startswith(f"{URL} 1")
        node.gallery.failure = SourceUnreachable("x")
        await node.purge(Purge("all", soft=True))
        assert says(await node.image(URL)).startswith(f"{URL} 1")


async def test_a_purge_during_a_render_does_not_let_the_old_bytes_in() -> None:
    async with remembering() as node:
        began, go_on = asyncio.Event(), asyncio.Event()
        render = node.copier.render

        async def slowly(*args: object) -> object:
            began.set()
            await go_on.wait()
            return await render(*args)  # type: ignore[arg-type]

        node.copier.render = slowly  # type: ignore[method-assign]
        old = asyncio.ensure_future(node.image(URL))
        await began.wait()
        node.gallery.versions[URL] = 1
        await node.purge(Purge("tag", "host-example.com"))
        began.clear()
        new = asyncio.ensure_future(node.image(URL))
        await began.wait()
        go_on.set()
        # Who asked before the purge may get what there was; who asks after it may not.
        assert says(await old).startswith(f"{URL} 0")
        assert says(await new).startswith(f"{URL} 1")
        assert says(await node.image(URL)).startswith(f"{URL} 1")


async def test_a_purge_is_about_the_tags_of_the_one_who_asks() -> None:
    async with remembering() as node:
        await node.image(URL)  # without a tag
        await node.image(URL, "ct:summer")  # a hit: tags are in no key
        assert node.copier.rendered == 1
        await node.purge(Purge("tag", "summer"))
        node.gallery.versions[URL] = 1
        assert says(await node.image(URL, "ct:summer")).startswith(f"{URL} 1")


async def test_an_answer_is_tagged_by_its_own_url_too() -> None:
    async with remembering() as node:
        await node.image(URL, "ct:one")
        assert {"one", "two"} <= set((await node.image(URL, "ct:two")).tags)


async def test_what_one_node_put_into_a_shared_tier_another_finds(shared_store: Store) -> None:
    clock, gallery = Clock(), Gallery()
    async with remembering(gallery, shared_store, clock) as one:
        first = await one.image(URL)
        await one.settle()
        async with remembering(gallery, shared_store, clock) as other:
            second = await other.image(URL)
            assert second.rendition == first.rendition
            assert (second.found.tier, other.copier.rendered) == ("store", 0)
            assert (await other.image(URL)).found.tier == "memory"
            clock.now += TTL + 3
            assert (await other.image(URL)).found.ttl == -3
            await other.settle()
        # Renewed by the other one, for this one too.
        node: Remembering = one
        await node.image(URL)
        await node.settle()
        assert (await node.image(URL)).found.ttl == TTL
    assert len(gallery.asked) == 2


async def test_a_shared_tier_renews_what_is_far_too_old_to_be_answered(shared_store: Store) -> None:
    clock, gallery = Clock(), Gallery()
    async with remembering(gallery, shared_store, clock) as node:
        await node.image(URL)
        await node.settle()
    clock.now += 10 * STALE
    async with remembering(gallery, shared_store, clock) as node:
        assert (await node.image(URL)).found.ttl == TTL
        assert node.copier.rendered == 0
    assert (len(gallery.asked), len(gallery.sent)) == (2, 1)


async def test_behind_an_edge_who_asks_by_a_tag_gets_what_is_true_now() -> None:
    """Nginx has answered its visitor with what it had; 304 or the new picture, but no second stale one."""
    async with remembering(behind_edge=True) as node:
        tag = (await node.image(URL)).validators.etag
        node.clock.now += TTL
        answer = await node.ask(URL, conditions=Conditions(tag))
        assert isinstance(answer, Unchanged)
        assert (answer.found.ttl, answer.found.renewed) == (TTL, True)
        node.clock.now += TTL
        node.gallery.versions[URL] = 1
        changed = await node.ask(URL, conditions=Conditions(tag))
        assert isinstance(changed, Reply)
        assert says(changed).startswith(f"{URL} 1")


async def test_behind_an_edge_a_stale_answer_has_no_tag() -> None:
    """Nginx keeps its headers at a 304: it would go on to call the image fresh, or stale for good."""
    async with remembering(behind_edge=True) as node:
        tag = (await node.image(URL)).validators.etag
        node.clock.now += TTL
        node.gallery.failure = SourceUnreachable("x")
        stale = await node.ask(URL, conditions=Conditions(tag))
        assert isinstance(stale, Reply)
        assert (stale.validators.etag, stale.found.ttl) == (None, 0)
        assert (await node.image(URL)).validators.etag is None


async def test_with_no_edge_a_stale_answer_can_be_a_304() -> None:
    async with remembering() as node:
        tag = (await node.image(URL)).validators.etag
        node.clock.now += TTL + 1
        answer = await node.ask(URL, conditions=Conditions(tag))
        assert isinstance(answer, Unchanged)
        assert answer.found.ttl == -1


@pytest.mark.parametrize("word", ["no-store", "private", "no-cache"])
async def test_what_may_not_be_kept_any_more_does_not_leave_the_older_one_behind(
    shared_store: Store, word: str
) -> None:
    clock, gallery = Clock(), Gallery(caching=Caching("max-age=1, stale-while-revalidate=600"))
    async with remembering(gallery, shared_store, clock, cache_control_passthrough=True) as node:
        await node.image(URL)
        await node.settle()
        gallery.caching, gallery.versions[URL] = Caching(word), 1
        clock.now += 5
        await node.image(URL)
        await node.settle()
        for _ in range(2):
            assert says(await node.image(URL)).startswith(f"{URL} 1")
            await node.settle()


async def test_sources_of_two_folders_are_two() -> None:
    plan = (await plan_of("local:///a.png")).plan
    assert key_of(plan) != key_of(plan, "/one") != key_of(plan, "/other")
    assert key_of(plan, "/one") == key_of(plan, "/one")


async def plan_of(url: str) -> Reply:
    async with remembering() as node:
        reply = await node.image("http://example.com/x.png")
        return replace(reply, plan=replace(reply.plan, source=SourceRef(url)))


async def test_a_clock_far_ahead_makes_nothing_fresh_for_ever() -> None:
    async with remembering() as node:
        node.clock.now += 10_000
        await node.image(URL)
        node.clock.now -= 10_000
        assert (await node.image(URL)).found.ttl <= 0
        await node.settle()
        assert (await node.image(URL)).found.ttl == TTL


async def test_refreshes_leave_places_for_others() -> None:
    async with remembering() as node:
        for n in range(12):
            await node.image(f"{URL}?{n}")
        node.clock.now += TTL
        under_way, most = 0, 0
        fetch = node.gallery.fetch

        async def slowly(*args: object, **kwargs: object) -> object:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            return await fetch(*args, **kwargs)  # type: ignore[arg-type]

        node.gallery.fetch = slowly  # type: ignore[method-assign]
        for n in range(12):
            await node.image(f"{URL}?{n}")
        await node.settle()
        assert most == 4
        assert [(await node.image(f"{URL}?{n}")).found.ttl for n in range(12)] == [TTL] * 12
