"""T6: how long after the last byte of a slow download the answer is there."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bench.openloop import Gun
from tests.serving import KEY, SALT, serving, signed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

_PIECE = 16 << 10
_PICTURES = {"p24.jpg": 4 << 20, "p3.jpg": 2 << 20, "alpha.png": 4 << 20}
"""And the bytes a second with which they come."""


class Slow:
    """An origin that sends each picture at its pace, and remembers when the last byte went."""

    def __init__(self, folder: Path) -> None:
        self.ended = 0.0
        self.lasted = 0.0
        self._folder = folder

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        name = head.split()[1].decode().rpartition("/")[2]
        content = (self._folder / name).read_bytes()
        kind = "png" if name.endswith("png") else "jpeg"
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: image/{kind}\r\nContent-Length: {len(content)}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        began = time.monotonic()
        for start in range(0, len(content), _PIECE):
            writer.write(content[start : start + _PIECE])
            await writer.drain()
            due = began + (start + _PIECE) / _PICTURES[name]
            if start + _PIECE < len(content):
                await asyncio.sleep(max(0, due - time.monotonic()))
        self.ended = time.monotonic()
        self.lasted = self.ended - began
        writer.close()


@asynccontextmanager
async def _origin(slow: Slow) -> AsyncGenerator[str]:
    server = await asyncio.start_server(slow.answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """For each picture: milliseconds of the download, from its end to the answer, and of a render of bytes at hand."""
    return asyncio.run(_measure(folder, rounds))


async def _measure(folder: Path, rounds: int) -> dict[str, Any]:
    slow = Slow(folder)
    found: dict[str, Any] = {}
    with serving(key=KEY, salt=SALT, workers="0", local_filesystem_root=str(folder)) as server:
        gun = Gun(server.bind)
        async with _origin(slow) as url:
            for name in _PICTURES:
                tails, downloads, at_hand = [], [], []
                for number in range(rounds + 1):
                    began = time.monotonic()
                    await _ask(gun, f"{url}/{number}/{name}")
                    tails.append(round(1000 * (time.monotonic() - slow.ended), 1))
                    downloads.append(round(1000 * (slow.ended - began), 1))
                    began = time.monotonic()
                    await _ask(gun, f"local:///{name}?{number}")
                    at_hand.append(round(1000 * (time.monotonic() - began), 1))
                # The first of each is for warming up.
                found[name] = {"after_ms": tails[1:], "download_ms": downloads[1:], "at_hand_ms": at_hand[1:]}
        gun.close()
    return found


async def _ask(gun: Gun, source: str) -> None:
    shot = await gun.shoot("", signed(source, "rs:fit:512:512", "f:jpeg", "cb:1"), time.monotonic())
    if shot.status != 200:
        raise ValueError(f"{source}: {shot.status}")
