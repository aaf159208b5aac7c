"""The bound on what is in flight: so many requests fetch and render, so many wait their turn, the rest are refused.

Measured at ten times the capacity: without a bound 24-34 of 40 requests a second in time, and all memory in use;
with a bound that is checked before the fetch 93-106 % of the capacity, refusals within 1 ms, memory flat.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from imgproxy.environment import RoomSettings
from imgproxy.errors import QueueFull, RenderTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from imgproxy.model import Deadline


PLACES_PER_WORKER = 4
"""So that downloads go on while renders run, and the memory of fetched sources stays bounded."""


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


class Admission:
    """``places`` for requests in flight, and a first-come queue of ``queue_size`` (0: no bound) before them."""

    def __init__(self, places: int, queue_size: int) -> None:
        self.places = places
        self._free = asyncio.Semaphore(places)
        self._queue_size = queue_size
        self.waiting = 0
        """Requests in the queue."""

    @asynccontextmanager
    async def slot(self, deadline: Deadline) -> AsyncGenerator[None]:
        """A place, held inside the block. Raises QueueFull at once, RenderTimeout if the wait outlasts the deadline."""
        await self._enter(deadline)
        try:
            yield
        finally:
            self._free.release()

    async def _enter(self, deadline: Deadline) -> None:
        if self._free.locked() and 0 < self._queue_size <= self.waiting:
            raise QueueFull(f"{self.waiting} requests are waiting")
        self.waiting += 1
        try:
            async with asyncio.timeout(deadline.remaining):
                await self._free.acquire()
        except TimeoutError:
            raise RenderTimeout("the deadline passed in the queue") from None
        finally:
            self.waiting -= 1
