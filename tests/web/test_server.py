from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@dataclass
class Served:
    process: subprocess.Popen[str]
    port: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def ask(self, target: bytes, *headers: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.connect() as connection:
            return exchange(connection, target, *headers)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=10)
        return self.process.returncode, log


def exchange(connection: socket.socket, target: bytes, *headers: bytes) -> tuple[int, dict[str, str], bytes]:
    connection.sendall(
        b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers, b"", b""])
    )
    return answer(connection)


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    got = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = got.partition(b"\r\n\r\n")
    line, *rows = head.decode().split("\r\n")
    return int(line.split()[1]), dict(row.lower().split(": ", 1) for row in rows), body


@contextlib.contextmanager
def served(**settings: str) -> Iterator[Served]:
    port = free_port()
    given = {"bind": f"127.0.0.1:{port}", "drain_delay": "0"} | settings
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web.served", json.dumps(given)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        yield Served(process, port)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(read_request_timeout="300ms", write_response_timeout="300ms") as it:
        yield it


@pytest.mark.parametrize(
    "target",
    [
        b"/sig/plain/https:%2F%2Fexample.com%2fa%3Ab.jpg",
        b"/sig/plain/https://example.com//a///b.jpg",
        b"//sig/plain/x",
        b"/sig/plain/https%3A//example.com/%C3%A9/\xc3\xa9.jpg",
        b"/sig/plain/\xff\xfe\x80",
        b"/sig/plain/a#b",
        b"/sig/plain/{}|^`<>\"\\[];=@!$&'()*+,~",
        b"/sig/./plain/../x",
        b"/sig/plain/%2e%2E/%00%0d%0a",
    ],
)
def test_the_request_target_arrives_as_it_was_sent(server: Served, target: bytes) -> None:
    status, _, body = server.ask(target + b"?query=\xc3\xa9")
    assert status == 200
    assert body == target


def test_an_odd_target_in_pieces_and_after_another(server: Served) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        while not got.endswith(b"/first"):
            got += connection.recv(65536)
        for piece in (b"GE", b"T /\xc3", b"\xa9 HTTP/1.1\r", b"\nHost: x\r\nConnection: cl", b"ose\r\n\r\n"):
            connection.sendall(piece)
            time.sleep(0.01)
        assert answer(connection)[2] == b"/\xc3\xa9"


def test_pipelined_requests_are_answered_in_order(server: Served) -> None:
    with server.connect() as connection:
        connection.sendall(
            b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\nGET /b%2F HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    assert got.index(b"/\xc3\xa9") < got.index(b"/b%2F")


def test_one_server_header_and_a_date(server: Served) -> None:
    _, headers, _ = server.ask(b"/x")
    assert headers["server"] == "imgproxy"
    assert "date" in headers


@pytest.mark.parametrize("piece", [b"", b"GET /x HT", b"GET /x HTTP/1.1\r\nHost: x\r\nA: "])
def test_a_head_that_does_not_come_ends_the_connection(server: Served, piece: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(piece)
        start = time.monotonic()
        assert connection.recv(1) == b""
        assert 0.2 < time.monotonic() - start < 2


def test_a_head_without_end_is_refused(server: Served) -> None:
    with server.connect() as connection, contextlib.suppress(ConnectionError):
        got = b""
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\nA: ")
        for _ in range(300):
            connection.sendall(b"a" * 1000)
        while piece := connection.recv(65536):
            got += piece
        assert got.startswith(b"HTTP/1.1 400")


def test_a_client_that_does_not_read_is_cut_off(server: Served) -> None:
    size = 20_000_000
    with server.connect() as connection:
        connection.sendall(b"GET /big/%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % size)
        time.sleep(1)
        got = 0
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(1 << 20):
                got += len(piece)
    assert got < size


def test_a_slow_reader_that_reads_gets_everything(server: Served) -> None:
    size = 20_000_000
    with server.connect() as connection:
        connection.sendall(b"GET /big/%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % size)
        got = 0
        while piece := connection.recv(1 << 20):
            got += len(piece)
            time.sleep(0.02)
    assert got > size


def test_sigterm_drains() -> None:
    with served(drain_delay="600ms") as it, it.connect() as idle:
        slow: list[tuple[int, dict[str, str], bytes]] = []
        thread = threading.Thread(target=lambda: slow.append(it.ask(b"/slow/1.5")))
        thread.start()
        assert it.ask(b"/readyz")[0] == 200
        time.sleep(0.2)
        it.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert it.ask(b"/readyz")[::2] == (503, b"draining")
        assert it.ask(b"/livez")[0] == 200
        assert it.ask(b"/still/served")[2] == b"/still/served"
        time.sleep(0.8)
        with pytest.raises(ConnectionRefusedError):
            it.connect()
        assert slow == []
        thread.join(timeout=5)
        assert slow[0][0] == 200
        assert idle.recv(1) == b""
        _, log = it.process.communicate(timeout=5)
        assert it.process.returncode == 0
        messages = [json.loads(line)["message"] for line in log.splitlines()]
        assert messages == ["listening", "stopping", "request", "request", "stopped"]


def test_requests_that_outlive_the_graceful_stop_are_ended() -> None:
    with served(graceful_stop_timeout="1", timeout="30") as it:
        slow: list[tuple[int, dict[str, str], bytes]] = []
        thread = threading.Thread(target=lambda: slow.append(it.ask(b"/slow/20")))
        thread.start()
        time.sleep(0.2)
        start = time.monotonic()
        code, log = it.end()
        assert time.monotonic() - start < 4
        thread.join(timeout=5)
        assert code == 0
        assert slow[0][::2] == (503, b"Shutting down")
        assert '"code": "draining"' in log


def test_sigint_does_not_wait_for_the_load_balancer() -> None:
    with served(drain_delay="20s") as it:
        start = time.monotonic()
        assert it.end(signal.SIGINT)[0] == 0
        assert time.monotonic() - start < 2


def test_a_second_signal_ends_everything_at_once() -> None:
    with served(drain_delay="20s", timeout="30") as it, it.connect() as connection:
        connection.sendall(b"GET /slow/20 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)
        it.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        start = time.monotonic()
        assert it.end()[0] == 0
        assert time.monotonic() - start < 2


def test_metrics_have_their_own_listener() -> None:
    port = free_port()
    with served(metrics_bind=f"127.0.0.1:{port}") as it:
        it.ask(b"/x")
        status, _, body = Served(it.process, port).ask(b"/metrics")
        assert status == 200
        assert b"\nrequests_total 1.0\n" in body
        assert it.ask(b"/metrics")[2] == b"/metrics"
        assert it.end()[0] == 0


def all_of(port: int, *pieces: bytes) -> bytes:
    """What comes back for these pieces, one after the other, until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.02)
        return b"".join(iter(lambda: connection.recv(65536), b""))


POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"


def test_listeners_beside_take_bodies_of_a_stated_length() -> None:
    port = free_port()
    with served(echo_bind=f"127.0.0.1:{port}", keep_alive_timeout="1") as it:
        assert all_of(port, POST + b"Connection: close\r\n\r\nhello").endswith(b"hello")
        assert all_of(port, POST + b"Connection: close\r\n\r\n", b"he", b"llo").endswith(b"hello")
        # What follows the body is the next head, and nothing but that.
        twice = all_of(port, POST + b"\r\nhelloPO", POST[2:] + b"Connection: close\r\n\r\nagain")
        assert (twice.count(b"HTTP/1.1 200"), twice.endswith(b"again")) == (2, True)
        for follow in (b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", b"x" * 70_000, b"GET /\r\n\r\n"):
            said = all_of(port, POST + b"\r\nhello" + follow)
            assert [said.count(b"HTTP/1.1 %d" % status) for status in (200, 400)] == [1, 1]
        chunked = all_of(port, POST.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"\r\n0\r\n\r\n")
        assert chunked.count(b"HTTP/1.1 ") == chunked.count(b"HTTP/1.1 400") == 1
        assert it.end()[0] == 0


def test_a_flood_of_pipelined_requests_waits_outside() -> None:
    with served(keep_alive_timeout="1") as it, it.connect() as connection:
        connection.setblocking(False)
        flood = memoryview(
            b"GET /slow/0.5 HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 500_000
        )
        sent, end = 0, time.monotonic() + 0.4
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                sent += connection.send(flood[sent : sent + 65536])
        assert sent < len(flood) / 2  # the kernel's buffers, and no more than a head's length in ours
        assert it.ask(b"/y")[2] == b"/y"


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for _ in range(2):  # the second start finds what the first one left
        with served(bind=f"unix:{path}") as it:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                status, _, body = exchange(connection, b"/a%2Fb")
            assert (status, body) == (200, b"/a%2Fb")
            it.process.kill()
            it.process.wait()
    with served(bind=f"unix:{path}") as it:
        assert it.end()[0] == 0
    assert not path.exists()


def test_a_taken_address_is_an_error_at_the_start() -> None:
    with served() as it:
        given = json.dumps({"bind": f"127.0.0.1:{it.port}"})
        process = subprocess.run(
            [sys.executable, "-m", "tests.web.served", given], cwd=ROOT, capture_output=True, text=True, timeout=10
        )
        assert process.returncode == 1
        assert "Address already in use" in process.stderr
