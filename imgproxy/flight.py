"""Single flight: one making for each key at a time; whoever else asks for it waits for that one.

A making runs in a task of its own, not in the request that began it: a client that leaves takes nothing from those
who wait. When the last of them has left, the making is cancelled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from imgproxy.errors import Draining, RenderTimeout, WorkerLost

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from imgproxy.model import Deadline

T = TypeVar("T")

# A making holds the deadline itself, and ends with a better error.
_GRACE_S = 0.05

_TRIES = 2
"""Makings of others that a request waits for before it gives up on them: one may fail of its own short deadline."""


class Flights(Generic[T]):
    """The makings under way, by key. As a context: those that are still under way at its end are cancelled."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Flight[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()
        self._behind = 0
        self.waiting = 0
        """Requests that wait for another request's making now."""
        self.collapsed = 0
        """Requests that ever did."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._under_way

    async def join(
        self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]], deadline: Deadline
    ) -> tuple[T, bool]:
        """What ``make`` gives, from whoever began first; and whether that was another request.

        Raises what ``make`` raises, and ``RenderTimeout`` at the deadline of this request. A making that ended at its
        own deadline, or lost its render process, is begun anew by those who still have time.
        """
        for _ in range(_TRIES):
            flight = self._under_way.get(key)
            if flight is None:
                break
            self.collapsed += 1
            self.waiting += 1
            try:
                return await self._ride(flight, deadline), True
            except (RenderTimeout, WorkerLost):
                if not deadline.remaining:
                    raise
            finally:
                self.waiting -= 1
                del flight  # as below
        # In these lines nothing waits: of all who come here at once, the first begins and the others join below.
        flight = self._under_way.get(key) or self._begin(key, make)
        try:
            return await self._ride(flight, deadline), False
        finally:
            # Its error has a traceback with this frame: a circle would keep what the frames hold, descriptors of
            # originals among it, until the collector comes.
            del flight

    def behind(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]], *, at_most: int = 64) -> bool:
        """Begin a making that nobody waits for, unless it is under way, or ``at_most`` of them are; whether it began.

        Its errors are its own business.
        """
        if key in self._under_way or self._behind >= at_most:
            return False
        self._behind += 1
        flight = self._begin(key, make)
        flight.passengers += 1
        flight.task.add_done_callback(self._is_over)
        return True

    def _is_over(self, _: asyncio.Task[T]) -> None:
        self._behind -= 1

    def _begin(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> _Flight[T]:
        task = asyncio.get_running_loop().create_task(make())
        flight = self._under_way[key] = _Flight(key, task)
        self._tasks.add(task)

        def land(task: asyncio.Task[T]) -> None:
            self._tasks.discard(task)
            self._forget(flight)
            if not task.cancelled():
                task.exception()  # looked at: nobody may be left who would

        task.add_done_callback(land)
        return flight

    async def _ride(self, flight: _Flight[T], deadline: Deadline) -> T:
        flight.passengers += 1
        try:
            await asyncio.wait({flight.task}, timeout=deadline.remaining + _GRACE_S)
        finally:
            flight.passengers -= 1
            if not flight.passengers and not flight.task.done():
                flight.task.cancel()
                self._forget(flight)  # who comes now must not join what is about to end
        try:
            if not flight.task.done():
                raise RenderTimeout("the deadline passed before the image was made")
            if flight.task.cancelled():
                raise Draining("the server stopped before the image was made")
            return flight.task.result()
        finally:
            del flight

    def _forget(self, flight: _Flight[T]) -> None:
        if self._under_way.get(flight.key) is flight:
            del self._under_way[flight.key]


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task that runs for as long as something else does, and wait until it is over."""
    task.cancel()
    await asyncio.wait({task})


@dataclass(slots=True, eq=False)
class _Flight(Generic[T]):
    key: Hashable
    task: asyncio.Task[T]
    passengers: int = 0
    """Those who wait for it; and one more for a making in the background, which is never abandoned."""
