"""A small name server: real answers over UDP and TCP for the names of a test, whatever they are."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Zone = dict[str, "list[str] | Callable[[], list[str]] | None"]
"""Addresses by name; None never answers, a function is asked anew for each question. Other names do not exist."""

_A, _AAAA = 1, 28
_LARGEST_DATAGRAM = 512


class NameServer(asyncio.DatagramProtocol):
    """Answers from a zone, and counts."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # asyncio's own is no subclass of it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self.answer(data)
        if answer is not None and len(answer) > _LARGEST_DATAGRAM:
            # "Truncated": who asks comes back by TCP.
            answer = data[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + data[12 : _end_of_name(data) + 4]
        if answer is not None:
            self._transport.sendto(answer, addr)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while size := await reader.read(2):
            if answer := self.answer(await reader.readexactly(struct.unpack("!H", size)[0])):
                writer.write(struct.pack("!H", len(answer)) + answer)
        writer.close()

    def answer(self, data: bytes) -> bytes | None:
        end = _end_of_name(data)
        name, question = _name(data[12:end]), data[12 : end + 4]
        kind = struct.unpack("!H", data[end : end + 2])[0]
        self.asked.append(name)
        if name not in self.zone:
            return data[:2] + struct.pack("!HHHHH", 0x8183, 1, 0, 0, 0) + question
        found = self.zone[name]
        if found is None:
            return None
        addresses = found() if callable(found) else found
        family = {_A: socket.AF_INET, _AAAA: socket.AF_INET6}.get(kind)
        packed = [
            socket.inet_pton(family, address)
            for address in addresses
            if family is not None and (":" in address) == (kind == _AAAA)
        ]
        records = [struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(each)) + each for each in packed]
        return data[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0) + question + b"".join(records)


def _end_of_name(data: bytes) -> int:
    return data.index(b"\0", 12) + 1


def _name(labels: bytes) -> str:
    parts: list[str] = []
    while labels[0]:
        parts.append(labels[1 : labels[0] + 1].decode())
        labels = labels[labels[0] + 1 :]
    return ".".join(parts).lower()


@asynccontextmanager
async def answering(zone: Zone, address: str) -> AsyncGenerator[NameServer]:
    """The server on port 53 of ``address``."""
    server = NameServer(zone)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, (address, 53))
    streams = await asyncio.start_server(server.serve, address, 53)
    try:
        yield server
    finally:
        streams.close()
        transport.close()
