"""http:// keeps the contract, and URLs arrive as they were written."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from imgproxy.errors import SourceIncomplete, SourceUnreachable, TooManyRedirects
from imgproxy.model import Source, SourceRef
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins
from tests.origins.contract import OriginContract, Put, soon, taken
from tests.origins.origin import Origin, redirects, running, says, whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

_STORED: dict[bytes, bytes] = {}
_DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


async def _web_server(head: bytes, writer: asyncio.StreamWriter) -> None:
    """A well-behaved server, small enough to be believed."""
    data = _STORED.get(head.split(b" ", 2)[1])
    if data is None:
        writer.write(whole(b"", status="404 Not Found"))
        return
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    about = (f"ETag: {etag}", f"Last-Modified: {_DATE}", "Content-Type: image/png")
    known = re.search(rb"(?i)if-none-match: (.*)\r", head)
    since = re.search(rb"(?i)if-modified-since: (.*)\r", head)
    if known[1] == etag.encode() if known else since is not None:
        writer.write(b"HTTP/1.1 304 Not Modified\r\n" + "\r\n".join(about).encode() + b"\r\n\r\n")
        return
    if asked := re.search(rb"(?i)range: bytes=(\d*)-(\d*)\r", head):
        first, last = (int(text) if text else None for text in asked.groups())
        size = len(data)
        start = size - (last or 0) if first is None else first
        end = size if first is None or last is None else last + 1
        status = "206 Partial Content" if start < size else "416 Range Not Satisfiable"
        where = f"Content-Range: bytes {start}-{end - 1}/{size}"
        writer.write(whole(data[start:end], where, *about, status=status))
        return
    writer.write(whole(data, "Accept-Ranges: bytes", *about))


@pytest.fixture
async def origin() -> AsyncGenerator[Origin]:
    async with running(_web_server) as origin:
        yield origin


@pytest.fixture
async def origins(origin: Origin) -> AsyncGenerator[Origins]:  # noqa: ARG001  closes before it
    origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
    yield origins
    await origins.aclose()


@pytest.fixture
def put(origin: Origin) -> Put:
    def store(name: str, data: bytes) -> str:
        _STORED[f"/{name}".encode()] = data
        return origin.url(f"/{name}")

    return store


class TestHttpContract(OriginContract):
    pass


async def test_the_media_type_has_no_parameters() -> None:
    async with running(says(whole(b"x", "Content-Type: Image/PNG; q=1"))) as origin:
        origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
        source = await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())
        await origins.aclose()
    assert isinstance(source, Source)
    source.close()
    assert source.media_type == "image/png"


@pytest.mark.parametrize(
    ("written", "arrives"),
    [
        ("/a%2Fb%2f", b"/a%2Fb%2f"),
        ("/a%20b c", b"/a%20b%20c"),
        ("/100%25", b"/100%25"),
        ("/why%3Fnot", b"/why%3Fnot"),
        ("/caf%C3%A9", b"/caf%C3%A9"),
        ("/café/日本.png", b"/caf%C3%A9/%E6%97%A5%E6%9C%AC.png"),
        ("/a+b", b"/a+b"),
        ("/%7Euser/~user", b"/%7Euser/~user"),
        ("/%41%2e%2E%2d", b"/%41%2e%2E%2d"),
        ("/a;b=c,d@e:f!$&'()*", b"/a;b=c,d@e:f!$&'()*"),
        ("/a?X-Amz-Signature=%2B+%20/%3D&b=?", b"/a?X-Amz-Signature=%2B+%20/%3D&b=?"),
        ("/a?q=é&x=%zz", b"/a?q=%C3%A9&x=%zz"),
        ("/a#fragment", b"/a"),
        ("", b"/"),
        ("?a=1", b"/?a=1"),
    ],
)
async def test_a_url_arrives_as_it_was_written(origins: Origins, origin: Origin, written: str, arrives: bytes) -> None:
    _STORED[arrives] = b"here"
    ref = SourceRef(origin.url(written))
    assert taken(await origins.fetch(ref, max_bytes=0, deadline=soon())) == b"here"
    assert origin.targets == [arrives]


async def test_the_request_says_little(origins: Origins, origin: Origin, put: Put) -> None:
    await _fetch(origins, put("cat.png", b"x"))
    lines = origin.requests[0].decode().lower().split("\r\n")
    assert lines[0] == "get /cat.png http/1.1"
    assert sorted(line for line in lines[1:] if line) == [
        "accept-encoding: identity",
        "accept: */*",
        f"host: 127.0.0.1:{origin.port}",
        "user-agent: imgproxy/0.1.0",
    ]


@pytest.mark.parametrize(("setting", "derived", "said"), [("", "a1", b"a1"), ("mine.example", "a1", b"mine.example")])
async def test_requests_say_who_makes_them(setting: str, derived: str, said: bytes) -> None:
    """RFC 8586, so that a request that comes back to us is known."""
    async with running(says(redirects("/on"), close=False)) as origin:
        settings = OriginSettings(allow_loopback_source_addresses=True, max_redirects=1, loop_id=setting)
        origins = Origins(settings, loop_id=derived)
        with pytest.raises(TooManyRedirects):
            await _fetch(origins, origin.url())
        await origins.aclose()
        assert [re.findall(rb"(?i)cdn-loop: (.*?)\r", head) for head in origin.requests] == [[said]] * 2


@pytest.mark.parametrize("name", ["a b", "a,b", "a\r\nb: c", "-", '"a"', "\xe9"])
def test_what_cannot_be_sent_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError):
        OriginSettings(loop_id=name)


async def test_credentials_of_the_url_reach_the_origin(origins: Origins, origin: Origin, put: Put) -> None:
    put("cat.png", b"x")
    await _fetch(origins, origin.url("/cat.png", "us%40er:p%3Ass@"))
    assert b"authorization: basic dXNAZXI6cDpzcw==\r".lower() in origin.requests[0].lower()
    assert b"dXNAZXI6cDpzcw==" in origin.requests[0]


async def test_the_environment_has_no_say(
    origins: Origins, put: Put, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await _fetch(origins, put("cat.png", b"x"))


async def test_the_environment_reveals_nothing(
    origins: Origins, origin: Origin, put: Put, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    await _fetch(origins, put("cat.png", b"x"))
    assert b"authorization" not in origin.requests[0].lower()


async def test_cookies_are_not_kept() -> None:
    async with running(says(whole(b"x", "Set-Cookie: a=b; Path=/"), close=False)) as origin:
        origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
        await _fetch(origins, origin.url())
        await _fetch(origins, origin.url())
        await origins.aclose()
        assert b"cookie" not in origin.requests[1].lower()


@pytest.mark.parametrize("number", [0, 1, 8, 9, 5000])
async def test_few_answers_come_before_the_answer(number: int) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with running(says(hint * number + whole(b"picture"), hint * number + whole(b"picture"))) as origin:
        origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
        for _ in range(2):
            if number <= 8:
                assert await _fetch(origins, origin.url()) == b"picture"
            else:
                with pytest.raises(SourceUnreachable, match="interim"):
                    await _fetch(origins, origin.url())
        await origins.aclose()


CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "again"),
    [(CHUNKS, b"1\r\nx\r\n" * 9999), (b"", b"\r\n" * 9999)],
    ids=["chunks of a byte", "empty lines"],
)
async def test_what_takes_too_long_to_read_is_not_read_on(
    start: bytes, again: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(again)
            await writer.drain()

    monkeypatch.setattr("imgproxy.origins.interim._FREE_S", 0.005)
    async with running(flood) as origin:
        origins = Origins(OriginSettings(allow_loopback_source_addresses=True, download_timeout=5))
        with pytest.raises((SourceIncomplete, SourceUnreachable)):  # and not the time limit's
            await _fetch(origins, origin.url())
        await origins.aclose()


async def test_a_pause_of_our_own_is_not_the_answers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's collector may run while a piece is read, and take long."""
    now, looked = [0.0], [0]

    def thread_time() -> float:
        looked[0] += 1
        now[0] += 1.0 if looked[0] in (2, 6) else 0.0  # within the first and the third piece
        return now[0]

    monkeypatch.setattr("imgproxy.origins.interim.time.thread_time", thread_time)
    body = bytes(200_000)
    async with running(says(whole(body))) as origin:
        origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
        assert await _fetch(origins, origin.url()) == body
        await origins.aclose()
    assert looked[0] > 6


async def test_big_bodies_are_no_trouble_to_read() -> None:
    body = bytes(8_000_000)
    async with running(says(whole(body), close=False)) as origin:
        origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
        for _ in range(2):
            assert await _fetch(origins, origin.url()) == body
        await origins.aclose()


async def test_a_flood_before_the_answer_holds_nobody_up() -> None:
    async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000)
            await writer.drain()

    async with running(flood) as origin:
        origins = Origins(OriginSettings(allow_loopback_source_addresses=True, download_timeout=2))
        start = time.monotonic()
        with pytest.raises(SourceUnreachable, match="interim"):
            await _fetch(origins, origin.url())
        assert time.monotonic() - start < 0.5  # the flood itself is in this process
        await origins.aclose()


@pytest.mark.parametrize(("seconds", "connections"), [(90, 1), (0, 2)])
async def test_connections_are_kept_alive(seconds: float, connections: int) -> None:
    seen: set[int] = set()

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        seen.add(writer.get_extra_info("peername")[1])
        writer.write(whole(b"x"))

    settings = OriginSettings(allow_loopback_source_addresses=True, client_keep_alive_timeout=seconds)
    async with running(answer) as origin:
        origins = Origins(settings)
        await _fetch(origins, origin.url("/1"))
        await _fetch(origins, origin.url("/2"))
        await origins.aclose()
    assert len(seen) == connections


async def _fetch(origins: Origins, url: str) -> bytes:
    return taken(await origins.fetch(SourceRef(url), max_bytes=0, deadline=soon()))


async def test_certificates_are_verified_unless_told_not_to(tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    await asyncio.to_thread(
        subprocess.run, [*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with running(says(whole(b"picture")), tls=context) as origin:
        url = origin.url().replace("http:", "https:")
        for verify in (True, False):
            settings = OriginSettings(allow_loopback_source_addresses=True, ignore_ssl_verification=not verify)
            origins = Origins(settings)
            if verify:
                with pytest.raises(SourceUnreachable, match="certificate"):
                    await _fetch(origins, url)
            else:
                assert await _fetch(origins, url) == b"picture"
            await origins.aclose()
