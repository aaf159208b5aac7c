"""Requests at a fixed rate, whether or not earlier ones were answered: what the world does to a server.

One asyncio protocol, no library: at 600 requests/s a client library takes a fifth of a core that the server needs.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Shot:
    """One request and what came of it. Times in seconds; status 0 for none."""

    kind: str
    at: float
    """Since the first request."""
    seconds: float
    status: int
    headers: str = ""
    body: int = 0
    """Bytes."""
    error: str = ""
    """What the body of an error says."""


_Answer = tuple[int, str, int, str]
_NONE: _Answer = (0, "", 0, "")


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[_Answer] | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.open = True

    def ask(self, request: bytes) -> asyncio.Future[_Answer]:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._buffer.clear()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = self._buffer[:end].decode("latin-1")
        length = 0
        for line in head.lower().split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name == "content-length":
                length = int(value)
            elif name == "connection" and value.strip() == "close":
                self.open = False
        if len(self._buffer) >= end + 4 + length:
            answer, self._answer = self._answer, None
            if not answer.done():
                status = int(head[9:12])
                said = self._buffer[end + 4 :][:100].decode("latin-1") if status >= 400 else ""
                answer.set_result((status, head, length, said))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(_NONE)

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()


async def fire(bind: str, targets: Iterable[tuple[str, str]], rate: float, seconds: float) -> list[Shot]:
    """Ask for ``targets`` (kind, target) at ``rate`` a second for so many ``seconds``, and wait for all answers."""
    gun = Gun(bind)
    async with asyncio.TaskGroup() as group:
        for number, (kind, target) in enumerate(itertools.islice(targets, int(rate * seconds))):
            due = gun.began + number / rate
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            group.create_task(gun.shoot(kind, target, due))
    gun.close()
    return gun.shots


class Gun:
    """Connections to one server, kept alive, and what came of the requests on them."""

    def __init__(self, bind: str) -> None:
        self.began = time.monotonic()
        self.shots: list[Shot] = []
        self._bind = bind
        self._idle: list[_Connection] = []

    async def shoot(self, kind: str, target: str, due: float) -> Shot:
        """One request, that was ``due`` at a moment of the monotonic clock: its time counts from then."""
        connection: _Connection | None = None
        try:
            connection = self._reused() or await self._connected()
            request = f"GET {target} HTTP/1.1\r\nHost: {self._bind}\r\n\r\n".encode("latin-1")
            async with asyncio.timeout(60):
                answer = await connection.ask(request)
        except (OSError, TimeoutError):
            answer = _NONE
        shot = Shot(kind, due - self.began, time.monotonic() - due, *answer)
        self.shots.append(shot)
        if connection is not None and connection.open:
            self._idle.append(connection)
        return shot

    def close(self) -> None:
        for connection in self._idle:
            connection.close()

    def _reused(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        return None

    async def _connected(self) -> _Connection:
        host, _, port = self._bind.rpartition(":")
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, int(port))
        return connection
