"""A render process that misbehaves on demand: the options of the job's plan are the name of what to do.

Run like the real one: ``python -m tests.render.sabotage FD RESULTS MEMORY SVG_BYTES LAYERS``.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import sys
import time

import pyvips

from imgproxy.errors import UnsupportedFormat
from imgproxy.formats import JPEG
from imgproxy.model import Job, Rendition, Report
from imgproxy.render import warmup, wire, worker
from tests.render import forbidden

COMMAND = (sys.executable, "-P", "-s", "-m", "tests.render.sabotage")


def run(job: Job) -> Report:
    act, _, argument = str(job.plan.options).partition(":")
    return _ACTS[act](job, argument)


def say(text: str) -> Report:
    return Report(Rendition(text.encode() or b"-", JPEG, 1, 1, 1, 1))


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


def _grow(_job: Job, megabytes: str) -> Report:
    """Touch memory, 8 MB at a time, and then wait for what comes."""
    kept = [b"x" * (8 << 20) for _ in range(int(megabytes) // 8)]
    while kept:
        time.sleep(1)
    raise AssertionError


_leaked: list[bytes] = []
_pins: list[object] = []


def _fill(_job: Job, megabytes: str) -> Report:
    """Write to the file of results, 8 MB at a time, and wait for what comes."""
    for at in range(0, int(megabytes) << 20, 8 << 20):
        os.pwrite(own_line[0].results, b"x" * (8 << 20), at)
    while True:
        time.sleep(1)


def _leak(job: Job, megabytes: str) -> Report:
    _leaked.append(b"x" * (int(megabytes) << 20))
    return _render(job, "")


def _churn(job: Job, megabytes: str) -> Report:
    """Many small allocations, almost all freed again, but not the last: malloc keeps what lies between."""
    blocks = [ctypes.create_string_buffer(b"x" * 60_000) for _ in range(int(megabytes) * 16)]
    _pins.extend(blocks[::-100])
    return _render(job, "")


def _map(job: Job, seconds: str) -> Report:
    """Read a large source as libvips does, by a mapping."""
    with mmap.mmap(job.source.fd, job.source.size, prot=mmap.PROT_READ) as mapped:
        for offset in range(0, len(mapped), mmap.PAGESIZE):
            assert mapped[offset] == 0
        time.sleep(float(seconds))
    return say("read")


def _corrupt(job: Job, _: str) -> Report:
    """From now on every picture is wrong, as after a write beyond an array."""
    warmup._SVG = b"no longer an svg"  # pyright: ignore[reportConstantRedefinition]
    return _render(job, "")


def _fail(_job: Job, kind: str) -> Report:
    if kind == "ours":
        raise UnsupportedFormat("no such format")
    if kind == "vips":
        pyvips.Image.new_from_buffer(b"\xff\xd8\xff\xe0not a jpeg", "")
    raise KeyError(kind)


def _blocked(job: Job, _: str) -> Report:
    """A file that libvips could read, but may not."""
    pyvips.Image.csvload_source(pyvips.Source.new_from_memory(b"1,2"))
    return _render(job, "")


def _save_blocked(job: Job, _: str) -> Report:
    pyvips.Image.black(1, 1).write_to_buffer(".v")
    return _render(job, "")


def _garbage(_job: Job, what: str) -> Report:
    line = own_line[0]
    if what == "descriptor":  # which nobody asked for
        os.pwrite(line.results, b"1234567890", 0)
        socket.send_fds(line.socket, [_report(size=10)], [line.results])
    elif what == "short":
        os.pwrite(line.results, b"12345", 0)
        line.socket.send(_report(size=10))
    elif what == "hang up":
        line.socket.close()
    else:
        line.socket.send(what.encode())
    while True:
        time.sleep(1)


def _talkative(job: Job, _: str) -> Report:
    """Answers twice: once before time, once as expected."""
    report = _render(job, "")
    wire.send_answer(own_line[0], report)
    return report


def _report(size: int) -> bytes:
    numbers = dict.fromkeys(("peak_bytes", "vips_bytes", "vips_peak_bytes", "vips_allocations"), 0)
    sides = dict.fromkeys(("width", "height", "source_width", "source_height", "frames"), 1)
    seconds = dict.fromkeys(("load_s", "encode_s", "cpu_s"), 0.0)
    return wire._encode({"kind": "report", "size": size, "format": "jpeg", **numbers, **sides, **seconds})


def _describe(_job: Job, _: str) -> Report:
    """What a render process looks like from inside."""
    lines = [
        f"environment={sorted(os.environ)}",
        f"session={os.getsid(0) == os.getpid()}",
        f"nice={os.getpriority(os.PRIO_PROCESS, 0)}",
        f"batch={os.sched_getscheduler(0) == os.SCHED_BATCH}",
        f"limits={' '.join(str(resource.getrlimit(limit)[1]) for limit in _LIMITS)}",
        f"parent_death={_parent_death_signal()}",
        f"modules={[name for name in _FORBIDDEN if name in sys.modules]}",
    ]
    return say("\n".join(lines))


_LIMITS = (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)
_FORBIDDEN = ("pydantic", "httpx", "starlette", "aiohttp", "prometheus_client", "asyncio", "imgproxy.render.pool")


def _parent_death_signal() -> int:
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)  # PR_GET_PDEATHSIG
    return number.value


def _forbidden(job: Job, name: str) -> Report:
    """What becomes of a forbidden action: "done", or the name of the error."""
    return say(forbidden.attempt(name, job.source.fd))


_ACTS = {
    "render": _render,
    "sleep": _sleep,
    "spin": _spin,
    "signal": _signal,
    "abort": _abort,
    "exit": _exit,
    "allocate": _allocate,
    "grow": _grow,
    "fill": _fill,
    "leak": _leak,
    "churn": _churn,
    "map": _map,
    "corrupt": _corrupt,
    "fail": _fail,
    "blocked": _blocked,
    "save blocked": _save_blocked,
    "garbage": _garbage,
    "talkative": _talkative,
    "describe": _describe,
    "forbidden": _forbidden,
}

own_line: list[wire.Line] = []

if __name__ == "__main__":
    orders = worker.Orders.read(sys.argv[1:])
    own_line.append(orders.line)
    worker.start(orders, run)
