"""A small forward proxy on 127.0.0.1: opens tunnels, and says what it was asked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Proxy:
    """A running proxy. ``refusal``: what it says instead of opening a tunnel."""

    def __init__(self, refusal: bytes | None = None) -> None:
        self.heads: list[bytes] = []
        self.port = 0
        self._refusal = refusal

    def url(self, userinfo: str = "") -> str:
        return f"http://{userinfo}127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self._refusal is None:
                await self._dig(head, reader, writer)
            else:
                writer.write(self._refusal)
                await writer.drain()
        writer.close()

    async def _dig(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = head.split(b" ", 2)
        assert method == b"CONNECT"
        host, _, port = target.decode().rpartition(":")
        there, here = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        await asyncio.gather(_pour(reader, here), _pour(there, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def proxying(refusal: bytes | None = None) -> AsyncGenerator[Proxy]:
    proxy = Proxy(refusal)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        for _ in range(5):
            await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
