"""Run by test_ssrf_e2e.py, in a network namespace in which every address there is leads to this process.

All vectors of ``tests/data/ssrf_vectors.tsv``, in every position that a URL can have. Listeners on all addresses, TCP,
UDP and Unix: what arrives at a public address is an origin's visit, anything else has slipped through the guard.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from imgproxy.errors import ImageError, SourceRefused, SourceTimeout
from imgproxy.model import Deadline, Source, SourceRef, StillGood
from imgproxy.origins import guard
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.configured import ConfiguredPicture, ConfiguredSettings, fallback, watermark
from imgproxy.origins.fetch import Origins
from tests import charts
from tests.origins.nameserver import NameServer, Zone, answering
from tests.serving import serving, signed

PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:4700::1111")
HERE = "http://93.184.216.34"
RESOLVER = "127.0.0.53"
"""In /etc/resolv.conf of this namespace."""
PORTS = (80, 443, 22, 65, 2375, 3128, 6379, 8080, 11211)
VECTORS = Path(__file__).parents[1] / "data" / "ssrf_vectors.tsv"

ZONE: Zone = {
    "metadata": ["169.254.169.254"],
    "instance-data": ["169.254.169.254"],
    "localhost.localdomain": ["127.0.0.1"],
    "foo.localhost": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "example.com": ["10.9.8.7"],  # what a URL hides behind this name must not be reached, nor the name
    "evil.test": ["93.184.216.34"],
    "public-host": ["93.184.216.34"],
    "v097.test": ["10.0.0.1"],
    "v098.test": ["::1"],
    "v100.test": ["8.8.8.8", "10.0.0.1"],
    "v106.test": None,
    "v107.test": [f"10.7.{number // 250}.{number % 250 + 1}" for number in range(1000)],
    "v109.test": ["8.8.8.8", "fd00::1"],
}
URLS = {
    "V097": "http://v097.test/",
    "V098": "http://v098.test/",
    "V104": "http://v104.test/",
    "V106": "http://v106.test/",
    "V107": "http://v107.test/",
    "V112": "http://[::1]/",
    "V113": "//127.0.0.1/",
    "V115": "gopher://127.0.0.1:6379/_FLUSHALL",
    "V116": "s3://private-bucket/x",
    "V118": "data:image/svg+xml,<svg/>",
    "V119": "http://10.0.0.1/",
    "V121": "http://127.0.0.1/\r\nX-Header: y",
    "V122": f"{HERE}:6379/",
    "V124": "",
    "V167": "http://127.0.0.1/",
    "V181": "s3://elsewhere/key",
    "V182": "s3://bucket/../other-bucket/key",
    "V184": "local:///..%2f..%2fetc/passwd",
    "V185": "local:///%252e%252e/etc/passwd",
    "V187": "local:///a/../../root-sibling/x",
    "V194": "local:///a\0b",
}
"""The vectors that are described in words, as URLs."""
MIXED = {"V100": "http://v100.test/", "V109": "http://v109.test/"}
"""Names with public and private addresses: only the public ones are contacted."""
SEPARATELY = {"V101", "V110", "V143", "V157", "V169", "V170", "V172", "V173", "V175", "V176"}
ELSEWHERE = {
    "V103": "tests/origins/test_names.py",  # a chain of aliases ends in addresses, which are judged like any others
    "V125": "tests/origins/test_targets.py",
    "V178": "tests/origins/test_egress_e2e.py",
    "V179": "tests/origins/test_egress_e2e.py",
    "V188": "tests/origins/test_files.py",
    "V190": "tests/origins/test_files.py",
    "V191": "tests/origins/test_files.py",
    "V193": "tests/origins/test_files.py",
    "V196": "tests/origins/test_files.py",
    "V197": "tests/origins/test_files.py",
}
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9">%s</svg>'
PICTURES = {
    "V170": SVG % '<image href="http://127.0.0.1/" width="9" height="9"/><image xlink:href="http://10.0.0.1/"/>',
    "V172": SVG % "<style>@import url(http://127.0.0.1/);</style><rect width='9' height='9'/>",
    "V173": '<?xml-stylesheet href="http://127.0.0.1/"?>' + SVG % "",
    "V175": SVG % '<filter id="a"><feImage href="file:///etc/passwd"/></filter><rect filter="url(#a)" width="9"/>',
    "V176": SVG % '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="http://127.0.0.1/" parse="text"/>',
}


def vectors() -> dict[str, str]:
    """The URL of each vector that has one."""
    rows = [line.split("\t") for line in VECTORS.read_text().splitlines()[1:]]
    urls = {id_: URLS.get(id_, text.replace("\\r\\n", "\r\n")) for id_, _, text, _ in rows}
    return {id_: url for id_, url in urls.items() if id_ not in {*MIXED, *SEPARATELY, *ELSEWHERE}}


class Internet(asyncio.DatagramProtocol):
    """Every host there is: the public ones are one origin, the others count who comes."""

    def __init__(self) -> None:
        self.slipped: Counter[str] = Counter()
        self.visits: list[bytes] = []
        self.location = b""
        """Where the last of a row of redirects leads."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here = writer.get_extra_info("sockname") or "unix"
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if here == "unix" or here[0] not in PUBLIC or here[1] != 80:
                self.slipped[str(here)] += 1
            head = await reader.readuntil(b"\r\n\r\n")
            if here != "unix" and here[0] in PUBLIC:
                self.visits.append(head)
            writer.write(self._answer(head.split(b" ")[1]))
            await writer.drain()
        writer.close()

    def _answer(self, path: bytes) -> bytes:
        if path.startswith(b"/hop/"):
            left = int(path[5:6])
            location = self.location if left == 1 else b"/hop/%d" % (left - 1)
            return b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location
        body = PICTURES.get(path[1:].decode(errors="replace"), "").encode() or PICTURE
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.slipped[f"udp {data[:20]!r} from {addr}"] += 1

    async def open(self, stack: AsyncExitStack) -> None:
        for address, family in (("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)):
            for port in PORTS:
                await stack.enter_async_context(await asyncio.start_server(self.serve, address, port, family=family))
                sock = socket.socket(family, socket.SOCK_DGRAM)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address, port))
                transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)
                stack.callback(transport.close)
        await stack.enter_async_context(await asyncio.start_unix_server(self.serve, "/run/docker.sock"))


PICTURE = charts.quadrants(60, 40)
Attempt = Callable[[str], Awaitable[ImageError | None]]


class Positions:
    """Everywhere that a URL can stand. Each returns the error that it ends with."""

    def __init__(self, internet: Internet, **settings: object) -> None:
        self._internet = internet
        given = {"download_timeout": 2, "local_filesystem_root": "/run"} | settings
        self._settings = OriginSettings.model_validate(given)

    def all(self) -> dict[str, Attempt]:
        return {
            "source": self.source,
            "raw": self.raw,
            "hop 1": lambda url: self.redirect(url, 1),
            "hop 5": lambda url: self.redirect(url, 5),
            "watermark": lambda url: self.configured(url, watermark, "watermark_url"),
            "fallback": lambda url: self.configured(url, fallback, "fallback_image_url"),
        }

    async def source(self, url: str) -> ImageError | None:
        return await self._outcome(
            lambda origins: origins.fetch(SourceRef(url), max_bytes=0, deadline=Deadline.after(3))
        )

    async def raw(self, url: str) -> ImageError | None:
        async def stream(origins: Origins) -> None:
            _, _, body = await origins.stream(SourceRef(url), deadline=Deadline.after(3))
            await body.aclose()

        return await self._outcome(stream)

    async def redirect(self, url: str, hops: int) -> ImageError | None:
        self._internet.location, before = url.encode(), len(self._internet.visits)
        error = await self.source(f"{HERE}/hop/{hops}")
        assert len(self._internet.visits) - before >= hops
        return error

    async def configured(
        self, url: str, picture: Callable[[Origins, ConfiguredSettings], ConfiguredPicture], field: str
    ) -> ImageError | None:
        settings = ConfiguredSettings.model_validate({field: url})

        async def source(origins: Origins) -> Source:
            kept = picture(origins, settings)
            try:
                return await kept.source(Deadline.after(3))
            finally:
                kept.close()

        return await self._outcome(source)

    async def _outcome(self, use: Callable[[Origins], Awaitable[Source | StillGood | None]]) -> ImageError | None:
        origins = Origins(self._settings)
        try:
            source = await use(origins)
        except ImageError as error:
            return error
        finally:
            await origins.aclose()
        if isinstance(source, Source):
            source.close()
        return None


async def nothing_slips_through(internet: Internet, positions: Positions) -> None:
    urls = vectors()
    silent = urls.pop("V106")
    for id_, url in urls.items():
        for position, attempt in positions.all().items():
            if url or "hop" in position:  # an empty URL of a watermark is none
                await is_refused(internet, attempt, url, f"{id_} {position}")
    internet.location, start = silent.encode(), time.monotonic()
    async with asyncio.TaskGroup() as together:  # each takes the second that an answer may take
        for position, attempt in positions.all().items():
            together.create_task(is_refused(internet, attempt, silent, f"V106 {position}", SourceTimeout))
    assert time.monotonic() - start < 1.2


async def is_refused(
    internet: Internet, attempt: Attempt, url: str, what: str, kind: type[ImageError] = ImageError
) -> None:
    error = await attempt(url)
    assert isinstance(error, kind), (what, error)
    # Refused before an answer, that is: an answer would be somebody's.
    assert not isinstance(error, SourceRefused) or url.startswith("local:"), (what, error)
    assert isinstance(error, SourceTimeout) == (kind is SourceTimeout), (what, error)
    assert not internet.slipped, (what, internet.slipped)


async def public_ones_are_reached(internet: Internet, positions: Positions) -> None:
    for url in (f"{HERE}/", "http://8.8.8.8/a", "http://[2606:4700::1111]/", "http://public-host/", *MIXED.values()):
        for position, attempt in positions.all().items():
            before = len(internet.visits)
            assert await attempt(url) is None, (url, position)
            assert len(internet.visits) > before
    assert not internet.slipped


async def names_that_move(internet: Internet, names: NameServer, positions: Positions) -> None:
    """V101 and V110: what a name meant when it was checked is no leave to go where it leads now."""
    names.zone["moving.test"] = ["8.8.8.8"]
    origins = Origins(OriginSettings())
    ref = SourceRef("http://moving.test/")
    for _ in range(2):
        source = await origins.fetch(ref, max_bytes=0, deadline=Deadline.after(3))
        assert isinstance(source, Source)
        source.close()
        names.zone["moving.test"] = ["127.0.0.1"]
    await origins.aclose()
    for position, attempt in positions.all().items():
        assert isinstance(await attempt(ref.url), ImageError), position
    answers = iter([["8.8.8.8"], ["8.8.8.8"]])
    names.zone["turning.test"] = lambda: next(answers, ["127.0.0.1"])  # a question for each family
    assert await positions.source("http://turning.test/") is None
    assert isinstance(await positions.source("http://turning.test/"), ImageError)
    assert not internet.slipped


async def a_url_says_no_more_than_it_should(internet: Internet, positions: Positions) -> None:
    """V143 and V157: a fragment is not sent, and an escaped end of line stays one."""
    assert await positions.source("http://evil.test#@127.0.0.1/") is None
    assert await positions.source("http://evil.test/%0d%0aHost:%20evil") is None
    for head, path in zip(internet.visits[-2:], (b"/", b"/%0d%0aHost:%20evil"), strict=True):
        assert head.startswith(b"GET %s HTTP/1.1\r\n" % path)
        assert [line for line in head.lower().split(b"\r\n") if line.startswith(b"host")] == [b"host: evil.test"]
    assert not internet.slipped


async def a_server_is_no_different(internet: Internet) -> None:
    """The same through whole servers, with pictures that name others inside."""

    def ask() -> None:
        with serving(
            allow_loopback_source_addresses="0",
            watermark_url="http://foo.localhost/watermark",
            fallback_image_url="http://v097.test/fallback",
            download_timeout="1500ms",
        ) as server:
            for id_, url in {**vectors(), "V169": "http://127.0.0.1/"}.items():
                with suppress(UnicodeEncodeError):
                    answer = server.ask(signed(url, "f:png", base64=True))
                    assert 400 <= answer.status < 505, (id_, answer.status)
                    assert answer.status != 500, id_
            for id_ in PICTURES:
                answer = server.ask(signed(f"{HERE}/{id_}", "f:png"))
                assert answer.status in (200, 422), (id_, answer.status, server.raw_log[-2000:])
            assert server.ask(signed(f"{HERE}/", "f:png")).status == 200
            assert server.ask(signed(f"{HERE}/", "f:png", "wm:1")).status == 503

    await asyncio.to_thread(ask)
    assert not internet.slipped, internet.slipped


async def without_the_guard_they_would(internet: Internet, positions: Positions) -> None:
    """The listeners can be reached: with a table that knows nothing special, half of the vectors arrive."""
    guard.verdict = lambda _: None  # pyright: ignore[reportPrivateImportUsage]
    before = len(internet.slipped)
    literal = [url for id_, url in vectors().items() if id_ not in ("V106", "V107")]
    arrived = 0
    for url in literal:
        seen = sum(internet.slipped.values())
        await positions.source(url)
        arrived += sum(internet.slipped.values()) > seen
    assert before == 0
    assert arrived > 40, arrived


async def main() -> None:
    sanctuary_is_empty()
    for family in ("-4", "-6"):
        subprocess.run(["ip", family, "route", "add", "local", "default", "dev", "lo"], check=True)  # noqa: ASYNC221
    internet = Internet()
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(answering(ZONE, RESOLVER))
        await internet.open(stack)
        positions = Positions(internet)
        match sys.argv[1]:
            case "vectors":
                await nothing_slips_through(internet, positions)
            case "rest":
                await public_ones_are_reached(internet, positions)
                await names_that_move(internet, names, positions)
                await a_url_says_no_more_than_it_should(internet, positions)
                await without_the_guard_they_would(internet, positions)
            case _:
                await a_server_is_no_different(internet)


def sanctuary_is_empty() -> None:
    """Stop unless this namespace has no way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        code = probe.connect_ex(("192.0.2.1", 9))  # a datagram socket's connect sends nothing
    assert code == errno.ENETUNREACH, "this must not run where there is a network"
    assert {name for _, name in socket.if_nameindex()} <= {"lo", "tunl0", "sit0", "ip6tnl0"}


if __name__ == "__main__":
    asyncio.run(main())
