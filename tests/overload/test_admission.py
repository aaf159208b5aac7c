"""Places in flight, and the queue before them."""

from __future__ import annotations

import asyncio
import time

import pytest

from imgproxy.errors import Overloaded, QueueFull
from imgproxy.model import Deadline
from imgproxy.overload.admission import Admission, _Pace
from imgproxy.overload.cost import Lane, Work
from tests.render.conftest import until


async def test_slots_are_bounded_and_first_come_first_served() -> None:
    admission = Admission(4, 2)
    order: list[int] = []
    leave = asyncio.Event()

    async def request(number: int) -> None:
        async with admission.slot(Work(0.0), Deadline.after(5)):
            order.append(number)
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(request(number))
        await until(lambda: admission.waiting == 2)
        assert order == [0, 1, 2, 3]
        start = time.monotonic()
        with pytest.raises(QueueFull):
            async with admission.slot(Work(0.0), Deadline.after(5)):
                pass
        assert time.monotonic() - start < 0.01
        leave.set()
    assert order == [0, 1, 2, 3, 4, 5]


async def test_the_deadline_counts_in_the_queue_and_zero_is_no_bound() -> None:
    admission = Admission(4, 0)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        leave = asyncio.Event()

        async def request() -> None:
            async with admission.slot(Work(0.0), Deadline.after(5)):
                await leave.wait()

        for _ in range(300):
            group.create_task(request())
        await until(lambda: admission.waiting == 296)
        with pytest.raises(Overloaded):
            async with admission.slot(Work(0.0), Deadline.after(0.01)):
                pass
        leave.set()
    assert admission.waiting == 0


async def test_who_could_not_be_served_in_time_is_refused_at_once() -> None:
    admission = Admission(2, 0, workers=2)
    leave = asyncio.Event()
    refusals: list[Overloaded] = []

    async def request(seconds: float) -> None:
        try:
            async with admission.slot(Work(seconds), Deadline.after(5)):
                await leave.wait()
        except Overloaded as error:
            refusals.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(request(1.0))
            await asyncio.sleep(0)
        # With n seconds of work before two workers, the next one ends after n/2 + 1, give or take a quarter.
        assert (admission.waiting, len(refusals)) == (4, 4)
        assert admission.pressed
        assert refusals[0].retry_after == 1
        leave.set()
    assert admission.wait == 0
    assert not admission.pressed


async def test_whose_turn_comes_too_late_is_not_begun() -> None:
    admission = Admission(1, 0)
    async with admission.slot(Work(0.0), Deadline.after(5)):
        start = time.monotonic()
        with pytest.raises(Overloaded):
            async with admission.slot(Work(4.9), Deadline.after(5)):
                pass
        assert time.monotonic() - start < 2  # not after five


async def test_monsters_leave_a_worker_to_thumbnails() -> None:
    admission = Admission(20, 0, workers=4)
    leave = asyncio.Event()
    rendering: list[Lane] = []

    async def render(lane: Lane) -> None:
        work = Work(1.0, lane)
        async with admission.slot(work, Deadline.after(60)), admission.turn(work, Deadline.after(60)):
            rendering.append(lane)
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        for lane in [Lane.HEAVY] * 5 + [Lane.VECTOR] * 3 + [Lane.LIGHT] * 3:
            group.create_task(render(lane))
        await until(lambda: len(rendering) == 6)
        assert sorted(lane.value for lane in rendering) == ["heavy"] * 2 + ["light"] * 3 + ["vector"]
        leave.set()
    assert len(rendering) == 11


async def test_a_lane_does_not_take_all_places() -> None:
    admission = Admission(8, 0, workers=2)
    leave = asyncio.Event()
    refused = 0

    async def render() -> None:
        nonlocal refused
        work = Work(0.1, Lane.VECTOR)
        try:
            async with admission.slot(work, Deadline.after(60)), admission.turn(work, Deadline.after(60)):
                await leave.wait()
        except Overloaded:
            refused += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(render())
        await until(lambda: refused == 5)  # one renders, two wait
        leave.set()


async def test_a_turn_that_does_not_come_is_a_refusal() -> None:
    admission = Admission(8, 0, workers=2)
    work = Work(0.1, Lane.HEAVY)
    async with admission.turn(work, Deadline.after(5)):
        with pytest.raises(Overloaded, match="heavy images wait"):
            async with admission.turn(work, Deadline.after(0.01)):
                pass
    assert admission.refused == {(Lane.HEAVY, "lane"): 1}
    async with admission.turn(work, Deadline.after(5)):
        pass


async def test_without_memory_nothing_is_begun() -> None:
    short = True
    admission = Admission(8, 0, shedding=lambda: short)
    assert admission.pressed
    with pytest.raises(Overloaded, match="memory"):
        async with admission.slot(Work(0.0), Deadline.after(5)):
            pass
    short = False
    async with admission.slot(Work(0.0), Deadline.after(5)):
        pass


def test_the_pace_is_what_is_done_while_there_is_more_to_do() -> None:
    now = 0.0
    pace = _Pace(4, lambda: now)
    for _ in range(100):
        now += 0.1
        pace.done(0.1, busy=True)
    assert pace.value == pytest.approx(1.0, rel=0.1)  # guesses are four times too low, or the machine is busy
    for _ in range(100):
        now += 1
        pace.done(0.0, busy=True)
    assert pace.value == 0.2
    pace.done(0.1, busy=False)
    assert pace.value == 4


async def test_a_machine_that_is_slower_than_guessed_has_a_shorter_queue() -> None:
    admission = Admission(1, 0, workers=4)
    async with admission.slot(Work(1.0), Deadline.after(60)):
        admission.check(Work(1.0), Deadline.after(2))
        admission._pace.value = 0.5
        with pytest.raises(Overloaded):
            admission.check(Work(1.0), Deadline.after(2))
