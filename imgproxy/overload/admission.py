"""Who may begin: a bound on what is in flight, a queue before it that knows how long it is, and lanes.

Measured at ten times the capacity: without a bound 24-34 of 40 requests a second in time, and all memory in use;
with a bound that is checked before the fetch 93-106 % of the capacity, refusals within 1 ms, memory flat. So whoever
could not be served before his deadline is told at once, and when to come again; and whoever is let in is served.

Monsters and vectors have lanes of their own: half and a quarter of the render processes, so that there is always one
for thumbnails. What is answered from memory never comes here.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from imgproxy.environment import GoBool, RoomSettings
from imgproxy.errors import Overloaded, QueueFull
from imgproxy.overload.cost import Lane

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from imgproxy.model import Deadline
    from imgproxy.overload.cost import Work

PLACES_PER_WORKER = 10
"""So that downloads go on while renders run, and the memory of fetched sources stays bounded."""

_PRESSED_S = 1.0
"""Seconds of work in the queue from which on cheaper answers are better than later ones."""
_BUSY_S = 0.1
"""From which on renders wait for each other."""
_LONGEST_PAUSE_S = 30.0
_WINDOW_S = 0.5
_SLOWEST_PACE = 0.05
_MARGIN = 1.25
"""Guesses may be too low: to be refused at once is better than to be refused after having waited."""


class OverloadSettings(RoomSettings):
    """What happens when there is more to do than can be done."""

    requests_queue_size: int = Field(
        default=256,
        ge=0,
        description="How many requests may wait for a place; more are refused with 429. 0: no bound.",
        json_schema_extra={
            "imgproxy": 0,
            "why": "An unbounded queue only turns overload into timeouts.",
        },
    )
    brownout: GoBool = Field(
        default=False,
        description="When more than a second of work is queued, answer with something cheaper before anything is "
        "refused: the encoders' lowest effort, a stale result, or the stored result of another size of the same "
        "picture. Such answers have a short max-age.",
    )
    adaptive_encoding: GoBool = Field(
        default=False,
        description="While renders wait for each other, answer clients that take AVIF with a quick WebP and a short "
        "max-age, and make the AVIF behind the answer.",
    )


@dataclass(slots=True)
class _Line:
    """A lane: how many of it render at a time, and how much of it is in flight or waits."""

    workers: int
    backlog: float = 0.0
    waiting: int = 0
    turns: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.turns = asyncio.Semaphore(self.workers)

    @property
    def wait(self) -> float:
        """Seconds until all of it is done."""
        return self.backlog / self.workers


class _Pace:
    """How many guessed seconds of work are done in a second, while there is always more to do.

    As many as there are workers, if guesses are right and nothing else needs the machine; else it is seen here.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.value = self._usual = float(workers)
        self._clock = clock
        self._since = clock()
        self._done = 0.0

    def done(self, seconds: float, *, busy: bool) -> None:
        """Work is done; ``busy``: others wait for their turn."""
        now = self._clock()
        if not busy:
            self.value, self._since, self._done = self._usual, now, 0.0
            return
        self._done += seconds
        if (elapsed := now - self._since) >= _WINDOW_S:
            self.value = max(_SLOWEST_PACE * self._usual, (self.value + self._done / elapsed) / 2)
            self._since, self._done = now, 0.0


class Admission:
    """``places`` for requests in flight before ``workers``, and a queue of ``queue_size`` (0: no bound) before them.

    ``shedding``: whether the machine has no memory for more.
    """

    def __init__(
        self, places: int, queue_size: int, workers: int = 1, shedding: Callable[[], bool] = lambda: False
    ) -> None:
        self.places = places
        self._workers = workers
        self._queue_size = queue_size
        self._shedding = shedding
        self._free = asyncio.Semaphore(places)
        self._pace = _Pace(workers)
        self._lines = {
            Lane.LIGHT: _Line(workers),
            Lane.HEAVY: _Line(max(1, workers // 2)),
            Lane.VECTOR: _Line(max(1, workers // 4)),
        }
        self.waiting = 0
        """Requests in the queue."""
        self.refused: dict[tuple[Lane, str], int] = {}
        """Requests that were not let in, by lane and reason: "queue", "deadline", "memory" or "lane"."""

    @property
    def wait(self) -> float:
        """Seconds until whoever comes now has his turn, as far as guesses go."""
        return sum(line.backlog for line in self._lines.values()) / self._pace.value

    @property
    def pressed(self) -> bool:
        """Whether there is so much to do that cheaper answers are better than later ones."""
        return self.wait > _PRESSED_S or self._shedding()

    @property
    def busy(self) -> bool:
        """Whether renders wait for each other."""
        return self.wait > _BUSY_S * self._workers or self._shedding()

    @asynccontextmanager
    async def slot(self, work: Work, deadline: Deadline) -> AsyncGenerator[None]:
        """A place for one request, from before its download to after its render.

        Raises ``QueueFull`` or ``Overloaded`` at once where it makes no sense to wait.
        """
        line = self._lines[work.lane]
        self.check(work, deadline)
        line.backlog += work.seconds
        try:
            await self._enter(work, deadline)
            try:
                yield
            finally:
                self._free.release()
        finally:
            line.backlog -= work.seconds

    @asynccontextmanager
    async def turn(self, work: Work, deadline: Deadline) -> AsyncGenerator[None]:
        """The right to render now, for who has a place. ``Overloaded`` if its lane is too long for the deadline."""
        async with self._lane(work, deadline):
            yield
            # Only what was rendered says how fast renders are.
            self._pace.done(work.seconds, busy=self.waiting > 0)

    @asynccontextmanager
    async def _lane(self, work: Work, deadline: Deadline) -> AsyncGenerator[None]:
        line = self._lines[work.lane]
        if work.lane is Lane.LIGHT:
            yield
            return
        if line.waiting >= max(1, self.places // 4):
            # Those who wait here have places, which thumbnails need.
            raise self._refusal(work, "lane", line.wait)
        line.waiting += 1
        try:
            async with asyncio.timeout(deadline.remaining):
                await line.turns.acquire()
        except TimeoutError:
            raise self._refusal(work, "lane", line.wait) from None
        finally:
            line.waiting -= 1
        try:
            yield
        finally:
            line.turns.release()

    def check(self, work: Work, deadline: Deadline) -> None:
        """Raise ``QueueFull`` or ``Overloaded`` if ``slot`` would at once."""
        if self._shedding():
            raise self._refusal(work, "memory", 5.0)
        if not self._free.locked():
            return
        if 0 < self._queue_size <= self.waiting:
            self._count(work, "queue")
            raise QueueFull(f"{self.waiting} requests are waiting", retry_after=min(self.wait, _LONGEST_PAUSE_S))
        wait = max(self.wait, self._lines[work.lane].wait)
        if _MARGIN * (wait + work.seconds) > deadline.remaining:
            raise self._refusal(work, "deadline", _MARGIN * (wait + work.seconds) - deadline.remaining)

    async def _enter(self, work: Work, deadline: Deadline) -> None:
        self.waiting += 1
        try:
            # Who could not be done in time when his turn comes is not begun.
            async with asyncio.timeout(max(0.0, deadline.remaining - work.seconds)):
                await self._free.acquire()
        except TimeoutError:
            raise self._refusal(work, "deadline", self.wait) from None
        finally:
            self.waiting -= 1

    def _refusal(self, work: Work, reason: str, pause: float) -> Overloaded:
        self._count(work, reason)
        why = {
            "memory": "the machine is short of memory",
            "deadline": f"{self.wait:.1f} s of work are queued, this takes {work.seconds:.2f} s",
            "lane": f"{work.lane.value} images wait for each other for {self._lines[work.lane].wait:.1f} s",
        }[reason]
        return Overloaded(why, retry_after=min(pause, _LONGEST_PAUSE_S))

    def _count(self, work: Work, reason: str) -> None:
        self.refused[work.lane, reason] = self.refused.get((work.lane, reason), 0) + 1
