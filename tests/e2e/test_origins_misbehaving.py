"""Origins that lie, stall, flood and smuggle, byte by byte, and a whole server: a declared status, soon, and not kept.

One origin for each behaviour, because one that fails again and again is left alone.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import charts
from tests.origins.origin import Answer, redirects, running, says, whole
from tests.serving import serving, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Answer as Reply
    from tests.serving import Server

pytestmark = pytest.mark.e2e

PNG = charts.quadrants(60, 40)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT_S = 0.6
"""IMGPROXY_DOWNLOAD_TIMEOUT of the server below."""
MOST_BYTES = 2_000_000


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def forever(start: bytes, again: bytes, pause: float = 0) -> Answer:
    """An origin that never ends."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


def part(body: bytes, content_range: str, *headers: str) -> bytes:
    return whole(body, f"Content-Range: {content_range}", *headers, status="206 Partial Content")


MULTIPART = b"--x\r\nContent-Range: bytes 0-9/10\r\n\r\n" + PNG[:10] + b"\r\n--x--\r\n"
BOMB = gzip.compress(bytes(1 << 24)) * 16
SIZE = len(PNG)

BEHAVIOURS: dict[str, tuple[int | set[int], Answer | bytes]] = {
    # lengths
    "less than announced": (422, OK + b"Content-Length: %d\r\n\r\n" % (SIZE + 1) + PNG),
    "more than announced": ({404, 422}, OK + b"Content-Length: %d\r\n\r\n" % (SIZE // 2) + PNG),
    "much more than allowed is announced": (422, OK + b"Content-Length: 99999999999999\r\n\r\n" + PNG),
    "a length beyond all numbers": ({404, 422}, OK + b"Content-Length: %s\r\n\r\n" % (b"9" * 5000) + PNG),
    "a negative length": (404, OK + b"Content-Length: -1\r\n\r\n" + PNG),
    "two lengths": (404, OK + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n" + PNG),
    "no length, and no end": (422, forever(OK + b"\r\n" + PNG, b"x" * 65536)),
    "no length": (200, OK + b"\r\n" + PNG),
    "nothing": (422, whole(b"")),
    # chunks
    "chunks without an end": (422, forever(CHUNKED + chunk(PNG), chunk(b"x" * 65536))),
    "chunks that break off": (422, CHUNKED + chunk(PNG)),
    "half a chunk": (422, CHUNKED + chunk(PNG)[:-99]),
    "a chunk beyond all numbers": ({404, 422}, CHUNKED + b"f" * 40 + b"\r\n" + PNG),
    "a chunk that is no number": ({404, 422}, CHUNKED + b"-5\r\n" + PNG),
    "extensions of chunks without an end": ({404, 422, 504}, forever(CHUNKED + b"5;", b"x" * 65536)),
    "chunks of a byte": ({404, 422, 504}, forever(CHUNKED, b"1\r\nx\r\n" * 9999)),
    "trailers": (200, CHUNKED + chunk(PNG) + b"0\r\nX-Checksum: 1\r\n\r\n"),
    "trailers without an end": ({200, 404, 422, 504}, forever(CHUNKED + chunk(PNG) + b"0\r\n", b"X: y\r\n" * 999)),
    "both a length and chunks": ({200, 404}, OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(PNG) + b"0\r\n\r\n"),
    "an unknown transfer encoding": ({200, 404, 422}, OK + b"Transfer-Encoding: xchunked\r\n\r\n" + chunk(PNG)),
    # parts
    "a part": (404, part(PNG[:99], f"bytes 0-98/{SIZE}")),
    "a part that is all": (200, part(PNG, f"bytes 0-{SIZE - 1}/{SIZE}")),
    "a part of who knows what": (404, part(PNG, f"bytes 0-{SIZE - 1}/*")),
    "a part that says nothing": (404, whole(PNG, status="206 Partial Content")),
    "a part that claims to be all": (404, part(PNG[:-99], f"bytes 0-{SIZE - 1}/{SIZE}")),
    "several parts": (404, whole(MULTIPART, "Content-Type: multipart/byteranges; boundary=x", status="206 Partial")),
    # encodings
    "gzip": (200, whole(gzip.compress(PNG), "Content-Encoding: gzip")),
    "a gzip bomb": (422, whole(BOMB, "Content-Encoding: gzip")),
    "a gzip bomb in chunks": (422, CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + chunk(BOMB)),
    "gzip of nothing, for ever": (
        404,
        forever(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 3000),
    ),
    "half of a gzip": (422, whole(gzip.compress(PNG)[:-9], "Content-Encoding: gzip")),
    "what is no gzip": (404, whole(PNG, "Content-Encoding: gzip")),
    "gzip in gzip": (404, whole(gzip.compress(gzip.compress(PNG)), "Content-Encoding: gzip, gzip")),
    "brotli": (404, whole(PNG, "Content-Encoding: br")),
    "an encoding of a thousand": (404, whole(PNG, "Content-Encoding: " + "gzip, " * 1000 + "gzip")),
    # heads
    "empty lines before it": ({404, 504}, forever(b"", b"\r\n" * 9999)),
    "a head without an end": ({404, 504}, forever(OK, b"X-Header: value\r\n" * 99)),
    "ten thousand headers": (404, OK + b"X-Header: value\r\n" * 10_000 + b"\r\n"),
    "a header of a megabyte": (404, OK + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n"),
    "a header without a colon": (404, OK + b"what\r\n\r\n" + PNG),
    "NUL in a header": (404, OK + b"X: \0\r\n\r\n" + PNG),
    "a header on two lines": ({200, 404}, OK + b"X: image/png;\r\n x=y\r\nContent-Length: %d\r\n\r\n" % SIZE + PNG),
    "early hints without an end": (404, forever(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")),
    "early hints": (200, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + whole(PNG)),
    "another protocol": (404, b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + PNG),
    "no head at all": (404, PNG),
    "SSH": (404, b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a status beyond all numbers": (404, b"HTTP/1.1 99999 What\r\n\r\n"),
    "a hang-up": (404, b""),
    # time
    "silence": (504, says(b"", close=False)),
    "a head that drips": (504, forever(OK + b"X: ", b"x", 0.05)),
    "a body that drips": (504, forever(OK + b"Content-Length: 9999\r\n\r\n", b"x", 0.05)),
    "chunks that drip": (504, forever(CHUNKED, chunk(b"x"), 0.05)),
    "a body that stops": (504, says(OK + b"Content-Length: 9999\r\n\r\n" + PNG[:99], close=False)),
    # what is no picture
    "a page": (422, whole(b"<!doctype html><html><body>Not here</body></html>", "Content-Type: text/html")),
    "a page that calls itself a picture": (422, whole(b"<!doctype html><html></html>", "Content-Type: image/png")),
    "a picture that calls itself a page": (200, whole(PNG, "Content-Type: text/html")),
    "half a picture": (422, whole(PNG[: SIZE // 2])),
    "a program": (422, whole(b"\x7fELF" + bytes(999), "Content-Type: image/png")),
    "data that is picture and page": (422, whole(b"<script>alert(1)</script>" + PNG)),
    # statuses
    "still good, unasked": (404, whole(b"", status="304 Not Modified")),
    "no content": (404, b"HTTP/1.1 204 No Content\r\n\r\n"),
    "gone": (410, whole(PNG, status="410 Gone")),
    "a status that is none": (502, whole(PNG, status="600 What")),
    "too many requests": (429, whole(b"", "Retry-After: 7", status="429 Later")),
    "down": (502, whole(PNG, status="503 Down")),
    "not its own": (502, whole(b"", status="500 Oh")),
    # redirects
    "a redirect to itself": (404, says(redirects("/"), close=False)),
    "a redirect to nowhere": (404, whole(b"", status="302 Found")),
    "a redirect to a file": (404, redirects("file:///etc/passwd")),
    "a redirect to another service": (404, redirects("http://127.0.0.1:6379/")),
    "a redirect to the network": (404, redirects("http://0.0.0.0/")),
    "a redirect with headers inside": (404, redirects("http://127.0.0.1:22/\r\nX: y")),
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    limits = {"max_src_file_size": str(MOST_BYTES), "max_redirects": "5"}
    with serving(download_timeout=f"{LIMIT_S}s", ttl="86400", **limits) as it:
        yield it


async def asked(server: Server, url: str) -> tuple[Reply, float]:
    start = time.monotonic()
    reply = await asyncio.to_thread(server.ask, signed(url, "w:20", "f:png"))
    return reply, time.monotonic() - start


def fresh_for(reply: Reply) -> int:
    """For how long anybody may keep the answer, in seconds."""
    found = re.search(r"max-age=(\d+)", reply.headers.get("cache-control", ""))
    return int(found[1]) if found else 0


@pytest.mark.parametrize("name", BEHAVIOURS)
async def test_a_declared_status_soon(server: Server, name: str) -> None:
    expected, answer = BEHAVIOURS[name]
    expected = {expected} if isinstance(expected, int) else expected
    async with running(says(answer) if isinstance(answer, bytes) else answer) as origin:
        reply, seconds = await asked(server, origin.url())
        assert reply.status in expected, reply.said
        assert seconds < LIMIT_S + 0.5
        if reply.status != 200:
            assert fresh_for(reply) <= 60
            assert reply.headers["content-type"].startswith("text/plain")
        else:
            assert (reply.picture.width, reply.picture.height) == (20, 13)
        assert 0 < len(origin.requests) <= 6
    if name == "too many requests":
        assert reply.headers["retry-after"] == "7"


async def test_all_at_once_harm_nobody_else(server: Server) -> None:
    """Every behaviour at the same time, and beside them pictures from an origin that is well."""
    before = resident_bytes(server)
    async with asyncio.TaskGroup() as together, running(says(whole(PNG), close=False)) as well:
        stop = asyncio.Event()

        async def misbehave(name: str, answer: Answer | bytes) -> None:
            async with running(says(answer) if isinstance(answer, bytes) else answer) as origin:
                reply, _ = await asked(server, origin.url(f"/{len(name)}"))
                assert reply.status in {200, 404, 410, 422, 429, 502, 503, 504}, name

        async def behave() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                reply, _ = await asked(server, well.url(f"/{number}"))
                assert reply.status == 200, reply.said

        healthy = together.create_task(behave())
        async with asyncio.TaskGroup() as bad:
            for name, (_, answer) in list(BEHAVIOURS.items())[::4]:
                bad.create_task(misbehave(name, answer))
        stop.set()
        await healthy
    assert resident_bytes(server) - before < 100_000_000


async def test_no_answer_is_put_under_another_request(server: Server) -> None:
    """What follows an answer on the same connection is nobody's: not the next request's, above all."""
    stranger = charts.quadrants(30, 30)

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(PNG) + whole(stranger))

    async with running(answer) as origin:
        for number in range(6):
            reply, _ = await asked(server, origin.url(f"/{number}"))
            # Refused, or right.
            assert reply.status in (200, 404)
            if reply.status == 200:
                assert reply.picture.height == 13


def resident_bytes(server: Server) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


async def test_an_origin_that_is_down_is_refused_at_once_and_hardly_asked(server: Server) -> None:
    """Five failures, then nothing reaches it but one question after each pause; answers say when to ask again."""
    async with running(says(whole(b"", status="503 Down"), close=False)) as origin:
        replies = [await asked(server, origin.url(f"/{number}")) for number in range(60)]
        statuses = [reply.status for reply, _ in replies]
        assert statuses[:5] == [502] * 5
        assert set(statuses[5:]) <= {502, 503}
        resting = [(reply, seconds) for reply, seconds in replies if reply.status == 503]
        assert len(resting) > 30
        assert all(1 <= int(reply.headers["retry-after"]) <= 30 for reply, _ in resting)
        assert sorted(seconds for _, seconds in resting)[len(resting) // 2] < 0.03  # through a client of Python's
        assert len(origin.requests) <= 60 * 1.1
    async with running(says(whole(PNG))) as well:
        reply, _ = await asked(server, well.url())
        assert reply.status == 200


async def test_an_origin_without_a_listener_is_refused_at_once(server: Server) -> None:
    async with running(says(b"")) as gone:
        pass
    replies = [await asked(server, gone.url(f"/{number}")) for number in range(20)]
    assert [reply.status for reply, _ in replies[:5]] == [404] * 5
    assert {reply.status for reply, _ in replies[5:]} <= {404, 503}
    assert [reply.status for reply, _ in replies].count(503) >= 10
