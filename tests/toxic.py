"""A TCP proxy that spoils what passes: slow, hanging, cut, or with wrong bits."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Toxic:
    """A running proxy. What is set here holds for what passes from now on."""

    def __init__(self, port: int, seed: int = 1) -> None:
        self.port = 0
        self.latency = 0.0
        """Seconds that each piece of a reply is late."""
        self.hangs = False
        """Whether replies stay here; they go on once it is False again."""
        self.flips = 0.0
        """The share of pieces of replies in which one bit is wrong."""
        self.flipped = 0
        self._upstream = port
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._moved = asyncio.Event()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def go_on(self) -> None:
        self.hangs = False
        self._moved.set()

    def cut(self) -> None:
        """Break all connections, as a network does."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_writer = None
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            self._writers |= {writer, upstream_writer}
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, upstream_writer, spoil=False))
                group.create_task(self._pass(upstream_reader, writer, spoil=True))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, upstream_writer):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, spoil: bool) -> None:
        while data := await reader.read(1 << 16):
            writer.write(await self._spoilt(data) if spoil else data)
            await writer.drain()
        raise ConnectionResetError  # one end closed: the other is to see that

    async def _spoilt(self, data: bytes) -> bytes:
        if self.latency:
            await asyncio.sleep(self.latency)
        while self.hangs:
            self._moved.clear()
            await self._moved.wait()
        if self._random.random() < self.flips:
            self.flipped += 1
            spoilt = bytearray(data)
            spoilt[self._random.randrange(len(spoilt))] ^= 1 << self._random.randrange(8)
            return bytes(spoilt)
        return data


@asynccontextmanager
async def toxic(port: int, seed: int = 1) -> AsyncGenerator[Toxic]:
    """A proxy before a port of 127.0.0.1."""
    proxy = Toxic(port, seed)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.hangs = False
        proxy._moved.set()
        proxy.cut()
        with suppress(asyncio.CancelledError):
            await server.wait_closed()
