"""Where log lines go: a descriptor that is never waited for.

Whoever reads the log may stop: a full pipe, a hung collector. A server that waits for it stops with it. So what cannot
be written now waits in a small buffer, and what does not fit there is dropped, a line at a time, and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import stat
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BUFFER_BYTES = 256 * 1024
_PAGE = 4096
_PATIENCE_S = 0.5
"""At the end: for what is still in the buffer."""


class Sink(logging.Handler):
    """A log handler on a descriptor, which stays the caller's. Raises ``OSError`` if it cannot be written to."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd, self._send, self._leave = _unblocking(fd)
        self._waiting = bytearray()
        self._awaited: asyncio.Handle | None = None
        self.dropped = 0
        """Lines that nobody will ever read."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - logging's own convention: a line that cannot be written is told of, not raised
            self.handleError(record)
            return
        self._waiting += line.encode("utf-8", "backslashreplace") + b"\n"
        if not self._put_off(record.levelno):
            self._try()
        if len(self._waiting) > _BUFFER_BYTES:
            # The first line may be half written: what is in the way are the others.
            first = self._waiting.find(b"\n") + 1
            self.dropped += self._waiting.count(b"\n", first)
            del self._waiting[first:]

    def _put_off(self, level: int) -> bool:
        """Leave the writing to when the event loop has done what it is at: one call for all of its lines.

        Not of what may be somebody's last words, and only up to a page.
        """
        if level >= logging.ERROR or len(self._waiting) > _PAGE:
            return False
        if self._awaited is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return False
            self._awaited = loop.call_soon(self._catch_up)
        return True

    def _catch_up(self) -> None:
        self._awaited = None
        with self.lock or nullcontext():
            self._try()

    def flush(self) -> None:
        """Wait a moment for what is still to be written."""
        self._try()
        while self._waiting and select.select([], [self._fd], [], _PATIENCE_S)[1]:
            before = len(self._waiting)
            self._try()
            if len(self._waiting) == before:
                return

    def close(self) -> None:
        with suppress(OSError, ValueError):
            self.flush()
            self._leave()
        super().close()

    def _try(self) -> None:
        """Write as much as goes without waiting."""
        with suppress(BlockingIOError):
            while self._waiting:
                try:
                    del self._waiting[: self._send(self._waiting)]
                except BlockingIOError:
                    raise
                except OSError:  # the disk is full, or the reader has gone: nothing of this will ever be written
                    self.dropped += self._waiting.count(b"\n")
                    self._waiting.clear()


def _unblocking(fd: int) -> tuple[int, Callable[[bytearray], int], Callable[[], None]]:
    """A descriptor of our own for the same file, what writes to it without waiting, and what closes it."""
    kind = os.fstat(fd).st_mode
    if stat.S_ISSOCK(kind):  # systemd's journal
        sender = socket.socket(fileno=os.dup(fd))
        return sender.fileno(), lambda data: sender.send(data, socket.MSG_DONTWAIT), sender.close
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
        # Opened anew: whether it blocks belongs to the opening, which is shared with the shell and other processes.
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    else:
        own = os.dup(fd)  # of a file the place to write at is shared; it does not block
    return own, lambda data: os.write(own, data), lambda: os.close(own)
