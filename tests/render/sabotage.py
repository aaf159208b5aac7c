"""A render process that misbehaves on demand: the job's plan is the name of what to do.

Run like the real one: ``python -m tests.render.sabotage FD``.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import pyvips

from imgproxy.errors import UnsupportedFormat
from imgproxy.formats import JPEG
from imgproxy.model import Job, Rendition, Report
from imgproxy.render import wire, worker

COMMAND = (sys.executable, "-P", "-s", "-m", "tests.render.sabotage")


def run(job: Job) -> Report:
    act, _, argument = str(job.plan).partition(":")
    return _ACTS[act](job, argument)


def _render(job: Job, _: str) -> Report:
    """What the pipeline does in earnest: the source thumbnailed to a JPEG."""
    source = os.pread(job.source.fd, job.source.size, 0)
    image = pyvips.Image.thumbnail_buffer(source, 64)
    body = image.write_to_buffer(".jpg", Q=80, keep="none")
    return Report(Rendition(body, JPEG, image.width, image.height, 100, 80))


def _sleep(job: Job, seconds: str) -> Report:
    time.sleep(float(seconds))
    return _render(job, "")


def _spin(_job: Job, _: str) -> Report:
    while True:
        pass


def _signal(_job: Job, name: str) -> Report:
    os.kill(os.getpid(), signal.Signals[name])
    raise AssertionError


def _abort(_job: Job, words: str) -> Report:
    os.write(2, words.encode())
    os.abort()


def _exit(_job: Job, status: str) -> Report:
    os._exit(int(status))


def _allocate(_job: Job, _: str) -> Report:
    raise AssertionError(len(bytearray(8 << 30)))


def _fail(_job: Job, kind: str) -> Report:
    if kind == "ours":
        raise UnsupportedFormat("no such format")
    if kind == "vips":
        pyvips.Image.new_from_buffer(b"\xff\xd8\xff\xe0not a jpeg", "")
    raise KeyError(kind)


def _blocked(job: Job, _: str) -> Report:
    """A file that libvips could read, but may not."""
    pyvips.Image.csvload("/dev/null")
    return _render(job, "")


def _save_blocked(job: Job, _: str) -> Report:
    pyvips.Image.black(1, 1).write_to_buffer(".v")
    return _render(job, "")


def _garbage(_job: Job, what: str) -> Report:
    connection = socket.socket(fileno=int(sys.argv[1]))
    if what == "pipe":  # a descriptor that would block the reader for ever
        reader, writer = os.pipe()
        socket.send_fds(connection, [_report(size=10)], [reader])
        os.close(writer)
    elif what == "short":
        file = os.memfd_create("x")
        os.write(file, b"12345")
        socket.send_fds(connection, [_report(size=10)], [file])
    elif what == "hang up":
        connection.shutdown(socket.SHUT_RDWR)
    else:
        connection.send(what.encode())
    while True:
        time.sleep(1)


def _talkative(job: Job, _: str) -> Report:
    """Answers twice: once before time, once as expected."""
    report = _render(job, "")
    connection = socket.socket(fileno=int(sys.argv[1]))
    wire.send_answer(connection, report)
    connection.detach()
    return report


def _report(size: int) -> bytes:
    numbers = dict.fromkeys(("peak_bytes", "vips_bytes", "vips_peak_bytes", "vips_allocations"), 0)
    sides = dict.fromkeys(("width", "height", "source_width", "source_height", "frames"), 1)
    seconds = dict.fromkeys(("load_s", "encode_s", "cpu_s"), 0.0)
    return wire._encode({"kind": "report", "size": size, "format": "jpeg", **numbers, **sides, **seconds})


def _describe(_job: Job, _: str) -> Report:
    """What a render process looks like from inside."""
    status = Path("/proc/self/status").read_text()
    lines = [
        f"environment={sorted(os.environ)}",
        f"session={os.getsid(0) == os.getpid()}",
        f"nice={os.nice(0)}",
        f"batch={os.sched_getscheduler(0) == os.SCHED_BATCH}",
        f"privileges={_UNPRIVILEGED in status}",
        f"files={len(list(Path('/proc/self/fd').iterdir()))}",
        f"limits={' '.join(str(resource.getrlimit(limit)[0]) for limit in _LIMITS)}",
        f"parent_death={_parent_death_signal()}",
        f"modules={[name for name in _FORBIDDEN if name in sys.modules]}",
    ]
    return Report(Rendition("\n".join(lines).encode(), JPEG, 1, 1, 1, 1))


_LIMITS = (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS)
_UNPRIVILEGED = "NoNewPrivs:\t1"
_FORBIDDEN = ("pydantic", "httpx", "starlette", "aiohttp", "prometheus_client", "asyncio", "imgproxy.render.pool")


def _parent_death_signal() -> int:
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)  # PR_GET_PDEATHSIG
    return number.value


_ACTS = {
    "render": _render,
    "sleep": _sleep,
    "spin": _spin,
    "signal": _signal,
    "abort": _abort,
    "exit": _exit,
    "allocate": _allocate,
    "fail": _fail,
    "blocked": _blocked,
    "save blocked": _save_blocked,
    "garbage": _garbage,
    "talkative": _talkative,
    "describe": _describe,
}

if __name__ == "__main__":
    worker.confine()
    worker.serve(socket.socket(fileno=int(sys.argv[1])), run)
