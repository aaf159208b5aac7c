"""A web server with pictures and bad manners, on 127.0.0.1, in a thread of its own."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import contextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING

from tests import charts
from tests.origins.origin import Origin, running

if TYPE_CHECKING:
    from collections.abc import Iterator

MODIFIED = formatdate(1_700_000_000, usegmt=True)
BIG = bytes(range(256)) * 65_536
"""16 MiB."""
_ETAG = '"v1"'


class Pictures:
    """What the origin has: the charts by name, and what tests put there."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {"big": BIG}
        self.origin: Origin

    def url(self, path: str) -> str:
        return self.origin.url(f"/{path}")

    def put(self, name: str, body: bytes) -> str:
        """The URL of a new picture."""
        self.bodies[name] = body
        return self.url(name)

    def heads(self, part: str) -> list[str]:
        """The heads of the requests whose target holds ``part``."""
        heads = [head.decode("latin-1") for head in self.origin.requests]
        return [head for head in heads if part in head.split(" ", 2)[1]]

    async def answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        head = request.decode("latin-1")
        target = head.split(" ", 2)[1].partition("?")[0]
        _, word, *rest = target.split("/", 2)
        if special := getattr(self, f"_{word}", None):
            await special(rest[0], head, writer)
        else:
            self._send(target[1:], head, writer, f"ETag: {_ETAG}", f"Last-Modified: {MODIFIED}")

    def _send(self, name: str, head: str, writer: asyncio.StreamWriter, *headers: str) -> None:
        body = self._body(name)
        if body is None:
            _say(writer, "404 Not Found", b"<h1>nothing here</h1>")
        elif _field(head, "If-None-Match") == _ETAG or _field(head, "If-Modified-Since") == MODIFIED:
            _say(writer, "304 Not Modified", b"", *headers)
        elif asked := re.fullmatch(r"bytes=(\d+)-(\d+)", _field(head, "Range")):
            start, last = int(asked[1]), int(asked[2])
            part = f"Content-Range: bytes {start}-{last}/{len(body)}"
            _say(writer, "206 Partial Content", body[start : last + 1], part, "Accept-Ranges: bytes", *headers)
        else:
            _say(writer, "200 OK", body, "Accept-Ranges: bytes", *headers)

    def _body(self, name: str) -> bytes | None:
        if name in self.bodies:
            return self.bodies[name]
        return charts.SOURCES[name]() if name in charts.SOURCES else None

    async def _bare(self, rest: str, head: str, writer: asyncio.StreamWriter) -> None:
        self._send(rest, head, writer)

    async def _dated(self, rest: str, head: str, writer: asyncio.StreamWriter) -> None:
        self._send(rest, head, writer, f"Last-Modified: {MODIFIED}")

    async def _kept(self, rest: str, head: str, writer: asyncio.StreamWriter) -> None:
        self._send(rest, head, writer, "Cache-Control: max-age=77, private", f"ETag: {_ETAG}")

    async def _redirect(self, rest: str, _head: str, writer: asyncio.StreamWriter) -> None:
        left, _, name = rest.partition("/")
        place = f"/redirect/{int(left) - 1}/{name}" if int(left) > 1 else f"/{name}"
        _say(writer, "302 Found", b"", f"Location: {place}")

    async def _slow(self, rest: str, head: str, writer: asyncio.StreamWriter) -> None:
        seconds, _, name = rest.partition("/")
        await asyncio.sleep(float(seconds))
        self._send(name, head, writer)

    async def _status(self, rest: str, _head: str, writer: asyncio.StreamWriter) -> None:
        _say(writer, f"{rest} Because", b"no")

    async def _short(self, rest: str, _head: str, writer: asyncio.StreamWriter) -> None:
        body = self._body(rest) or b""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(body)) + body)
        writer.close()

    async def _part(self, rest: str, _head: str, writer: asyncio.StreamWriter) -> None:
        body = self._body(rest) or b""
        _say(writer, "206 Partial Content", body[:99], f"Content-Range: bytes 0-98/{len(body)}")


def _say(writer: asyncio.StreamWriter, status: str, body: bytes, *headers: str) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + body)


def _field(head: str, name: str) -> str:
    found = re.search(rf"(?im)^{name}: (.*?)\r$", head)
    return found[1] if found else ""


@contextmanager
def pictures() -> Iterator[Pictures]:
    """A running origin."""
    it = Pictures()
    loop, up, down = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with running(it.answer) as it.origin:
            up.set()
            await down.wait()
            connections = asyncio.all_tasks() - {asyncio.current_task()}
            for connection in connections:
                connection.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    def live() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=live)
    thread.start()
    up.wait()
    try:
        yield it
    finally:
        loop.call_soon_threadsafe(down.set)
        thread.join()
