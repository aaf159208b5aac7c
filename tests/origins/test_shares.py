"""Turns at an origin: bounded, in order, and never lost."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from imgproxy.errors import InvalidUrl, RenderTimeout, SourceBusy
from imgproxy.model import Deadline, SourceRef
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins
from imgproxy.origins.shares import Shares
from tests.origins.contract import soon


@pytest.mark.parametrize(("places", "percent", "share"), [(4, 20, 4), (20, 20, 4), (40, 20, 8), (40, 100, 40)])
def test_a_share_is_part_of_the_places(places: int, percent: float, share: int) -> None:
    assert Shares(places, percent).share == share


class Crowd:
    """Requests for one origin, each of which keeps its turn until it is told to leave."""

    def __init__(self, shares: Shares, origin: str = "a") -> None:
        self.shares, self.origin = shares, origin
        self.inside: list[int] = []
        self.leave = [asyncio.Event() for _ in range(100)]

    async def visit(self, number: int, deadline: Deadline) -> None:
        async with self.shares.turn(self.origin, deadline) as turn:
            self.inside.append(number)
            await self.leave[number].wait()
            turn.leave()
            turn.leave()  # nothing more


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def visited(shares: Shares, origin: str, clock: Clock, seconds: float) -> None:
    """A download that took so long."""
    turn = shares.at_once(origin)
    assert turn is not None
    clock.now += seconds
    turn.leave()


def test_one_origin_alone_has_all_places_and_company_takes_them_away() -> None:
    clock = Clock()
    shares = Shares(20, 20, clock)
    assert [shares.at_once("a") is not None for _ in range(21)] == [True] * 20 + [False]
    assert shares.at_once("b") is not None
    assert shares.limit("a") == shares.limit("b") == 4, "nothing is known of either yet"
    clock.now += 59
    assert shares.limit("b") == 4
    assert shares.at_once("c") is not None
    clock.now += 61
    assert shares.limit("c") == 20, "nobody else has been asked for a minute"


def test_fast_ones_leave_a_share_to_others_and_slow_ones_get_a_share() -> None:
    clock = Clock()
    shares = Shares(20, 20, clock)
    for origin in "ab":
        visited(shares, origin, clock, 0.1)
    assert shares.limit("a") == shares.limit("b") == 16
    for _ in range(5):
        visited(shares, "b", clock, 2.0)
    assert (shares.limit("a"), shares.limit("b")) == (16, 4)
    for _ in range(5):
        visited(shares, "b", clock, 0.1)
    assert shares.limit("b") == 16
    under_way = [shares.at_once("b") for _ in range(10)]
    clock.now += 1.1
    assert shares.limit("b") == 4
    for turn in under_way:
        assert turn is not None
        turn.begin()  # they had waited for something else
    assert shares.limit("b") == 16


async def test_first_come_first_served_and_no_more_than_the_queue_holds() -> None:
    clock = Clock()
    shares = Shares(20, 20, clock)
    for origin in "ab":
        visited(shares, origin, clock, 2.0)
    crowd = Crowd(shares)
    visits = [asyncio.ensure_future(crowd.visit(n, soon())) for n in range(20)]
    await settled()
    assert crowd.inside == [0, 1, 2, 3]
    assert shares.waiting == 16
    assert shares.at_once("a") is None
    with pytest.raises(SourceBusy) as caught:
        await crowd.visit(99, soon())
    assert caught.value.retry_after == 1
    other = Crowd(shares, "b")
    elsewhere = asyncio.ensure_future(other.visit(0, soon()))
    await settled()
    assert other.inside == [0]  # nobody else's queue
    clock.now += 2
    for n in (2, 0):
        crowd.leave[n].set()
    await settled()
    assert crowd.inside == [0, 1, 2, 3, 4, 5]
    for each in (*crowd.leave, *other.leave):
        each.set()
    await asyncio.gather(*visits, elsewhere)
    assert crowd.inside == list(range(20))
    assert not any(each.since or each.waiting for each in shares._origins.values())


async def test_a_new_origin_may_be_asked_by_many_who_then_wait() -> None:
    shares = Shares(20, 20)
    assert shares.at_once("b") is not None
    crowd = Crowd(shares)
    visits = [asyncio.ensure_future(crowd.visit(n, soon())) for n in range(100)]
    await settled()
    assert (len(crowd.inside), shares.waiting) == (4, 96)
    crowd.leave[0].set()
    await settled()
    assert len(crowd.inside) == 17, "it has shown to be fast"
    for each in crowd.leave:
        each.set()
    await asyncio.gather(*visits)


async def test_nobody_waits_past_the_deadline() -> None:
    shares = Shares(4, 20)
    crowd = Crowd(shares)
    visits = [asyncio.ensure_future(crowd.visit(n, soon())) for n in range(4)]
    await settled()
    with pytest.raises(RenderTimeout):
        await crowd.visit(9, Deadline.after(0.02))
    assert shares.waiting == 0
    for each in crowd.leave:
        each.set()
    await asyncio.gather(*visits)
    assert not shares._origins["a"].since


def test_what_is_known_is_bounded() -> None:
    shares = Shares(20, 20)
    kept = shares.at_once("kept")
    for n in range(2_000):
        turn = shares.at_once(str(n))
        assert turn is not None
        turn.leave()
    assert len(shares._origins) <= 1_001
    assert kept is not None
    kept.leave()


async def test_no_turn_is_ever_lost() -> None:
    """Whoever leaves, fails, is cancelled or gives up, at whatever moment: in the end everything is as at first."""
    shares, chance = Shares(4, 20), random.Random(7)
    most = busy = 0

    async def visit() -> None:
        nonlocal most, busy
        with suppress(RenderTimeout, SourceBusy, KeyError):
            async with shares.turn("a", Deadline.after(chance.uniform(0, 0.01))) as turn:
                busy += 1
                most = max(most, busy)
                try:
                    await asyncio.sleep(chance.choice([0, 0, 0.001]))
                    if chance.random() < 0.2:
                        raise KeyError
                finally:
                    busy -= 1
                if chance.random() < 0.5:
                    turn.leave()
                    await asyncio.sleep(0)

    visits: list[asyncio.Future[None]] = []
    for _ in range(2000):
        visits.append(asyncio.ensure_future(visit()))
        if chance.random() < 0.3:
            chance.choice(visits).cancel()
        if chance.random() < 0.2:
            await asyncio.sleep(0)
    await asyncio.gather(*visits, return_exceptions=True)
    assert most == 4
    assert not shares._origins["a"].since
    assert not shares._origins["a"].waiting


async def test_an_origin_is_scheme_host_and_port() -> None:
    origins = Origins(OriginSettings(local_filesystem_root="/"), places=4)
    full = [origins.turn(SourceRef(f"http://A.example:80/{n}?x"), soon()) for n in range(4)]
    for each in full:
        await each.__aenter__()
    with pytest.raises(RenderTimeout):
        await origins.turn(SourceRef("HTTP://u:p@a.EXAMPLE/other"), Deadline.after(0.01)).__aenter__()
    for url in ("https://a.example/", "http://a.example:8080/", "http://b.example/", *["local:///a"] * 9):
        async with origins.turn(SourceRef(url), Deadline.after(0)) as turn:
            turn.leave()
    assert origins.waiting == 0
    with pytest.raises(InvalidUrl):
        origins.turn(SourceRef("http://"), soon())
    for each in full:
        await each.__aexit__(None, None, None)
    await origins.aclose()
