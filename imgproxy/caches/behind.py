"""Writes to the shared tiers, done behind the answers: bounded in number and bytes, and lost rather than waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Self

from imgproxy.caches.base import TierDown

if TYPE_CHECKING:
    from types import TracebackType

_log = logging.getLogger("imgproxy.caches")

Write = Callable[[], Coroutine[object, object, object]]
"""Something to be done behind an answer."""


class Behind:
    """A queue of writes and the ``workers`` that do them, for as long as the ``async with`` lasts.

    At its end what is queued has ``patience`` seconds left, all together; the rest is dropped.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 8 * 1024 * 1024,
        max_pending: int = 1_000,
        workers: int = 2,
        patience: float = 1.0,
    ) -> None:
        self.written = 0
        self.dropped = 0
        """Those that were never done, or not to their end: too much was pending, or the server went."""
        self.failed = 0
        self.pending = 0
        """Queued or being done."""
        self.pending_bytes = 0
        self._max_bytes = max_bytes
        self._max_pending = max_pending
        self._worker_count = workers
        self._patience = patience
        self._queue: asyncio.Queue[tuple[int, Write]] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    def submit(self, size: int, write: Write) -> bool:
        """Whether ``write``, which holds on to ``size`` bytes, will be tried."""
        if not self._workers or self.pending >= self._max_pending or self.pending_bytes + size > self._max_bytes:
            self.dropped += 1
            return False
        self.pending += 1
        self.pending_bytes += size
        self._queue.put_nowait((size, write))
        return True

    async def drain(self) -> None:
        """Wait until nothing is pending."""
        await self._queue.join()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._workers = [loop.create_task(self._work(), name=f"behind-{n}") for n in range(self._worker_count)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        workers, self._workers = self._workers, []
        try:
            async with asyncio.timeout(self._patience):
                await self._queue.join()
        except TimeoutError:
            _log.warning("%d writes to caches were given up at the end", self.pending)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._give_up()

    async def _work(self) -> None:
        while True:
            size, write = await self._queue.get()
            try:
                await write()
                self.written += 1
            except TierDown:
                self.failed += 1
            except asyncio.CancelledError:
                self.dropped += 1
                raise
            except Exception:  # noqa: BLE001  a bug in one write must not end the worker, and with it all later ones
                self.failed += 1
                _log.exception("a write to a cache failed in an unforeseen way")
            finally:
                self._done(size)

    def _give_up(self) -> None:
        while not self._queue.empty():
            size, _ = self._queue.get_nowait()
            self.dropped += 1
            self._done(size)

    def _done(self, size: int) -> None:
        self.pending -= 1
        self.pending_bytes -= size
        self._queue.task_done()
