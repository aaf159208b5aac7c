"""What strangers can do to the public port with bytes, with patience, and with curiosity."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import charts
from tests.edge.running import edge_before
from tests.serving import KEY, ROOT, SALT, Server, free_port, serving, signed, until
from tests.web.test_heads import BAD

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

GOOD = signed("local:///photo.png", "rs:fit:30:30", "f:png").encode()
OTHER = signed("local:///photo.png", "rs:fit:10:10", "f:png").encode()
SMUGGLED = b"GET " + OTHER + b" HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"GET " + GOOD + b" HTTP/1.1\r\nHost: x\r\n"
END = b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "photo.png").write_bytes(charts.quadrants(60, 40))
    with serving(
        key=KEY, salt=SALT, local_filesystem_root=str(folder), read_request_timeout="3s", keep_alive_timeout="2s"
    ) as it:
        yield it


@dataclass(frozen=True, slots=True)
class Said:
    """All that a connection was answered."""

    text: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.text)]

    @property
    def picture(self) -> bytes:
        return self.text.partition(b"\r\n\r\n")[2]


def say(bind: str, text: bytes, *, seconds: float = 5.0) -> Said:
    """What comes back for these bytes, until the server hangs up."""
    host, _, port = bind.rpartition(":")
    got = b""
    with socket.create_connection((host, int(port)), seconds) as connection:
        try:
            with suppress(ConnectionError):
                connection.sendall(text)
            while piece := connection.recv(1 << 16):
                got += piece
        except TimeoutError:
            return Said(got, closed=False)
        except ConnectionError:
            pass
    return Said(got, closed=True)


@pytest.mark.parametrize("head", BAD.values(), ids=BAD)
def test_what_can_be_read_in_two_ways_is_refused_whole(server: Server, head: bytes) -> None:
    said = say(server.bind, head + b"0\r\n\r\n" + SMUGGLED)
    assert (said.statuses, said.closed) == ([400], True), said


BODIES = {
    "length": HEAD + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
    "length, too short": HEAD + b"Content-Length: 3\r\n\r\n" + SMUGGLED,
    "length, POST": HEAD.replace(b"GET", b"POST") + b"Content-Length: 3\r\n\r\n" + SMUGGLED,
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked, bare LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\n\n" + SMUGGLED,
    "chunked, extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0;a=\n" + SMUGGLED,
    "chunked, sign": HEAD + b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + SMUGGLED,
    "chunked, overflow": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + SMUGGLED,
    "chunked, trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: y\r\n\r\n" + SMUGGLED,
    "chunked, never": HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    "length, never": HEAD + b"Content-Length: 999999999\r\n\r\n",
    "expected": HEAD + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n" + SMUGGLED,
    "upgraded": HEAD + b"Connection: upgrade, close\r\nUpgrade: h2c\r\n\r\n" + SMUGGLED,
    "closed": HEAD + END + SMUGGLED,
    "old": HEAD.replace(b"1.1", b"1.0") + b"\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("text", BODIES.values(), ids=BODIES)
def test_a_body_is_never_a_request(server: Server, text: bytes) -> None:
    said = say(server.bind, text)
    assert said.closed
    assert said.statuses == [405 if text.startswith(b"POST") else 200]
    assert b"connection: close" in said.text.lower()


def test_what_follows_a_mistake_is_not_read(server: Server) -> None:
    said = say(server.bind, HEAD + b"\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + SMUGGLED)
    assert (said.statuses, said.closed) == ([200, 400], True)


def test_pipelined_requests_get_an_answer_each(server: Server) -> None:
    said = say(server.bind, (HEAD + b"\r\n") * 50 + HEAD + END)
    assert said.statuses == [200] * 51


def test_a_head_may_come_byte_by_byte(server: Server) -> None:
    host, _, port = server.bind.rpartition(":")
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in HEAD + END:
            connection.sendall(bytes([byte]))
        got = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert got.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("text", "statuses"),
    [
        (b"GET http://evil.example" + GOOD + b" HTTP/1.1\r\nHost: x\r\n" + END, [200]),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n" + END, [200]),
        (b"TRACE " + GOOD + b" HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\n" + END, [405]),
        (HEAD + b"X: " + b"a" * 70_000 + b"\r\n" + END, [400]),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n" + END, [400]),
        (HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(1000)) + END, [400]),
        (HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + END, [200]),
        (HEAD + b"Range: bytes=" + b"0-0," * 10_000 + b"\r\n" + END, [200]),
        (HEAD + b"If-None-Match: " + b'W/"a",' * 8_000 + b"\r\n" + END, [200]),
        (HEAD + b"If-Modified-Since: " + b"9" * 30_000 + b"\r\n" + END, [200]),
        (HEAD + b"Accept: " + b"image/webp;q=" * 4_000 + b"\r\n" + END, [200]),
    ],
    ids=["absolute", "asterisk", "trace", "head", "target", "fields", "many", "ranges", "tags", "date", "accept"],
)
def test_odd_requests(server: Server, text: bytes, statuses: list[int]) -> None:
    start = time.monotonic()
    said = say(server.bind, text)
    assert said.statuses == statuses
    assert time.monotonic() - start < 2
    assert b"a=b" not in said.text


UNKEYED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "nothttps",
    "X-Forwarded-Scheme": "nothttps",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Server": "evil.example",
    "Forwarded": "for=6.6.6.6;host=evil.example",
    "X-Host": "evil.example",
    "X-Real-IP": "6.6.6.6",
    "X-Original-URL": "/health",
    "X-Rewrite-URL": "/health",
    "X-Original-Host": "evil.example",
    "X-HTTP-Method-Override": "POST",
    "X-Method-Override": "DELETE",
    "X-Accel-Redirect": "/etc/passwd",
    "X-Accel-Expires": "0",
    "X-Sendfile": "/etc/passwd",
    "X-Imgproxy-Generation": "9",
    "Surrogate-Control": "no-store",
    "CDN-Cache-Control": "no-store",
    "Cache-Control": "no-cache, no-store",
    "Pragma": "no-cache",
    "Authorization": "Bearer x",
    "Cookie": "session=1",
    "Cookie2": "x",
    "Origin": "https://evil.example",
    "Referer": "https://evil.example/<script>",
    "User-Agent": "<script>alert(1)</script>",
    "Accept-Language": "xx",
    "Accept-Charset": "utf-7",
    "Accept-Encoding": "gzip, br",
    "Content-Type": "text/html",
    "TE": "trailers",
    "Via": "1.1 evil",
    "DNT": "1",
    "From": "a@b",
    "Max-Forwards": "0",
    "Upgrade-Insecure-Requests": "1",
    "Purpose": "prefetch",
    "DPR": "3",
    "Width": "7",
    "Sec-CH-DPR": "3",
    "Sec-CH-Width": "7",
    "Save-Data": "on",
    "Priority": "u=1",
    "Proxy": "http://evil.example",
    "Proxy-Connection": "keep-alive",
    "True-Client-IP": "6.6.6.6",
    "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "X-Timer": "S1",
}
CHANGING = re.compile(rb"(?mi)^(date|x-request-id|age|cache-status|server-timing): .*\r\n")


def without_time(text: bytes) -> bytes:
    return CHANGING.sub(b"", text)


def test_no_other_header_has_a_say(server: Server) -> None:
    say(server.bind, HEAD + END)
    plain = say(server.bind, HEAD + END).text
    assert len(UNKEYED) >= 40
    for name, value in UNKEYED.items():
        said = say(server.bind, HEAD + f"{name}: {value}\r\n".encode() + END).text
        assert without_time(said) == without_time(plain), name


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1:1", b"", b"[::1]", b"a" * 5_000, b"x%2fhealth"])
def test_the_host_has_no_say(server: Server, host: bytes) -> None:
    plain = say(server.bind, HEAD + END).text
    said = say(server.bind, HEAD.replace(b"Host: x", b"Host: " + host) + END)
    assert without_time(said.text) == without_time(plain)


WORDS = """
    admin api app assets backup cache cgi-bin config console dashboard data db debug debug/pprof/ debug/vars docs dump
    env .env errors explain favicon.png files flush fonts .git/HEAD graphql grafana heap help hosts images info init
    internal jmx jolokia js json key keys local log login logs manage management metrics nginx_status node openapi.json
    panel php phpinfo.php ping prometheus proxy public purge purge/all ready redis reload reset robots.txt root salt
    sandbox secret server-status session settings setup shutdown sign signature sitemap.xml socket static stats status
    storage swagger swagger.json system test threads tmp token trace upload uploads user users v1 vars version vips
    web.config workers wp-admin wp-login.php ws actuator actuator/health edge-health edge-purge
"""


def test_there_is_nothing_but_images_and_health(server: Server) -> None:
    words = WORDS.split()
    paths = [f"/{word}" for word in words] + [f"/{word}/" for word in words]
    paths += [
        f"/.well-known/{word}" for word in ("security.txt", "acme-challenge/x", "../metrics", "openid-configuration")
    ]
    paths += [
        "//metrics",
        "/./metrics",
        "/%6detrics",
        "/health/../metrics",
        "/unsafe/../metrics",
        "/metrics?x",
        "/\\metrics",
    ]
    assert len(paths) > 200
    for path in paths:
        for method in ("GET", "POST", "PURGE") if path.endswith("/purge") else ("GET",):
            answer = server.ask(path, method)
            assert answer.status in {403, 404, 405}, (path, answer.status)
            assert len(answer.body) < 100, path
            assert answer.headers.get("content-type", "text/plain").startswith("text/plain")
    assert server.ask("/metrics").said == (404, "Invalid URL")
    for path in ("/", "/health", "/livez", "/readyz"):
        assert server.ask(path).status == 200


@pytest.mark.parametrize("development", ["0", "1"])
def test_errors_tell_nothing_of_the_server(development: str, tmp_path: Path) -> None:
    (tmp_path / "secretly").mkdir()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    secret = "t0ps3cret"
    with serving(
        key=KEY,
        salt=SALT,
        local_filesystem_root=str(tmp_path),
        development_errors_mode=development,
        allowed_sources="local://,http://127.0.0.1:*",
        secret=secret,
        watermark_url=f"http://me:{secret}@127.0.0.1:{free_port()}/mark.png?token={secret}",
    ) as server:
        sources = ["local:///gone.png", "local:///secretly", "local:///broken.png", "local:///../etc/passwd"]
        sources += ["http://127.0.0.1:1/x.png?token=hidden", "ftp://x/y", "local:///broken.png\0"]
        targets = [signed(source) for source in sources]
        targets += ["/x/y", signed("local:///broken.png", "wm:1"), signed("local:///gone.png", "rs:nonsense:1")]
        for target in targets:
            for accept in ("*/*", "text/html", "image/webp", "application/problem+json"):
                answer = server.ask(target, Accept=accept, Authorization=f"Bearer {secret}")
                assert answer.status >= 400
                shown = f"{answer.text} {answer.headers}"
                for hidden in (str(tmp_path), str(ROOT), secret, KEY, SALT, "Traceback", 'File "', "site-packages"):
                    assert hidden not in shown, (target, accept)
                if development == "0":
                    assert "hidden" not in shown
        for hidden in (secret, KEY, SALT):
            assert hidden not in server.raw_log


@contextmanager
def crowd(server: Server, count: int, text: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have said this much, and then say nothing."""
    host, _, port = server.bind.rpartition(":")
    with ExitStack() as stack:
        connections: list[socket.socket] = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((host, int(port)), 10))
            with suppress(ConnectionError):
                connection.sendall(text)
            connections.append(connection)
        yield connections


@pytest.mark.parametrize(
    "text", [b"", b"GET /x HTTP/1.1\r\nHost: x\r\nX: ", HEAD + b"\r\n"], ids=["mute", "head", "idle"]
)
def test_five_hundred_who_dawdle_disturb_nobody(server: Server, text: bytes) -> None:
    before = server.descriptors()
    with crowd(server, 500, text) as connections:
        ended = threading.Event()

        def drip() -> None:
            while not ended.wait(0.5):
                for connection in connections:
                    with suppress(OSError):
                        connection.sendall(b"a" if text.endswith(b": ") else b"")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            times: list[float] = []
            for _ in range(100):
                start = time.monotonic()
                assert server.ask(GOOD.decode()).status == 200
                times.append(time.monotonic() - start)
        finally:
            ended.set()
            dripping.join()
        assert sorted(times)[50] < 0.1
        until(
            lambda: server.descriptors() < before + 20, seconds=10
        )  # while they are still there: nobody waits for ever


def test_more_connections_than_descriptors(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(charts.quadrants(60, 40))
    bind, environment = f"127.0.0.1:{free_port()}", {"PATH": "/usr/bin:/bin", "IMGPROXY_LOG_FORMAT": "json"}
    given = {"bind": bind, "key": KEY, "salt": SALT, "local_filesystem_root": str(tmp_path), "workers": "1"}
    environment |= {f"IMGPROXY_{name.upper()}": value for name, value in given.items()}
    command = ["/bin/sh", "-c", f"ulimit -n 80; exec {sys.executable} -m imgproxy"]
    with (tmp_path / "log").open("w+b") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        server = Server(process, bind, log)
        try:

            def is_ready() -> bool:
                assert process.poll() is None, server.raw_log
                with suppress(OSError):
                    return server.ask("/readyz").status == 200
                return False

            until(is_ready, seconds=30)
            assert server.ask(GOOD.decode()).status == 200
            with crowd(server, 500, b"GET /x HTTP/1.1\r\nHost: x\r\nX: "):
                # Newcomers take the places of those who dawdle, even now.
                answers = [_status(server) for _ in range(20)]
                assert answers.count(200) >= 15, answers
                assert server.descriptors() <= 80
            assert process.poll() is None
            until(lambda: server.descriptors() < 30)
            assert [_status(server) for _ in range(20)] == [200] * 20
            assert server.end() == 0
        finally:
            process.kill()
            process.wait()


def _status(server: Server) -> int:
    try:
        return server.ask(GOOD.decode()).status
    except OSError:
        return 0


def test_an_edge_lets_nothing_through_either(server: Server) -> None:
    with edge_before((server.bind,)) as edge:
        plain = say(edge.edge.listen, HEAD + END)
        assert plain.statuses == [200]
        names = ["both lengths", "xchunked", "space before colon", "NUL in a value", "two Hosts", "no Host", "HTTP/0.9"]
        for name in names:
            said = say(edge.edge.listen, BAD[name] + b"0\r\n\r\n" + SMUGGLED)
            assert said.closed, name
            assert 200 not in said.statuses, name
            assert len(said.statuses) <= 1, name
        for name in ("length", "chunked", "closed", "chunked, bare LF", "upgraded"):
            said = say(edge.edge.listen, BODIES[name].replace(SMUGGLED, b"") + END)
            assert len(said.statuses) <= 2, name
        # Of a body that nginx has read, no node has seen anything.
        said = say(edge.edge.listen, BODIES["length"] + HEAD + END)
        assert said.statuses == [200, 200]
