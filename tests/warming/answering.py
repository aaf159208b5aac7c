"""A server that answers what it is told to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from imgproxy.warming.places import Place

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"


@dataclass
class Answering:
    """Answers by target, in turn; the last one again and again. None closes the connection."""

    answers: dict[str, list[bytes | None]]
    port: int = 0
    asked: list[str] = field(default_factory=list[str])
    heads: list[str] = field(default_factory=list[str])

    @property
    def place(self) -> Place:
        return Place("http", "127.0.0.1", self.port)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                target = head.split(" ", 2)[1]
                self.asked.append(target)
                self.heads.append(head.lower())
                turns = self.answers.get(target, [OK])
                body = turns.pop(0) if len(turns) > 1 else turns[0]
                if body is None:
                    return
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def said(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An answer as bytes; header names with underscores."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def answering(**answers: list[bytes | None]) -> AsyncGenerator[Answering]:
    """A server whose answers to ``/name`` are given under ``name``."""
    server = Answering({f"/{name}": turns for name, turns in answers.items()})
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server


class Time:
    """A clock that goes on only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
