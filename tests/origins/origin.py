"""Origins on 127.0.0.1 that say, byte by byte, what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Origin:
    """A running origin: its port, and the request heads that it got."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.port = 0
        self.requests: list[bytes] = []
        self.open = 0
        self.asked = asyncio.Event()
        self.closed = asyncio.Event()
        """Set whenever no connection is open."""

    def url(self, path: str = "/", userinfo: str = "") -> str:
        return f"http://{userinfo}127.0.0.1:{self.port}{path}"

    @property
    def targets(self) -> list[bytes]:
        return [head.split(b" ", 2)[1] for head in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.closed.clear()
        try:
            while head := await _head(reader):
                self.requests.append(head)
                self.asked.set()
                await self._answer(head, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.open -= 1
            if not self.open:
                self.closed.set()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


@asynccontextmanager
async def running(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Origin]:
    origin = Origin(answer)
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, ssl=tls)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        for _ in range(5):  # asyncio loses the socket of a connection accepted while it closes
            await asyncio.sleep(0)
        server.close()
        await server.wait_closed()


def says(*pieces: bytes, pause: float = 0, close: bool = True) -> Answer:
    """An origin that sends these bytes, whatever it is asked."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)
        if close:
            writer.close()

    return answer


def redirects(location: str, status: int = 302) -> bytes:
    text = f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    return text.encode()


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
