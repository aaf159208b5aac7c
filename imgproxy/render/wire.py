"""How a job goes to a render process and a report comes back: messages on a unix socket pair, and a file for results.

The two directions differ in trust. The server is trusted: a job travels as a pickle, its sources as descriptors.
A render process decodes hostile input and may have been taken over, so its answers are never unpickled: they are
JSON of a fixed shape, every field of which is checked on arrival, and the result's body lies in a memfd of the
server's, is copied before it is believed, and then wiped: a process has one such file, and can make no others.
SOCK_SEQPACKET keeps message boundaries, so nothing here splits or joins a stream.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import socket
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from imgproxy.errors import (
    BrokenImage,
    ImageError,
    InternalError,
    ResultTooLarge,
    SourceTooExpensive,
    SourceTooLarge,
    UnknownImageType,
    UnsupportedFormat,
    WatermarkMissing,
)
from imgproxy.formats import RESULTS
from imgproxy.model import MEZZANINE_PIXELS, Job, Raster, Rendition, Report, Source, SourceRef
from imgproxy.render.sandbox import LAYERS, Sandbox

_JOB, _PING = b"J", b"P"
_NOWHERE = SourceRef("")

_MAX_MESSAGE = 128 * 1024
"""A seqpacket message must fit the socket's send buffer: 208 KiB by default (net.core.wmem_default)."""
_MAX_DETAIL = 4000
_MAX_BODY = 1 << 30
_MAX_SIDE = 10_000_000
"""VIPS_MAX_COORD."""
_MAX_NUMBER = 1 << 53
"""Beyond it JSON numbers lose their last digit somewhere."""

_ERRORS: dict[str, type[ImageError]] = {
    error.code: error
    for error in (
        SourceTooLarge,
        SourceTooExpensive,
        UnknownImageType,
        BrokenImage,
        UnsupportedFormat,
        ResultTooLarge,
        WatermarkMissing,
        InternalError,
    )
}
"""What a render may find wrong. The server's own refusals (timeout, queue) cannot be forged by a worker."""


class Garbled(Exception):
    """An answer that no honest render process gives."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Instead of a job: render something tiny and say "ready"."""


@dataclass(frozen=True, slots=True)
class Confining:
    """The first word of a new process: all is loaded; what goes wrong from here on is the sandbox's fault."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The second word of a new process, and the answer to a ping."""

    sandbox: Sandbox
    """What the process found to hold, before it saw its first picture."""


Answer = Report | Ready | Confining | ImageError


@dataclass(frozen=True, slots=True)
class Line:
    """One end of what server and render process speak over: a socket, and the file that results lie in."""

    socket: socket.socket
    results: int

    def close(self) -> None:
        self.socket.close()
        os.close(self.results)


def lines() -> tuple[Line, Line]:
    """Both ends, the server's first. Each has its own descriptors."""
    server, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    results = os.memfd_create("results", os.MFD_CLOEXEC)
    return Line(server, results), Line(worker, os.dup(results))


def send_request(line: Line, request: Job | Ping) -> None:
    """Hand over a job (with its descriptors) or a ping. An OSError means that nothing was sent."""
    if isinstance(request, Ping):
        line.socket.send(_PING)
        return
    message = _JOB + pickle.dumps(_anonymous(request), pickle.HIGHEST_PROTOCOL)
    if len(message) > _MAX_MESSAGE:
        raise InternalError(f"a job of {len(message)} bytes is too large to hand over")
    with ExitStack() as opened:
        fds = [_read_only(source.fd, opened) for source in (request.source, request.watermark) if source is not None]
        if (mezzanine := request.mezzanine) is not None:
            fds.append(_read_only(mezzanine.fd, opened) if mezzanine.raster else mezzanine.fd)
        socket.send_fds(line.socket, [message], fds)


def _anonymous(job: Job) -> Job:
    """The job without its URLs: a render needs none, and a presigned one is a secret."""
    watermark = job.watermark and Source(job.watermark.fd, job.watermark.size, "")
    plan = replace(job.plan, source=_NOWHERE)
    return Job(plan, Source(job.source.fd, job.source.size, ""), watermark, job.mezzanine)


def _read_only(fd: int, opened: ExitStack) -> int:
    """A descriptor that cannot change the file: what lies in a memfd is also what other requests get."""
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        return fd
    try:
        fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InternalError(f"a source cannot be opened again: {error}") from None
    opened.callback(os.close, fd)
    return fd


def receive_request(line: Line) -> Job | Ping:
    """The next request, in the worker. Whoever takes a job closes its sources. Raises EOFError at the end."""
    message, fds, _, _ = socket.recv_fds(line.socket, _MAX_MESSAGE, 3, socket.MSG_CMSG_CLOEXEC)
    if not message:
        raise EOFError
    if message == _PING:
        return Ping()
    job = pickle.loads(memoryview(message)[1:])  # noqa: S301 - written by our parent process
    watermark = job.watermark and replace(job.watermark, fd=fds[1])
    mezzanine = job.mezzanine and replace(job.mezzanine, fd=fds[-1])
    return replace(job, source=replace(job.source, fd=fds[0]), watermark=watermark, mezzanine=mezzanine)


def send_answer(line: Line, answer: Answer) -> None:
    """Say what became of a request, in the worker."""
    if isinstance(answer, Report):
        _send_report(line, answer)
    elif isinstance(answer, Ready):
        line.socket.send(_encode({"kind": "ready", "layers": sorted(answer.sandbox.held)}))
    elif isinstance(answer, Confining):
        line.socket.send(_encode({"kind": "confining"}))
    else:
        error = answer if answer.code in _ERRORS else InternalError(f"{answer.code}: {answer}")
        line.socket.send(_encode({"kind": "error", "code": error.code, "detail": str(error)[:_MAX_DETAIL]}))


def receive_answer(line: Line) -> Answer:
    """The checked answer of a render process. Raises Garbled, EOFError at the end, BlockingIOError if there is none."""
    # No room for descriptors: those that come nevertheless are closed by the kernel, which says so.
    message, _, flags, _ = line.socket.recvmsg(_MAX_MESSAGE)
    if not message:
        raise EOFError
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise Garbled("too long, or with descriptors")
    try:
        return _decode(message, line.results)
    finally:
        os.ftruncate(line.results, 0)


def _send_report(line: Line, report: Report) -> None:
    rendition = report.rendition
    if len(rendition.body) > _MAX_BODY:
        send_answer(line, ResultTooLarge(f"{len(rendition.body)} bytes, the limit is {_MAX_BODY}"))
        return
    message = {
        "kind": "report",
        "size": len(rendition.body),
        "format": rendition.format.name,
        **{name: getattr(rendition, name) for name in _RENDITION},
        **{name: getattr(report, name) for name in (*_SECONDS, *_NUMBERS)},
        "raster": report.raster and asdict(report.raster),
    }
    written, body = 0, memoryview(rendition.body)
    while written < len(body):
        written += os.pwrite(line.results, body[written:], written)
    line.socket.send(_encode(message))


_RENDITION = ("width", "height", "source_width", "source_height", "frames")
_SECONDS = ("load_s", "encode_s", "cpu_s")
_NUMBERS = ("peak_bytes", "vips_bytes", "vips_peak_bytes", "vips_allocations")


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def _decode(message: bytes, results: int) -> Answer:
    try:
        fields: Any = json.loads(message)
    except (ValueError, RecursionError):
        raise Garbled("no JSON") from None
    match fields:
        case {"kind": "confining", **rest} if not rest:
            return Confining()
        case {"kind": "ready", "layers": layers, **rest} if isinstance(layers, list) and not rest:
            return _ready(cast("list[object]", layers))
        case {"kind": "error", "code": str(code), "detail": str(detail), **rest} if not rest:
            if code not in _ERRORS:
                raise Garbled(f"unknown error {code[:40]!r}")
            return _ERRORS[code](detail[:_MAX_DETAIL])
        case {"kind": "report", **rest}:
            return _report(rest, results)
        case _:
            raise Garbled("not of the fixed shape")


def _ready(layers: list[object]) -> Ready:
    held = [layer for layer in LAYERS if layer in layers]
    if len(held) != len(layers):
        raise Garbled("unknown layers")
    return Ready(Sandbox(frozenset(held)))


def _report(fields: dict[str, Any], fd: int) -> Report:
    if fields.keys() != {"size", "format", "raster", *_RENDITION, *_SECONDS, *_NUMBERS}:
        raise Garbled("not the fields of a report")
    format_ = RESULTS.get(fields["format"]) if isinstance(fields["format"], str) else None
    if format_ is None:
        raise Garbled("unknown format")
    sides = {name: _integer(fields, name, 1, _MAX_SIDE) for name in _RENDITION}
    size = _integer(fields, "size", 1, _MAX_BODY)
    return Report(
        Rendition(_read(fd, size), format_, **sides),
        **{name: _seconds(fields, name) for name in _SECONDS},
        **{name: _integer(fields, name, 0, _MAX_NUMBER) for name in _NUMBERS},
        raster=_raster(fields["raster"]),
    )


def _raster(fields: dict[str, Any] | None) -> Raster | None:
    if fields is None:
        return None
    if not isinstance(fields, dict) or fields.keys() != {"width", "height", "bands"}:  # pyright: ignore[reportUnnecessaryIsInstance] - it is JSON
        raise Garbled("not the fields of a raster")
    sides = {name: _integer(fields, name, 1, MEZZANINE_PIXELS) for name in ("width", "height")}
    raster = Raster(**sides, bands=_integer(fields, "bands", 1, 3))
    if raster.width * raster.height > MEZZANINE_PIXELS:
        raise Garbled("a raster out of range")
    return raster


def _integer(fields: dict[str, Any], name: str, low: int, high: int) -> int:
    value = fields[name]
    if type(value) is not int or not low <= value <= high:  # a bool is an int to isinstance
        raise Garbled(f"{name} out of range")
    return value


def _seconds(fields: dict[str, Any], name: str) -> float:
    value = fields[name]
    if type(value) not in (int, float) or not 0 <= value <= 1e6:  # nan ends here too
        raise Garbled(f"{name} out of range")
    return float(value)


def _read(fd: int, size: int) -> bytes:
    """A copy of the body.

    The sender holds the file as well, so it is read, not mapped: a file cut short under a mapping would be SIGBUS.
    Reading blocks the loop for about 0.3 ms per MB.
    """
    if os.fstat(fd).st_size != size:
        raise Garbled("the body is not what was announced")
    body = os.pread(fd, size, 0)
    if len(body) != size:
        raise Garbled("the body was cut short")
    return body
