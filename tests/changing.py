"""An origin whose one picture changes, vanishes and comes back as a test says, and that counts what it is asked."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from tests.origins.origin import whole


@dataclass
class Changing:
    """Answers every path with ``body`` under ``etag``; 304 where the request names it."""

    body: bytes = b"one"
    etag: str | None = '"1"'
    headers: tuple[str, ...] = ()
    status: str = "200 OK"
    gate: asyncio.Event | None = None
    """Answers wait for it."""
    asked: int = 0
    conditional: int = 0
    sent: int = 0
    """Bodies."""
    paths: list[str] = field(default_factory=list)

    def change(self, body: bytes, etag: str | None) -> None:
        self.body, self.etag = body, etag

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        head = request.decode("latin-1")
        self.asked += 1
        self.paths.append(head.split(" ", 2)[1])
        if self.gate is not None:
            await self.gate.wait()
        known = re.search(r"(?im)^if-none-match: (.*?)\r$", head)
        self.conditional += known is not None
        headers = (*self.headers, *((f"ETag: {self.etag}",) if self.etag else ()))
        if self.status != "200 OK":
            writer.write(whole(b"no", status=self.status))
        elif known and known[1] == self.etag:
            writer.write(whole(b"", *headers, status="304 Not Modified"))
        else:
            self.sent += 1
            writer.write(whole(self.body, *headers))
