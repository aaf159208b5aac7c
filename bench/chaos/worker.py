"""A render process that does its work, but misbehaves over pictures that say so: ``python -m bench.chaos.worker``.

A picture says so behind its last byte, where no decoder looks.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from imgproxy.render import pipeline, worker

if TYPE_CHECKING:
    from imgproxy.model import Job, Report

COMMAND = (sys.executable, "-P", "-s", "-m", "bench.chaos.worker")
MARK = b"\nmisbehave:"
_TAIL = 64


def marked(picture: bytes, act: str) -> bytes:
    """A picture over which a render process misbehaves. ``act``: a key of ACTS, with an argument behind a colon."""
    return picture + MARK + act.encode()


def run(job: Job) -> Report:
    """The report on a job, after what its source asks for."""
    tail = os.pread(job.source.fd, _TAIL, max(0, job.source.size - _TAIL))
    _, mark, act = tail.partition(MARK)
    if mark:
        name, _, argument = act.decode().partition(":")
        ACTS[name](argument)
    return pipeline.run(job)


def _segv(_: str) -> NoReturn:
    ctypes.string_at(0)
    raise AssertionError


def _abort(_: str) -> NoReturn:
    os.abort()


def _spin(_: str) -> NoReturn:
    while True:
        pass


def _sleep(seconds: str) -> None:
    time.sleep(float(seconds))


def _allocate(megabytes: str) -> NoReturn:
    """Touch memory, 8 MB at a time, and wait for what comes."""
    kept = [b"x" * (8 << 20) for _ in range(int(megabytes) // 8)]
    while kept:
        time.sleep(1)
    raise AssertionError


ACTS = {"segv": _segv, "abort": _abort, "spin": _spin, "sleep": _sleep, "allocate": _allocate}

if __name__ == "__main__":
    orders = worker.Orders.read(sys.argv[1:])
    worker.start(orders, run)
