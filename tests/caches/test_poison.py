"""Which sources are refused because they end render processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from imgproxy.caches.connecting import connect
from imgproxy.caches.poison import KILLS, SECONDS, Poison, subject_of
from imgproxy.errors import SourcePoisoned
from imgproxy.model import Provenance, Validators
from tests.parts import redis_server

TOLD = Provenance("http://example.com/a.png", validators=Validators('"1"'))
SUBJECT = subject_of(TOLD)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def refused(poison: Poison, subject: str = SUBJECT, generation: int = 0) -> bool:
    try:
        await poison.check(subject, generation)
    except SourcePoisoned:
        return True
    return False


async def test_the_second_process_is_the_last() -> None:
    poison = Poison()
    assert await poison.blame(SUBJECT, 0) == 1
    assert not await refused(poison)
    assert await poison.blame(SUBJECT, 0) == KILLS == 2
    assert await refused(poison)
    assert poison.entries == 1


async def test_it_is_over_after_about_an_hour() -> None:
    clock = Clock()
    poison = Poison(clock=clock)
    for _ in range(KILLS):
        await poison.blame(SUBJECT, 0)
    clock.now = 0.79 * SECONDS
    assert await refused(poison)
    clock.now = 1.21 * SECONDS
    assert not await refused(poison)
    assert poison.entries == 0
    assert await poison.blame(SUBJECT, 0) == 1


async def test_a_purge_gives_a_clean_record() -> None:
    poison = Poison()
    for _ in range(KILLS):
        await poison.blame(SUBJECT, 5)
    assert await refused(poison, generation=5)
    assert not await refused(poison, generation=6)
    assert await poison.blame(SUBJECT, 6) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(TOLD, url="http://example.com/b.png"),
        replace(TOLD, validators=Validators('"2"')),
        replace(TOLD, validators=Validators(None, '"1"')),
        replace(TOLD, validators=Validators(), digest="00"),
    ],
)
def test_another_version_is_another_subject(other: Provenance) -> None:
    assert subject_of(other) != SUBJECT
    assert subject_of(replace(TOLD, checked_at=5.0, generation=5)) == SUBJECT
    assert subject_of(TOLD, "plan") != SUBJECT


async def test_until_it_is_proven_two_are_tried_at_a_time() -> None:
    poison = Poison()
    running, most = 0, 0

    async def render() -> None:
        nonlocal running, most
        async with poison.trial(SUBJECT):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(render() for _ in range(10)))
    assert most == KILLS
    assert not poison._trials
    poison.acquit(SUBJECT)
    await asyncio.gather(*(render() for _ in range(10)))
    assert most == 10


async def test_after_a_crash_one_is_tried_at_a_time_and_an_acquittal_lets_all_go_on() -> None:
    poison = Poison()
    running, most = 0, 0
    go_on = asyncio.Event()

    async def render() -> None:
        nonlocal running, most
        async with poison.trial(SUBJECT):
            running += 1
            most = max(most, running)
            await go_on.wait()
            running -= 1

    await poison.blame(SUBJECT, 0)
    renders = [asyncio.ensure_future(render()) for _ in range(10)]
    await asyncio.sleep(0.01)
    assert running == most == 1
    poison.acquit(SUBJECT)
    await asyncio.sleep(0.01)
    assert running == 10
    go_on.set()
    await asyncio.gather(*renders)
    assert not poison._trials


async def test_what_went_well_the_second_time_is_soon_forgotten() -> None:
    clock = Clock()
    poison = Poison(clock=clock)
    await poison.blame(SUBJECT, 0)
    await poison.pardon(SUBJECT)
    clock.now = 59
    assert await poison.blame(SUBJECT, 0) == KILLS
    await poison.pardon(SUBJECT)
    clock.now = 1_000
    assert await refused(poison), "what is on the list stays there"

    await poison.blame("another", 0)
    await poison.pardon("another")
    clock.now += 61
    assert await poison.blame("another", 0) == 1


async def test_one_that_falls_again_is_on_trial_again() -> None:
    poison = Poison()
    poison.acquit(SUBJECT)
    for _ in range(KILLS):
        await poison.blame(SUBJECT, 0)
    assert await refused(poison)


async def test_the_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.caches.poison._MOST", 10)
    monkeypatch.setattr("imgproxy.caches.poison._MOST_PROVEN", 10)
    poison = Poison()
    for n in range(100):
        await poison.blame(str(n), 0)
        poison.acquit(f"p{n}")
    assert len(poison._records) == len(poison._proven) == 10


@pytest.mark.e2e
async def test_nodes_share_the_list_and_do_without_redis() -> None:
    with redis_server() as server:
        shards = [connect(server.url, timeout=1, slow=None) for _ in range(3)]
        one, two, three = (Poison(each) for each in shards)
        await one.blame(SUBJECT, 0)
        assert not await refused(two)
        assert await two.blame(SUBJECT, 0) == KILLS  # one process each
        assert await refused(one)
        assert await refused(three)
        assert 0 < int(server.cli("PTTL", f"imgproxy:1:x:{SUBJECT}")) <= 1.2 * SECONDS * 1000
        assert not await refused(Poison(shards[2]), generation=1)
        assert await one.blame(SUBJECT, 1) == 1
        assert server.cli("HGET", f"imgproxy:1:x:{SUBJECT}", "n") == "1"

        await two.blame("unlucky", 0)
        await two.pardon("unlucky")
        assert 0 < int(server.cli("PTTL", "imgproxy:1:x:unlucky")) <= 60_000

        server.cli("HSET", "imgproxy:1:x:garbage", "n", "many", "g", "x")
        assert not await refused(two, "garbage")

        server.kill()
        assert await refused(three)
        assert not await refused(two, "another")
        assert [await two.blame("another", 0) for _ in range(2)] == [1, 2]
        assert await refused(two, "another")
        for each in shards:
            await each.aclose()


@pytest.mark.parametrize("answer", [None, [], [b"1"], [b"1", b"2", b"3"], b"x", 7, [b"x", b"y"], "12"])
async def test_garbage_from_redis_is_no_error(answer: object) -> None:
    class Garbled:
        async def call(self, _: str, operation: Callable[[object], Awaitable[object]]) -> object:
            return await operation(self)

        async def hmget(self, *_: object) -> object:
            return answer

        async def eval(self, *_: object) -> object:
            return answer

    poison = Poison(cast("Any", Garbled()))
    assert not await refused(poison)
    assert await poison.blame(SUBJECT, 0) == (7 if answer == 7 else 1)
