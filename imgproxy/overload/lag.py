"""Whether the event loop turns: how late it is, and what held it up when it hangs.

Everything that a node says, health checks included, comes from one loop. Whatever blocks it stops them all, and
nothing inside can tell; so a thread watches from outside.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("imgproxy.loop")

INTERVAL_S = 0.1
STALL_S = 0.25
"""A request that waits as long as this for nothing is noticed by people; rendering happens elsewhere."""
HANG_S = 5.0
"""Load balancers ask every few seconds: one that was not answered for so long has gone elsewhere."""


class Lag:
    """How late the event loop is. ``clock`` is monotonic, in seconds."""

    def __init__(
        self, *, stall: float = STALL_S, hang: float = HANG_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stall = stall
        self._hang = hang
        self._clock = clock
        self._beat = clock()
        self._hung_at = float("-inf")
        self.lag = 0.0
        """Seconds by which the loop was late when it was last looked at."""
        self.stalls = 0
        """How often it was late by more than ``stall``."""
        self.hangs = 0
        """How often it was late by more than ``hang``."""

    @property
    def obstacle(self) -> str:
        """Why this node had better get no requests; empty if all is well, which takes ``hang`` seconds after a hang."""
        return "the event loop was blocked" if self._clock() - self._hung_at < self._hang else ""

    def beat(self) -> None:
        """Note how late the loop is; called every INTERVAL_S."""
        now = self._clock()
        self.lag = max(0.0, now - self._beat - INTERVAL_S)
        self._beat = now
        if self.lag > self._stall:
            self.stalls += 1
        if self.lag > self._hang:
            self.hangs += 1
            self._hung_at = now
            _log.error("the event loop turns again", extra={"fields": {"blocked_s": round(self.lag, 1)}})

    async def watch(self) -> None:
        """Watch the loop that this runs in, until cancelled."""
        self._beat = self._clock()
        ended = threading.Event()
        thread = threading.Thread(
            target=self._look_in, args=(threading.get_ident(), ended), name="imgproxy-lag", daemon=True
        )
        thread.start()
        try:
            while True:
                await asyncio.sleep(INTERVAL_S)
                self.beat()
        finally:
            ended.set()

    def _look_in(self, watched: int, ended: threading.Event) -> None:
        """In a thread of its own: write down where the loop hangs, once for each hang."""
        told = 0.0
        while not ended.wait(self._hang / 10):
            beat = self._beat
            if self._clock() - beat > self._hang and beat != told:
                told = beat
                # Documented, for debuggers.
                frame = sys._current_frames().get(watched)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                stack = traceback.format_stack(frame) if frame else []
                fields = {"blocked_s": round(self._clock() - beat, 1), "stack": "".join(stack)}
                _log.error("the event loop hangs", extra={"fields": fields})
