"""What becomes of requests when processes die or there is no time: one node, with a renderer of the test's."""

from __future__ import annotations

import asyncio

import pytest

from imgproxy.errors import (
    Overloaded,
    QueueFull,
    RateLimited,
    RenderTimeout,
    SourcePoisoned,
    SourceTooExpensive,
    WorkerLost,
)
from imgproxy.model import Conditions, Purge, Reply
from tests.remembering import Gallery, Remembering, remembering

URL = "http://example.com/a.png"


def ended(error: WorkerLost | RenderTimeout | SourceTooExpensive) -> WorkerLost | RenderTimeout | SourceTooExpensive:
    error.ended_process = True
    return error


async def test_a_crash_is_tried_once_more() -> None:
    async with remembering() as node:
        node.copier.failure, node.copier.failures = ended(WorkerLost("SIGSEGV")), 1
        assert (await node.image(URL)).rendition.body
    assert node.copier.rendered == 2


async def test_who_ended_no_process_is_not_blamed() -> None:
    async with remembering() as node:
        node.copier.failure = WorkerLost("did not come up")
        with pytest.raises(WorkerLost):
            await node.image(URL)
        assert not await blamed(node)
    assert node.copier.rendered == 3


async def blamed(node: Remembering) -> bool:
    before = node.copier.rendered
    node.copier.failure = None
    try:
        await node.image(URL, "w:7")
    except SourcePoisoned:
        assert node.copier.rendered == before
        return True
    return False


@pytest.mark.parametrize("tagged", [True, False])
async def test_a_killer_costs_two_processes_whatever_is_asked_of_it(tagged: bool) -> None:
    gallery = Gallery(tagged=tagged)
    async with remembering(gallery) as node:
        node.copier.failure = ended(WorkerLost("SIGSEGV"))
        asked = [node.image(URL, f"w:{width}") for width in range(1, 50)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {SourcePoisoned}
        assert node.copier.rendered == 2
        assert await blamed(node)
        assert (await node.image(URL + "?another")).rendition.body
        gallery.versions[URL] = 1
        await node.purge(Purge("prefix", "http://nobody"))
        node.clock.now += 100
        assert (await node.image(URL, "w:7")).rendition.body, "another picture under the same URL has a clean record"


async def test_who_was_killed_from_outside_says_nothing_of_the_picture_unless_it_happens_twice() -> None:
    async with remembering() as node:
        for width in range(1, 9):
            node.copier.failure, node.copier.failures = ended(killed()), 1
            assert (await node.image(URL, f"w:{width}")).rendition.body
        assert not await blamed(node)
    async with remembering() as node:
        node.copier.failure = ended(killed())
        for width in (1, 2):
            with pytest.raises((WorkerLost, SourcePoisoned)):
                await node.image(URL, f"w:{width}")
        assert node.copier.rendered == 4
        assert await blamed(node)


def killed() -> WorkerLost:
    error = WorkerLost("SIGKILL")
    error.from_outside = True
    return error


async def test_a_purge_lets_it_in_again() -> None:
    async with remembering() as node:
        node.copier.failure = ended(WorkerLost("SIGSEGV"))
        with pytest.raises(SourcePoisoned):
            await node.image(URL)
        assert await blamed(node)
        await node.purge(Purge("prefix", URL))
        assert not await blamed(node)


async def test_what_is_too_much_in_one_way_may_do_in_another() -> None:
    async with remembering() as node:
        node.copier.failure = ended(SourceTooExpensive("resident"))
        for _ in range(2):
            with pytest.raises((SourceTooExpensive, SourcePoisoned)):
                await node.image(URL, "bl:9")
            node.clock.now += 20
        with pytest.raises(SourcePoisoned):
            await node.image(URL, "bl:9")
        assert not await blamed(node)


async def test_a_render_that_was_killed_early_is_not_to_blame() -> None:
    async with remembering() as node:
        node.copier.failure = ended(RenderTimeout("killed"))
        for _ in range(3):
            with pytest.raises(RenderTimeout):
                await node.image(URL)
        node.service.makings.patience = 0.0  # now each of them had all of its time
        for error in (RenderTimeout, SourcePoisoned, SourcePoisoned):
            with pytest.raises(error):
                await node.image(URL)
        assert not await blamed(node)


async def test_a_stale_result_stands_in_for_a_poisoned_one() -> None:
    gallery = Gallery()
    async with remembering(gallery, result_cache_stale_while_revalidate=0) as node:
        await node.image(URL)
        gallery.versions[URL] = 1
        node.clock.now += 100
        node.copier.failure = ended(WorkerLost("SIGSEGV"))
        assert (await node.image(URL)).found.forwarded == "stale"


async def test_crowded_is_for_what_has_to_be_made() -> None:
    async with remembering() as node:
        with pytest.raises(QueueFull):
            await node.ask(URL, crowded=True)
        with pytest.raises(QueueFull):
            await node.ask(URL, "raw:1", crowded=True)
        await node.image(URL)
        assert await node.ask(URL, crowded=True)
    assert node.copier.rendered == 1


async def test_rates_are_for_what_has_to_be_made() -> None:
    class Rates:
        pause = 0.0

        def take(self, client: str, key: int | None) -> float:
            assert (client, key) == ("", None)
            return self.pause

    async with remembering() as node:
        rates = Rates()
        node.service.rates = rates
        await node.image(URL)
        rates.pause = 2.5
        await node.image(URL)
        with pytest.raises(RateLimited) as caught:
            await node.image(URL, "w:1")
    assert caught.value.retry_after == 3


async def test_without_memory_only_what_is_there_is_answered() -> None:
    async with remembering() as node:
        await node.image(URL)
        node.short_of_memory = True
        await node.image(URL)
        with pytest.raises(Overloaded):
            await node.image(URL, "w:1")


async def test_in_a_brownout_another_size_is_better_than_none() -> None:
    async with remembering(brownout=True) as node:
        full = await node.image(URL, "f:png", "w:100")
        node.short_of_memory = True
        reply = await node.image(URL, "f:png", "w:2")
        assert reply.found.degraded
        assert reply.rendition == full.rendition
        assert reply.validators.etag is None
        assert not (await node.image(URL, "f:png", "w:100")).found.degraded
        with pytest.raises(Overloaded):
            await node.image(URL, "f:png", "w:2", "bl:3")
        node.short_of_memory = False
        assert not (await node.image(URL, "f:png", "w:2")).found.degraded


async def test_in_a_brownout_encoders_take_it_easy() -> None:
    async with remembering(brownout=True) as node:
        calm = await node.image(URL, "f:webp")
        line = next(iter(node.admission._lines.values()))
        line.backlog += 50
        hasty = await node.image(URL, "f:webp", "w:3")
        again = await node.image(URL, "f:webp", "w:3")
        assert hasty.found.degraded
        assert again.found.degraded
        assert again.found.tier == "memory"
        assert hasty.validators.etag is again.validators.etag is None
        assert not (await node.image(URL, "f:webp")).found.degraded
        line.backlog -= 50
        better = await node.image(URL, "f:webp", "w:3")
    assert calm.validators.etag
    assert not better.found.degraded
    assert better.validators.etag
    assert node.copier.rendered == 3


async def test_a_degraded_answer_is_not_vouched_for() -> None:
    async with remembering(brownout=True) as node:
        tag = (await node.image(URL, "f:webp")).validators.etag
        await node.purge(Purge("all"))
        line = next(iter(node.admission._lines.values()))
        line.backlog += 50
        reply = await node.ask(URL, "f:webp", conditions=Conditions(tag))
    assert isinstance(reply, Reply)
    assert isinstance(reply, Reply)
    assert reply.found.degraded
