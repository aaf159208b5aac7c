"""The wire: jobs and reports cross it unchanged, and nothing that a hostile worker says is believed."""

from __future__ import annotations

import json
import math
import os
import socket
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.errors import BrokenImage, ImageError, InternalError, QueueFull, SourceRefused
from imgproxy.formats import WEBP
from imgproxy.model import Job, Mezzanine, Raster, Rendition, Report, Source
from imgproxy.render import wire
from imgproxy.render.sandbox import ALL, Sandbox
from tests.render.conftest import told

if TYPE_CHECKING:
    from collections.abc import Generator

REPORT = Report(Rendition(b"body", WEBP, 3, 2, 30, 20, 4), 0.25, 1, 0.5, 1 << 40, 1, 2, 3)
MADE = replace(REPORT, raster=Raster(3000, 2000, 3))
SAID = {
    "kind": "report",
    "size": 4,
    "format": "webp",
    "width": 3,
    "height": 2,
    "source_width": 30,
    "source_height": 20,
    "frames": 4,
    "load_s": 0.25,
    "encode_s": 1,
    "cpu_s": 0.5,
    "peak_bytes": 1,
    "vips_bytes": 1,
    "vips_peak_bytes": 2,
    "vips_allocations": 3,
    "raster": {"width": 3000, "height": 2000, "bands": 3},
}


@pytest.fixture
def ends() -> Generator[tuple[wire.Line, wire.Line]]:
    server, worker = wire.lines()
    server.socket.setblocking(False)
    with closing(server), closing(worker):
        yield server, worker


def memfd(content: bytes) -> int:
    fd = os.memfd_create("body")
    os.write(fd, content)
    return fd


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def hear(message: bytes, body: bytes = b"", fds: tuple[int, ...] = ()) -> wire.Answer:
    """What the server makes of a worker's message; what lies in the file of results is gone then."""
    server, worker = wire.lines()
    with closing(server), closing(worker):
        os.pwrite(worker.results, body, 0)
        socket.send_fds(worker.socket, [message], list(fds))
        try:
            return wire.receive_answer(server)
        finally:
            assert not message or len(message) > 128 * 1024 or fds or os.fstat(server.results).st_size == 0


def test_a_job_arrives_with_its_descriptors(ends: tuple[wire.Line, wire.Line], source: Source) -> None:
    server, worker = ends
    mark = Source(memfd(b"mark"), 4, "https://origin.test/mark.png")
    wire.send_request(server, replace(told("act", source), watermark=mark))
    job = wire.receive_request(worker)
    assert isinstance(job, Job)
    assert job.watermark is not None
    assert str(job.plan.options) == "act"
    assert job.source.size == source.size
    assert os.pread(job.source.fd, 4, 0) == b"\xff\xd8\xff\xe1"
    assert os.pread(job.watermark.fd, 10, 0) == b"mark"
    assert {job.source.fd, job.watermark.fd}.isdisjoint({source.fd, mark.fd})
    for one in (mark, job.source, job.watermark):
        one.close()


def test_no_url_arrives(ends: tuple[wire.Line, wire.Line], source: Source) -> None:
    """A presigned one is a secret."""
    server, worker = ends
    wire.send_request(server, replace(told("act", source), watermark=source))
    message, fds, _, _ = socket.recv_fds(worker.socket, 1 << 20, 2)
    assert b"origin.test" not in message
    for fd in fds:
        os.close(fd)


def test_sources_arrive_for_reading_only(ends: tuple[wire.Line, wire.Line], source: Source) -> None:
    """What other requests get is the same memory."""
    server, worker = ends
    before = open_fds()
    os.pwrite(source.fd, b"\xff", 0)  # the server's own may write
    wire.send_request(server, told("act", source))
    job = wire.receive_request(worker)
    assert isinstance(job, Job)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(job.source.fd, b"forged")
    with pytest.raises(OSError, match="Invalid argument"):
        os.ftruncate(job.source.fd, 0)
    job.source.close()
    assert open_fds() == before


def test_a_mezzanine_arrives_for_writing_until_it_is_made(ends: tuple[wire.Line, wire.Line], source: Source) -> None:
    server, worker = ends
    fd, before = memfd(b"....."), open_fds()
    for mezzanine in (Mezzanine(fd), Mezzanine(fd, Raster(1, 1, 3))):
        for watermark in (None, source):
            wire.send_request(server, replace(told("act", source), watermark=watermark, mezzanine=mezzanine))
            job = wire.receive_request(worker)
            assert isinstance(job, Job)
            assert job.mezzanine is not None
            assert job.mezzanine.raster == mezzanine.raster
            assert os.pread(job.mezzanine.fd, 5, 0) == b"....."
            if mezzanine.raster is None:
                os.pwrite(job.mezzanine.fd, b".", 0)
            else:
                with pytest.raises(OSError, match="Bad file descriptor"):
                    os.pwrite(job.mezzanine.fd, b"x", 0)
            job.source.close()
            if job.watermark:
                job.watermark.close()
            os.close(job.mezzanine.fd)
    assert open_fds() == before
    os.close(fd)


def test_a_ping_arrives_and_the_end_is_told(ends: tuple[wire.Line, wire.Line]) -> None:
    server, worker = ends
    wire.send_request(server, wire.Ping())
    assert wire.receive_request(worker) == wire.Ping()
    server.socket.close()
    with pytest.raises(EOFError):
        wire.receive_request(worker)


def test_a_job_that_does_not_fit_is_refused(ends: tuple[wire.Line, wire.Line], source: Source) -> None:
    with pytest.raises(InternalError, match="too large"):
        wire.send_request(ends[0], told("x" * 200_000, source))


@pytest.mark.parametrize(
    "answer", [REPORT, MADE, wire.Confining(), wire.Ready(Sandbox(ALL)), wire.Ready(Sandbox(frozenset()))]
)
def test_an_answer_arrives_unchanged(ends: tuple[wire.Line, wire.Line], answer: wire.Answer) -> None:
    before = open_fds()
    wire.send_answer(ends[1], answer)
    assert wire.receive_answer(ends[0]) == answer
    assert open_fds() == before


@pytest.mark.parametrize(
    ("sent", "arrives", "detail"),
    [
        (BrokenImage("half a picture"), BrokenImage, "half a picture"),
        (InternalError("é" * 9000), InternalError, "é" * 4000),
        (SourceRefused(404), InternalError, "source_refused: the origin answered 404"),
        (QueueFull("x"), InternalError, "queue_full: x"),
    ],
)
def test_an_error_arrives_as_its_class(
    ends: tuple[wire.Line, wire.Line], sent: ImageError, arrives: type[ImageError], detail: str
) -> None:
    wire.send_answer(ends[1], sent)
    answer = wire.receive_answer(ends[0])
    assert type(answer) is arrives
    assert str(answer) == detail


def test_no_answer_yet_and_none_any_more(ends: tuple[wire.Line, wire.Line]) -> None:
    with pytest.raises(BlockingIOError):
        wire.receive_answer(ends[0])
    ends[1].socket.close()
    with pytest.raises(EOFError):
        wire.receive_answer(ends[0])


def changed(**fields: Any) -> bytes:
    return json.dumps(SAID | fields).encode()


@pytest.mark.parametrize(
    "message",
    [
        b"\x80\x04N.",
        b"null",
        b"[" * 60_000,
        b"9" * 60_000,
        b'{"kind":"ready"}',
        b'{"kind":"ready","layers":[],"more":1}',
        b'{"kind":"ready","layers":"limits"}',
        b'{"kind":"ready","layers":["limits","limits"]}',
        b'{"kind":"ready","layers":["limits","other"]}',
        b'{"kind":"ready","layers":[["limits"]]}',
        b'{"kind":"confining","more":1}',
        b'{"kind":"error","code":"timeout","detail":""}',
        b'{"kind":"error","code":"bad_signature","detail":""}',
        b'{"kind":"error","code":"broken_image","detail":5}',
        b'{"kind":"error","code":["broken_image"],"detail":""}',
        b'{"kind":"error","code":"broken_image"}',
        json.dumps({name: value for name, value in SAID.items() if name != "cpu_s"}).encode(),
        changed(more=1),
        changed(format="exe"),
        changed(format=["webp"]),
        changed(size=5),
        changed(size=3),
        changed(size=0),
        changed(size=1 << 40),
        changed(size=True),
        changed(width=0),
        changed(width=-1),
        changed(width=3.0),
        changed(height="2"),
        changed(frames=1 << 60),
        changed(cpu_s=math.nan),
        changed(cpu_s=math.inf),
        changed(load_s=-1),
        changed(load_s=True),
        changed(load_s=None),
        changed(peak_bytes=1 << 60),
        changed(vips_allocations=-1),
        changed(raster=5),
        changed(raster=[]),
        changed(raster={}),
        changed(raster={"width": 3000, "height": 2000}),
        changed(raster={"width": 3000, "height": 2501, "bands": 3}),
        changed(raster={"width": 3000, "height": 0, "bands": 3}),
        changed(raster={"width": 3000, "height": 2000, "bands": 4}),
        changed(raster={"width": 3000, "height": "2000", "bands": 3}),
        b" " * 140_000,
    ],
)
def test_garbage_is_not_believed(message: bytes) -> None:
    before = open_fds()
    with pytest.raises(wire.Garbled):
        hear(message, b"body")
    with pytest.raises(wire.Garbled):
        hear(message)
    assert open_fds() == before


def test_the_body_must_be_of_the_announced_size_and_nothing_may_come_with_it() -> None:
    reader, writer = os.pipe()
    before = open_fds()
    assert isinstance(hear(changed(), b"body"), Report)
    for wrong in (b"", b"bod", b"body and more"):
        with pytest.raises(wire.Garbled):
            hear(changed(), wrong)
    for fds in ((reader,), (reader, writer)):
        with pytest.raises(wire.Garbled):
            hear(changed(), b"body", fds)
    assert open_fds() == before
    os.close(reader)
    os.close(writer)


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from([*SAID, "code", "detail"]), st.integers() | st.text()))
def test_nothing_but_garbled_comes_of_garbage(said: bytes | dict[str, Any]) -> None:
    message = said if isinstance(said, bytes) else json.dumps(said).encode()
    with pytest.raises((wire.Garbled, EOFError)):
        hear(message)
