"""Answers that need no waiting: given when the head is complete, and the same as any other."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Iterable

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from imgproxy.errors import Overloaded
from imgproxy.web.crowd import Crowd
from imgproxy.web.ops import Ops
from imgproxy.web.protocol import Protocol, limited
from imgproxy.web.settings import WebSettings
from tests.web.border import Call, FakeService, Outcome, images, reply
from tests.web.test_server import served

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """The other end: it takes nothing away, so that what is written stays in the buffer."""

    def __init__(self, high: int = 65536) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.protocol: Protocol | None = None
        self._high = high

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data
        if len(self.written) > self._high and self.protocol is not None:
            self.protocol.pause_writing()

    async def ends_with(self, text: bytes) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
            if self.written.endswith(text):
                return
        raise AssertionError(bytes(self.written[-200:]))

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


async def probe(_: object) -> None: ...


def connected(service: FakeService, wire: Wire) -> Protocol:
    """A connection to the whole application, as uvicorn would make it."""
    app = Ops(images(service), WebSettings(), probe)
    config = Config(app, ws="none", lifespan="off", log_config=None)
    protocol = limited(Crowd(10), 10, 10, prompt=app)(config, ServerState(), {})
    wire.protocol = protocol
    protocol.connection_made(wire)
    return protocol


async def slowly(call: Call) -> Outcome:
    await asyncio.sleep(0)
    return reply(call.target.encode())


async def test_what_is_at_hand_is_on_its_way_before_anything_else_runs() -> None:
    wire = Wire()
    connection = connected(FakeService(slowly, lambda _: reply(b"hit")), wire)
    tasks = asyncio.all_tasks()
    connection.data_received(GET % b"a")
    assert wire.written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.written.endswith(b"\r\n\r\nhit")
    assert asyncio.all_tasks() == tasks


async def test_a_hit_is_handed_to_the_socket_without_a_copy() -> None:
    handed: list[bytes | bytearray | memoryview] = []

    class Socket(Wire):
        def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
            handed.extend(list_of_data)

    kept = bytes(100_000)
    connected(FakeService(slowly, lambda _: reply(kept)), Socket()).data_received(GET % b"a")
    assert len(handed) == 2
    assert handed[1] is kept


async def test_so_is_a_refusal() -> None:
    wire = Wire()
    connected(FakeService(Overloaded("too much", retry_after=3)), wire).data_received(GET % b"a")
    assert wire.written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 3\r\n" in wire.written


async def test_what_is_not_goes_through_the_application_and_is_asked_for_once() -> None:
    wire, service = Wire(), FakeService(slowly)
    connected(service, wire).data_received(GET % b"a")
    assert not wire.written
    await wire.ends_with(b"/a")
    assert len(service.calls) == 1


async def test_a_thousand_in_one_packet_are_answered_in_order() -> None:
    wire = Wire(high=10_000_000)
    service = FakeService(slowly, lambda call: None if call.target.endswith("500") else reply(call.target.encode()))
    connected(service, wire).data_received(b"".join(GET % b"%d" % number for number in range(1000)))
    await wire.ends_with(b"/999")
    bodies = [part.partition(b"\r\n\r\n")[2] for part in bytes(wire.written).split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/%d" % number for number in range(1000)]


async def test_who_does_not_read_gets_no_more_than_the_buffer_holds() -> None:
    wire = Wire()
    connection = connected(FakeService(slowly, lambda _: reply(b"x" * 30_000)), wire)
    connection.data_received(GET % b"a" * 500)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(wire.written) < 65536 + 31_000
    connection.connection_lost(None)


@pytest.mark.e2e
@pytest.mark.parametrize(
    "request_",
    [
        b"GET /a%2Fb?c HTTP/1.1\r\n",
        b"HEAD /a HTTP/1.1\r\n",
        b"OPTIONS /a HTTP/1.1\r\n",
        b"POST /a HTTP/1.1\r\n",
        b"GET /big/5000 HTTP/1.1\r\nRange: bytes=10-19\r\n",
        b"GET /big/5000 HTTP/1.1\r\nRange: bytes=9000-\r\n",
        b"GET http://elsewhere/a HTTP/1.1\r\nX-Request-ID: mine\r\n",
        b"GET /livez HTTP/1.1\r\n",
        b"GET /%6civez HTTP/1.1\r\n",
        b"GET /.well-known/x HTTP/1.1\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n",
    ],
    ids=lambda text: text[:25].decode(),
)
def test_both_ways_say_the_same(request_: bytes) -> None:
    def said(*fields: bytes) -> tuple[list[str], bytes]:
        with it.connect() as connection:
            connection.sendall(request_ + b"Host: x\r\n" + b"".join(fields) + b"\r\n")
            time.sleep(0.1)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(2)
            head, _, body = connection.recv(1 << 20).partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        own = ("date: ", "connection: ", "x-request-id: ")
        return [line for line in lines if "mine" in line or not line.startswith(own)], body

    with served() as it:
        assert said() == said(b"Connection: close\r\n")


@pytest.mark.e2e
def test_an_idle_connection_ends_some_time_after_its_last_answer() -> None:
    with served(keep_alive_timeout="1") as it, it.connect() as connection:
        for _ in range(4):
            time.sleep(0.4)
            connection.sendall(GET % b"a")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        rested = time.monotonic()
        assert connection.recv(1) == b""
        assert 0.8 < time.monotonic() - rested < 3


@pytest.mark.e2e
def test_a_connection_that_had_answers_ends_with_the_server() -> None:
    with served() as it, it.connect() as connection:
        connection.sendall(GET % b"a")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        it.process.send_signal(signal.SIGTERM)
        assert connection.recv(1) == b""
        assert it.process.wait(5) == 0
