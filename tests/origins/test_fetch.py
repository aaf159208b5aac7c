"""Fetching from origins that lie, stall, loop and bomb."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import threading
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest

from imgproxy.errors import (
    AddressForbidden,
    ImageError,
    InvalidUrl,
    RenderTimeout,
    SchemeForbidden,
    SourceForbidden,
    SourceIncomplete,
    SourceRefused,
    SourceTimeout,
    SourceTooLarge,
    SourceUnreachable,
    TooManyRedirects,
)
from imgproxy.model import Caching, Deadline, Source, SourceRef, Validators
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins
from tests.origins.contract import soon, taken
from tests.origins.origin import Answer, descriptors, redirects, running, says, whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"


def partial(content_range: str) -> bytes:
    """The head of a 206 whose body ends with the connection."""
    return f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {content_range}\r\n\r\n".encode()


def settings(**changes: object) -> OriginSettings:
    return OriginSettings.model_validate({"allow_loopback_source_addresses": True} | changes)


@pytest.fixture
async def origins() -> AsyncGenerator[Origins]:
    origins = Origins(settings())
    yield origins
    await origins.aclose()


@pytest.fixture(autouse=True)
async def no_descriptor_is_lost() -> AsyncGenerator[None]:
    before = descriptors()
    yield
    for _ in range(50):
        if descriptors() <= before:
            return
        await asyncio.sleep(0.01)
    assert descriptors() <= before


async def fetched(origins: Origins, url: str, *, max_bytes: int = 0, deadline: Deadline | None = None) -> bytes:
    source = await origins.fetch(SourceRef(url), max_bytes=max_bytes, deadline=deadline or soon())
    return taken(source)


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 99,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
        partial("0-99/100") + b"picture",
        partial("0-3/4") + b"picture",
        whole(gzip.compress(b"picture" * 1000, mtime=0)[:-9], "Content-Encoding: gzip"),
        whole(zlib.compress(b"picture" * 1000)[:-9], "Content-Encoding: deflate"),
        whole(b"", "Content-Encoding: gzip"),
    ],
)
async def test_half_a_body_is_refused(origins: Origins, answer: bytes) -> None:
    async with running(says(answer)) as origin:
        with pytest.raises(SourceIncomplete):
            await fetched(origins, origin.url())


@pytest.mark.parametrize(
    "answer",
    [
        whole(b"picture"),
        CHUNKED + b"3\r\npic\r\n4\r\nture\r\n0\r\n\r\n",
        ENDLESS + b"picture",  # ended by the connection's end
        whole(gzip.compress(b"picture", mtime=0), "Content-Encoding: gzip"),
        whole(gzip.compress(b"pic", mtime=0) + gzip.compress(b"ture", mtime=0), "Content-Encoding: X-GZIP"),
        whole(zlib.compress(b"picture"), "Content-Encoding: deflate"),
        whole(zlib.compress(b"picture", wbits=-15), "Content-Encoding: deflate"),
        whole(b"picture", "Content-Encoding: identity"),
        whole(b"picture", "Content-Range: bytes 0-6/7", status="206 Partial Content"),
        partial("0-6/7") + b"picture",
        whole(
            gzip.compress(b"picture", mtime=0),
            f"Content-Range: bytes 0-{len(gzip.compress(b'picture')) - 1}/{len(gzip.compress(b'picture'))}",
            "Content-Encoding: gzip",
            status="206 Partial Content",
        ),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + whole(b"picture"),
    ],
)
async def test_a_whole_body_is_taken(origins: Origins, answer: bytes) -> None:
    async with running(says(answer)) as origin:
        assert await fetched(origins, origin.url(), max_bytes=100) == b"picture"


async def test_what_the_origin_said_is_remembered(origins: Origins) -> None:
    said = ('ETag: W/"1"', "Last-Modified: x", "Cache-Control: max-age=60", "Expires: never", "Age: 7", "Date: x")
    async with running(says(whole(b"picture", *said))) as origin:
        source = await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())
    assert isinstance(source, Source)
    assert source.validators == Validators('W/"1"', "x")
    assert source.caching == Caching("max-age=60", "never", "7", "x")
    assert source.media_type is None
    assert os.get_inheritable(source.fd) is False
    source.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",  # known before the first byte
        whole(b"x" * 101),
        CHUNKED + (b"32\r\n" + b"x" * 50 + b"\r\n") * 3,
        ENDLESS + b"x" * 101,
        whole(gzip.compress(b"x" * 101, mtime=0), "Content-Encoding: gzip"),
        # empty stored blocks: bytes arrive for ever, and unpack to nothing
        whole(gzip.compress(b"", mtime=0)[:10] + b"\0\0\0\xff\xff" * 30, "Content-Encoding: gzip"),
    ],
)
async def test_no_more_bytes_than_allowed(origins: Origins, answer: bytes) -> None:
    async with running(says(answer)) as origin:
        with pytest.raises(SourceTooLarge):
            await fetched(origins, origin.url(), max_bytes=100)


async def test_an_endless_body_ends_at_the_limit(origins: Origins) -> None:
    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(ENDLESS)
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with running(endless) as origin:
        with pytest.raises(SourceTooLarge):
            await fetched(origins, origin.url(), max_bytes=1_000_000)
        await asyncio.wait_for(origin.closed.wait(), 1)


async def test_a_gzip_bomb_takes_little_memory_and_time(origins: Origins) -> None:
    bomb = gzip.compress(bytes(1 << 24)) * 16  # members of 16 KB that unpack to 16 MiB each
    async with running(says(whole(bomb, "Content-Encoding: gzip"))) as origin:
        tracemalloc.start()
        try:
            start = time.monotonic()
            with pytest.raises(SourceTooLarge):
                await fetched(origins, origin.url(), max_bytes=2_000_000)
            assert time.monotonic() - start < 1
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()


async def test_a_bomb_without_a_byte_limit_ends_at_the_time_limit() -> None:
    bomb = gzip.compress(bytes(1 << 24)) * 64
    origins = Origins(settings(download_timeout=0.1))
    async with running(says(whole(bomb, "Content-Encoding: gzip"))) as origin:
        start = time.monotonic()
        with pytest.raises(SourceTimeout):
            await fetched(origins, origin.url())
        assert time.monotonic() - start < 0.5
        await origins.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        whole(b"picture", "Content-Encoding: br"),
        whole(b"picture", "Content-Encoding: gzip, gzip"),
        whole(b"picture", "Content-Encoding: gzip"),
        whole(gzip.compress(b"picture", mtime=0) + b"rest", "Content-Encoding: gzip"),
        whole(b"\x78\xff" + b"picture", "Content-Encoding: deflate"),
        whole(b"picture", status="206 Partial Content"),
        whole(b"picture", "Content-Range: bytes 0-6/8", status="206 Partial Content"),
        whole(b"picture", "Content-Range: bytes 1-7/8", status="206 Partial Content"),
        whole(b"picture", "Content-Range: bytes 0-6/*", status="206 Partial Content"),
        whole(b"picture", "Content-Range: bytes 0-99/100", status="206 Partial Content"),
        whole(b"picture", f"Content-Range: bytes 0-{'9' * 5000}/{'9' * 5000}", status="206 Partial Content"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"",
        redirects(""),
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        redirects("http://[broken/"),
        redirects("http://a:99999/"),
    ],
)
async def test_nonsense_is_unreachable(origins: Origins, answer: bytes) -> None:
    async with running(says(answer)) as origin:
        with pytest.raises(SourceUnreachable):
            await fetched(origins, origin.url())


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        (400, 400),
        (403, 403),
        (404, 404),
        (410, 410),
        (429, 429),
        (500, 502),
        (503, 502),
        (204, 404),
        (201, 404),
        (300, 404),
        (304, 404),
        (305, 404),
    ],
)
async def test_an_origin_that_refuses(origins: Origins, status: int, ours: int) -> None:
    async with running(says(whole(b"", status=f"{status} Whatever"))) as origin:
        with pytest.raises(SourceRefused) as caught:
            await fetched(origins, origin.url())
        assert (caught.value.origin_status, caught.value.status) == (status, ours)


# --- redirects ------------------------------------------------------------------------------------


def hops(*answers: bytes) -> Answer:
    """An answer for each path: /0, /1, ..."""

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[int(head.split(b" ", 2)[1].partition(b"?")[0].removeprefix(b"/"))])

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/1", "1", "?x=1#y", "//127.0.0.1:{}/1"])
async def test_redirects_are_followed(origins: Origins, status: int, location: str) -> None:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        if head.startswith(b"GET /0 "):
            port = writer.get_extra_info("sockname")[1]
            writer.write(redirects(location.format(port), status))
        else:
            writer.write(whole(b"picture"))

    async with running(answer) as origin:
        ref = SourceRef(origin.url("/0"))
        source = await origins.fetch(ref, max_bytes=0, deadline=soon())
        assert isinstance(source, Source)
        assert source.url == ref.url
        assert taken(source) == b"picture"


async def test_a_redirect_arrives_as_it_was_written(origins: Origins) -> None:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        there = head.startswith(b"GET /%C3%A9/a%2Fb+c?d=%7E ")
        writer.write(whole(b"picture") if there else redirects("/é/a%2Fb+c?d=%7E"))

    async with running(answer) as origin:
        assert await fetched(origins, origin.url("/0")) == b"picture"


@pytest.mark.parametrize(("limit", "asked"), [(0, 1), (3, 4)])
async def test_a_loop_ends(limit: int, asked: int) -> None:
    origins = Origins(settings(max_redirects=limit))
    async with running(says(redirects("/again"), close=False)) as origin:
        with pytest.raises(TooManyRedirects):
            await fetched(origins, origin.url())
        assert len(origin.requests) == asked
        await origins.aclose()


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "local:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "s3://private-bucket/x",
        "data:image/svg+xml,<svg/>",
        "javascript:alert(1)",
    ],
)
async def test_a_redirect_stays_with_http(location: str, tmp_path) -> None:
    origins = Origins(settings(local_filesystem_root=str(tmp_path)))
    async with running(says(redirects(location))) as origin:
        with pytest.raises((SchemeForbidden, SourceUnreachable)):
            await fetched(origins, origin.url())
        await origins.aclose()


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]"])  # never leave this host
async def test_a_redirect_to_a_refused_address(origins: Origins, host: str) -> None:
    async with running(hops(redirects("/1"), redirects(f"http://{host}/"))) as origin:
        with pytest.raises(AddressForbidden):
            await fetched(origins, origin.url("/0"))


async def test_allowed_sources_hold_for_every_hop() -> None:
    async with running(hops(redirects("/1"), redirects("/2?a"), whole(b"picture"))) as origin:
        base = f"http://127.0.0.1:{origin.port}"
        origins = Origins(settings(allowed_sources=f"{base}/0,{base}/1"))
        with pytest.raises(SourceForbidden):
            await fetched(origins, origin.url("/0"))
        assert origin.targets == [b"/0", b"/1"]
        await origins.aclose()
        origins = Origins(settings(allowed_sources=f"{base}/"))
        assert await fetched(origins, origin.url("/0")) == b"picture"
        await origins.aclose()


async def test_credentials_do_not_follow_to_another_host(origins: Origins) -> None:
    async with (
        running(says(whole(b"picture"))) as other,
        running(says(redirects(other.url()))) as origin,
    ):
        assert await fetched(origins, origin.url("/", "user:pass@")) == b"picture"
        assert b"authorization" in origin.requests[0].lower()
        assert b"authorization" not in other.requests[0].lower()


# --- addresses, names, URLs -----------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "127.1"])
async def test_loopback_is_refused_by_default(host: str) -> None:
    async with running(says(whole(b"picture"))) as origin:
        origins = Origins(OriginSettings())
        with pytest.raises((AddressForbidden, InvalidUrl), match=r"loopback|usual form"):
            await fetched(origins, f"http://{host}:{origin.port}/")
        await origins.aclose()
        assert origin.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http:///127.0.0.1/",
        "http:127.0.0.1",
        "http://",
        "http://[127.0.0.1]/",
        "http://127.0.0.1%00.example.com/",
        "http://[fe80::1%25eth0]/",
        "http://example.com:80:81/",
        "http://example.com:65536/",
        "http://example.com:0/",
        "http://example.com:-1/",
        "http://example.com/\r\nX: y",
        "http://①②⑦.⓪.⓪.①/",
        "http://ﬀ.com/",
        "http://foo bar/",
        "http://a/" + "x" * 70_000,
        "http://\ud800/",
    ],
)
async def test_urls_that_cannot_be(origins: Origins, url: str) -> None:
    with pytest.raises(InvalidUrl):
        await fetched(origins, url)


@pytest.mark.parametrize("url", ["//example.com/a", "cat.jpg", ""])
async def test_urls_without_a_scheme(origins: Origins, url: str) -> None:
    with pytest.raises(SchemeForbidden):
        await fetched(origins, url)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "FILE:///a", "gopher://h/", "data:text/html,x", "s3://b/k"])
async def test_schemes_that_are_no_sources(origins: Origins, url: str) -> None:
    with pytest.raises(SchemeForbidden, match=url.partition(":")[0].lower()):
        await fetched(origins, url)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str] | Exception) -> list[str]:
    """Name servers that give these answers, the last one for ever; the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: object) -> list[object]:
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        if isinstance(answer, Exception):
            raise answer
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in answer
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        UnicodeError("label too long"),
    ],
)
async def test_names_that_do_not_exist(origins: Origins, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    resolving(monkeypatch, error)
    with pytest.raises(SourceUnreachable):
        await fetched(origins, "http://name.example/")


async def test_of_a_names_addresses_only_allowed_ones_are_tried(
    origins: Origins, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["0.0.0.0", "::", "127.0.0.1"])
    async with running(says(whole(b"picture"))) as origin:
        assert await fetched(origins, f"http://mixed.example:{origin.port}/") == b"picture"
        assert f"mixed.example:{origin.port}".encode() in origin.requests[0]


async def test_a_name_with_refused_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["127.0.0.1", "::1", "0.0.0.0"])
    origins = Origins(OriginSettings())
    async with running(says(whole(b"picture"))) as origin:
        with pytest.raises(AddressForbidden):
            await fetched(origins, f"http://inner.example:{origin.port}/")
        assert origin.requests == []
    await origins.aclose()


async def test_a_name_that_moves_inside_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the answer that counts is the one that is connected to."""
    asked = resolving(monkeypatch, ["127.0.0.1"], ["0.0.0.0"])
    origins = Origins(settings().model_copy(update={"dns_ttl": 0.1}))
    async with running(says(whole(b"picture"))) as origin:
        url = f"http://moving.example:{origin.port}/"
        assert await fetched(origins, url) == b"picture"
        await asyncio.sleep(0.11)  # the answer is old then
        with pytest.raises(AddressForbidden):
            await fetched(origins, url)
        assert asked == ["moving.example"] * 2
        assert len(origin.requests) == 1
    await origins.aclose()


async def test_a_hanging_name_server_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def getaddrinfo(*_: object) -> list[object]:
        go_on.wait(5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    origins = Origins(settings(download_timeout=0.05))
    with pytest.raises(SourceTimeout):
        await fetched(origins, "http://hanging.example/")
    go_on.set()
    await origins.aclose()


async def test_nobody_listens(origins: Origins) -> None:
    async with running(says(b"")) as origin:
        pass
    with pytest.raises(SourceUnreachable, match=r"127\.0\.0\.1"):
        await fetched(origins, origin.url())


async def test_tls_to_a_server_without(origins: Origins) -> None:
    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(b"x"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SourceUnreachable):
            await fetched(origins, f"https://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        whole(b"", status="500 No"),
        redirects("/loop?token=secret"),
        redirects("http://user:secret@0.0.0.0/?token=secret"),
        redirects("http://user:secret@[broken/?token=secret"),
        redirects("ftp://user:secret@a/?token=secret"),
    ],
)
async def test_reasons_tell_no_secrets(answer: bytes) -> None:
    origins = Origins(settings(max_redirects=2))
    async with running(says(answer)) as origin:
        with pytest.raises(ImageError) as caught:
            await fetched(origins, origin.url("/a?token=secret", "user:secret@"))
        await origins.aclose()
    assert str(caught.value)
    assert "secret" not in str(caught.value)


# --- time -----------------------------------------------------------------------------------------

STALLS = [
    (b"",),
    (b"HTTP/1.1 200 OK\r\n",),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", *[b"x"] * 30),
]


@pytest.mark.parametrize("answer", STALLS)
async def test_a_slow_origin_is_left(answer: tuple[bytes, ...]) -> None:
    origins = Origins(settings(download_timeout=0.1))
    async with running(says(*answer, b"", pause=0.02, close=False)) as origin:
        start = time.monotonic()
        with pytest.raises(SourceTimeout):
            await fetched(origins, origin.url())
        assert time.monotonic() - start < 0.25
        await origins.aclose()


async def test_redirects_share_the_time() -> None:
    origins = Origins(settings(download_timeout=0.1))
    async with running(says(b"", redirects("/on"), pause=0.03, close=False)) as origin:
        with pytest.raises(SourceTimeout):
            await fetched(origins, origin.url())
        await origins.aclose()


@pytest.mark.parametrize("seconds", [0.05, 0, -1])
async def test_the_deadline_of_the_request_is_not_the_origins_fault(origins: Origins, seconds: float) -> None:
    async with running(says(b"", close=False)) as origin:
        with pytest.raises(RenderTimeout):
            await fetched(origins, origin.url(), deadline=Deadline.after(seconds))
        with pytest.raises(RenderTimeout):
            await origins.stream(SourceRef(origin.url()), deadline=Deadline.after(seconds))


@pytest.mark.parametrize("answer", STALLS)
async def test_a_cancelled_fetch_leaves_nothing_behind(origins: Origins, answer: tuple[bytes, ...]) -> None:
    async with running(says(*answer, pause=0.02, close=False)) as origin:
        for _ in range(3):
            before = descriptors()
            task = asyncio.ensure_future(fetched(origins, origin.url()))
            await asyncio.wait_for(origin.asked.wait(), 1)
            origin.asked.clear()
            await asyncio.sleep(0.03)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(origin.closed.wait(), 1)
            assert descriptors() <= before + 1
    async with running(says(whole(b"picture"))) as origin:  # the pool lives on
        assert await fetched(origins, origin.url()) == b"picture"


# --- raw ------------------------------------------------------------------------------------------


async def test_raw_passes_on_what_matters_only(origins: Origins) -> None:
    said = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Encoding": "br",
        "Accept-Ranges": "bytes",
        "Last-Modified": "x",
        "ETag": '"1"',
        "Cache-Control": "private",
        "Expires": "never",
    }
    rest = ("Set-Cookie: a=b", "Server: evil", "X-Content-Type: y", "Connection: close")
    lines = [f"{name}: {value}" for name, value in said.items()]
    async with running(says(whole(b"picture", *lines, *rest))) as origin:
        status, headers, body = await origins.stream(SourceRef(origin.url()), deadline=soon())
        assert status == 200
        expected = {name.lower(): value for name, value in said.items()}
        assert dict(headers) == expected | {"content-length": "7"}
        assert b"".join([piece async for piece in body]) == b"picture"


@pytest.mark.parametrize("status", [404, 503, 304, 302])
async def test_raw_passes_on_refusals_as_errors(origins: Origins, status: int) -> None:
    async with running(says(whole(b"no", status=f"{status} No"))) as origin:
        with pytest.raises((SourceRefused, SourceUnreachable)):
            await origins.stream(SourceRef(origin.url()), deadline=soon())
        await asyncio.wait_for(origin.closed.wait(), 1)


async def test_raw_follows_redirects_under_the_same_policy(origins: Origins) -> None:
    async with running(hops(redirects("/1"), whole(b"picture"))) as origin:
        _, _, body = await origins.stream(SourceRef(origin.url("/0")), deadline=soon())
        assert b"".join([piece async for piece in body]) == b"picture"
    async with running(says(redirects("http://0.0.0.0/"))) as origin:
        with pytest.raises(AddressForbidden):
            await origins.stream(SourceRef(origin.url()), deadline=soon())


async def test_a_raw_body_may_take_longer_than_the_request() -> None:
    origins = Origins(settings(download_timeout=0.1))
    pieces = (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", *[b"x"] * 8)
    async with running(says(*pieces, pause=0.03)) as origin:
        ref = SourceRef(origin.url())
        _, _, body = await origins.stream(ref, deadline=Deadline.after(0.1))
        assert b"".join([piece async for piece in body]) == b"x" * 8
        await origins.aclose()


async def test_a_raw_body_that_stalls_is_left() -> None:
    origins = Origins(settings(download_timeout=0.05))
    pieces = (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nx",)
    async with running(says(*pieces, close=False)) as origin:
        _, _, body = await origins.stream(SourceRef(origin.url()), deadline=soon())
        assert await anext(body) == b"x"
        with pytest.raises(SourceTimeout):
            await anext(body)
        await asyncio.wait_for(origin.closed.wait(), 1)
        await origins.aclose()


async def test_a_raw_body_that_is_cut_is_incomplete(origins: Origins) -> None:
    async with running(says(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nx")) as origin:
        _, _, body = await origins.stream(SourceRef(origin.url()), deadline=soon())
        with pytest.raises(SourceIncomplete):
            async for _ in body:
                pass


@pytest.mark.parametrize("pieces", [0, 1])
async def test_a_raw_body_that_is_dropped_frees_its_connection(origins: Origins, pieces: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\nx"
    async with running(says(answer, close=False)) as origin:
        _, _, body = await origins.stream(SourceRef(origin.url()), deadline=soon())
        for _ in range(pieces):
            await anext(body)
        await body.aclose()
        await asyncio.wait_for(origin.closed.wait(), 1)
