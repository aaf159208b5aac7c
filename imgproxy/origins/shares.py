"""Turns at an origin: how many downloads from it may be under way at once, and who waits for the next one.

A slow origin keeps all who ask it waiting. Without a bound it is soon all that the server does (imgix, 2021-05: slow
origins filled the fetch pool, and 5 to 15 % of all requests failed). But most servers have one origin, which nobody has
to be protected from. So an origin that nobody else stands beside has no bound; among others, one that is slow, or not
known yet, gets a small share of the places, and one that has shown to be fast gets all but such a share.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgproxy.errors import RenderTimeout, SourceBusy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from imgproxy.model import Deadline

FEWEST = 4
"""Turns of an origin on a small node."""
SLOW_S = 1.0
"""Seconds on average, or of one download so far, from which on an origin is slow."""
COMPANY_S = 60.0
"""Seconds for which an origin that was asked counts as somebody who has to be protected."""
_QUEUE, _SLOW_QUEUE = 64, 4
"""Requests that wait, for each of the share: at a slow one, more would wait longer than four downloads."""
_WEIGHT = 0.3
_MOST_KNOWN = 1_000


class Turn:
    """A turn at an origin, over when ``leave`` is called."""

    def __init__(self, leave: Callable[[], None], begin: Callable[[], None] = lambda: None) -> None:
        self._leave: Callable[[], None] | None = leave
        self._begin = begin

    def begin(self) -> None:
        """The download begins now, not when the turn was given."""
        self._begin()

    def leave(self) -> None:
        """Let the next one in, once the body has landed. Calling it again does nothing."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


@dataclass(slots=True)
class _Origin:
    asked_at: float
    since: dict[int, float] = field(default_factory=dict[int, float])
    """When the downloads under way began, by their numbers: oldest first."""
    waiting: deque[asyncio.Future[int]] = field(default_factory=deque[asyncio.Future[int]])
    """Each is given the number of its download."""
    seconds: float | None = None
    """What a download takes, on average; None until one has ended."""


class Shares:
    """Of ``places``, an origin that is slow or new gets ``percent``, and 4 at least; the others what that leaves.

    So many more may wait, first come, first served. ``clock`` is monotonic, in seconds.
    """

    def __init__(self, places: int, percent: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.places = places
        self.share = max(FEWEST, int(places * percent / 100))
        self._clock = clock
        # In the order of their last questions.
        self._origins: OrderedDict[str, _Origin] = OrderedDict()
        self._numbers = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for a turn, at all origins."""
        return sum(len(each.waiting) for each in self._origins.values())

    def at_once(self, origin: str) -> Turn | None:
        """A turn at ``origin``, if it need not be waited for. Whoever gets it leaves it."""
        here = self._asked(origin)
        free = not here.waiting and len(here.since) < self.limit(origin)
        return self._turn(origin, self._number(here)) if free else None

    @asynccontextmanager
    async def turn(self, origin: str, deadline: Deadline) -> AsyncGenerator[Turn]:
        """A turn at ``origin``, left with the block at the latest.

        Raises SourceBusy at once if too many wait already, RenderTimeout if the deadline comes first.
        """
        turn = self.at_once(origin)
        if turn is None:
            turn = self._turn(origin, await self._wait(origin, deadline))
        try:
            yield turn
        finally:
            turn.leave()

    def limit(self, origin: str) -> int:
        """How many downloads from this origin may be under way now."""
        if self._alone(origin):
            return max(self.places, self.share)
        here = self._origins[origin]
        return self.share if here.seconds is None or self._slow(here) else max(self.share, self.places - self.share)

    def _slow(self, here: _Origin) -> bool:
        oldest = next(iter(here.since.values()), None)
        return (here.seconds or 0.0) > SLOW_S or (oldest is not None and self._clock() - oldest > SLOW_S)

    def _alone(self, origin: str) -> bool:
        for other in reversed(self._origins):
            if other != origin:
                return self._clock() - self._origins[other].asked_at > COMPANY_S
        return True

    def _asked(self, origin: str) -> _Origin:
        here = self._origins.setdefault(origin, _Origin(0.0))
        here.asked_at = self._clock()
        self._origins.move_to_end(origin)
        if len(self._origins) > _MOST_KNOWN:
            idle = (name for name, each in self._origins.items() if not each.since and not each.waiting)
            self._origins.pop(next(idle, ""), None)
        return here

    def _number(self, here: _Origin) -> int:
        """A new download, from now on under way."""
        self._numbers += 1
        here.since[self._numbers] = self._clock()
        return self._numbers

    def _turn(self, origin: str, number: int) -> Turn:
        def begin() -> None:
            # At the end again: the dictionary's order is that of the beginnings.
            here = self._origins[origin]
            if here.since.pop(number, None) is not None:
                here.since[number] = self._clock()

        return Turn(lambda: self._leave(origin, number), begin)

    async def _wait(self, origin: str, deadline: Deadline) -> int:
        here = self._origins[origin]
        most = self.share * (_SLOW_QUEUE if self._slow(here) else _QUEUE)
        if len(here.waiting) >= most:
            raise SourceBusy(f"{len(here.waiting)} requests wait for the origin already")
        called: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        here.waiting.append(called)
        try:
            async with asyncio.timeout(deadline.remaining):
                return await called
        except BaseException as error:
            if called in here.waiting:
                here.waiting.remove(called)
            elif called.done() and not called.cancelled():  # called, and gone at the same moment
                del here.since[called.result()]
                self._call(origin)
            if isinstance(error, TimeoutError):
                raise RenderTimeout("the deadline passed while others waited for the same origin") from None
            raise

    def _leave(self, origin: str, number: int) -> None:
        here = self._origins[origin]
        took = self._clock() - here.since.pop(number)
        here.seconds = took if here.seconds is None else here.seconds + _WEIGHT * (took - here.seconds)
        self._call(origin)

    def _call(self, origin: str) -> None:
        """Let in as many as may be."""
        here = self._origins[origin]
        while here.waiting and len(here.since) < self.limit(origin):
            called = here.waiting.popleft()
            if not called.done():
                called.set_result(self._number(here))
