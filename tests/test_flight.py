"""One making for each key, whoever comes, leaves or fails."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextlib import suppress

import pytest

from imgproxy.errors import BrokenImage, Draining, RenderTimeout, WorkerLost
from imgproxy.flight import Flights
from imgproxy.model import Deadline

LONG = Deadline.after(86_400)


class Kitchen:
    """Makings that end when they are told to, and the count of them."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.orders: list[asyncio.Future[str]] = []

    async def make(self) -> str:
        self.begun += 1
        order = asyncio.get_running_loop().create_future()
        self.orders.append(order)
        try:
            return await order
        finally:
            self.ended += 1


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0)


async def test_a_thousand_ask_and_one_makes() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights, asyncio.TaskGroup() as group:
        asking = [group.create_task(flights.join("key", kitchen.make, LONG)) for _ in range(1000)]
        await until(lambda: flights.waiting == 999 and kitchen.begun > 0)
        kitchen.orders[0].set_result("done")
        answers = [await each for each in asking]
    assert [text for text, _ in answers] == ["done"] * 1000
    assert [collapsed for _, collapsed in answers].count(False) == 1
    assert (kitchen.begun, flights.waiting, flights.collapsed, "key" in flights) == (1, 0, 999, False)


async def test_keys_do_not_wait_for_each_other() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights, asyncio.TaskGroup() as group:
        one, two = (group.create_task(flights.join(key, kitchen.make, LONG)) for key in "ab")
        await until(lambda: kitchen.begun == 2)
        kitchen.orders[1].set_result("two")
        assert await two == ("two", False)
        assert not one.done()
        kitchen.orders[0].set_result("one")


async def test_after_it_is_made_it_is_made_anew() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights, asyncio.TaskGroup() as group:
        for n in range(2):
            task = group.create_task(flights.join("key", kitchen.make, LONG))
            await until(lambda n=n: kitchen.begun == n + 1)
            kitchen.orders[n].set_result(str(n))
            assert await task == (str(n), False)


async def test_the_first_one_leaves_and_the_others_get_it() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights, asyncio.TaskGroup() as group:
        first = group.create_task(flights.join("key", kitchen.make, LONG))
        await until(lambda: kitchen.begun == 1)
        other = group.create_task(flights.join("key", kitchen.make, LONG))
        await until(lambda: flights.waiting == 1 and kitchen.begun > 0)
        first.cancel()
        await asyncio.wait({first})
        kitchen.orders[0].set_result("done")
        assert await other == ("done", True)
    assert (kitchen.begun, first.cancelled()) == (1, True)


async def test_when_all_leave_the_making_ends() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights, asyncio.TaskGroup() as group:
        asking = [group.create_task(flights.join("key", kitchen.make, LONG)) for _ in range(3)]
        await until(lambda: flights.waiting == 2 and kitchen.begun > 0)
        for each in asking:
            each.cancel()
        await asyncio.wait(asking)
        # Who comes now does not join what is about to end.
        late = group.create_task(flights.join("key", kitchen.make, LONG))
        await until(lambda: kitchen.begun == 2)
        assert kitchen.ended == 1
        kitchen.orders[1].set_result("anew")
        assert await late == ("anew", False)


async def test_an_error_of_the_picture_is_everybodys() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights:
        asking = [asyncio.ensure_future(flights.join("key", kitchen.make, LONG)) for _ in range(3)]
        await until(lambda: flights.waiting == 2 and kitchen.begun > 0)
        kitchen.orders[0].set_exception(BrokenImage("no"))
        ended = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in ended] == [BrokenImage] * 3
    assert kitchen.begun == 1


@pytest.mark.parametrize("error", [RenderTimeout("late"), WorkerLost("gone")])
async def test_what_befell_the_first_one_is_tried_once_more(error: Exception) -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights:
        asking = [asyncio.ensure_future(flights.join("key", kitchen.make, LONG)) for _ in range(4)]
        await until(lambda: flights.waiting == 3 and kitchen.begun > 0)
        kitchen.orders[0].set_exception(error)
        await until(lambda: kitchen.begun == 2)
        kitchen.orders[1].set_result("done")
        first, *others = await asyncio.gather(*asking, return_exceptions=True)
    assert first is error
    assert [each[0] for each in others if isinstance(each, tuple)] == ["done"] * 3
    assert kitchen.begun == 2


async def test_tries_are_bounded() -> None:
    begun = 0

    async def fail() -> str:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        raise WorkerLost("again")

    async with Flights[str]() as flights:
        ended = await asyncio.gather(*(flights.join("key", fail, LONG) for _ in range(50)), return_exceptions=True)
    assert {type(each) for each in ended} == {WorkerLost}
    assert begun <= 3


async def test_a_waiter_goes_by_its_own_deadline() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights, asyncio.TaskGroup() as group:
        first = group.create_task(flights.join("key", kitchen.make, LONG))
        await until(lambda: kitchen.begun == 1)
        with pytest.raises(RenderTimeout):
            await flights.join("key", kitchen.make, Deadline.after(0.01))
        assert not first.done()
        kitchen.orders[0].set_result("done")
    assert kitchen.begun == 1


async def test_what_is_made_behind_is_not_given_up() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights:
        flights.behind("key", kitchen.make)
        flights.behind("key", kitchen.make)
        asking = asyncio.ensure_future(flights.join("key", kitchen.make, LONG))
        await until(lambda: flights.waiting == 1 and kitchen.begun > 0)
        asking.cancel()
        await asyncio.wait({asking})
        assert (kitchen.begun, kitchen.ended) == (1, 0)
        kitchen.orders[0].set_exception(BrokenImage("its own business"))
        await until(lambda: kitchen.ended == 1)


async def test_the_end_ends_everything() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights:
        flights.behind("behind", kitchen.make)
        asking = asyncio.ensure_future(flights.join("key", kitchen.make, LONG))
        await until(lambda: kitchen.begun == 2)
    with pytest.raises(Draining):
        await asking
    assert kitchen.ended == 2


async def test_only_so_many_are_made_behind_answers() -> None:
    kitchen = Kitchen()
    async with Flights[str]() as flights:
        assert [flights.behind(key, kitchen.make, at_most=2) for key in "aabc"] == [True, False, True, False]
        await until(lambda: kitchen.begun == 2)
        kitchen.orders[0].set_result("done")
        await until(lambda: "a" not in flights)
        assert flights.behind("c", kitchen.make, at_most=2)


async def test_an_error_leaves_no_circle_behind() -> None:
    """A circle would keep what the frames hold, descriptors among it, until the collector comes."""

    class Held:
        pass

    async def fail() -> str:
        held = Held()
        alive.append(weakref.ref(held))
        raise BrokenImage("no")

    alive: list[weakref.ref[Held]] = []
    gc.disable()
    try:
        async with Flights[str]() as flights:
            for n in range(3):
                with suppress(BrokenImage):
                    await flights.join(n, fail, LONG)
            await flights.settled()
        assert [each() for each in alive] == [None] * 3
    finally:
        gc.enable()
