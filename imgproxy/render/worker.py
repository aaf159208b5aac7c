"""A render process: ``python -m imgproxy.render.worker FD RESULTS MEMORY SVG_BYTES LAYERS``.

FD is its end of a seqpacket socket pair, RESULTS the file that results go into, LAYERS are those of the sandbox to put
on, with commas; the rest is its budget. It receives jobs, renders, answers, and ends when the socket closes. It has no
network, no settings and no secrets, decodes hostile input, and may be killed at any moment; whatever goes wrong in it
costs one request.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

import pyvips

from imgproxy.errors import BrokenImage, ImageError, InternalError, SourceTooLarge
from imgproxy.render import sandbox, wire
from imgproxy.render.budget import Budget
from imgproxy.render.warmup import load_late_modules, load_late_parts, set_up_libvips, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgproxy.model import Job, Report

R = TypeVar("R")

_TRIM_BYTES = 64 << 20
"""Growth from which free memory is given back after a job: malloc_trim takes 2.3 ms for 190 MB."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a render process is started with."""

    line: wire.Line
    budget: Budget
    layers: frozenset[str]

    @classmethod
    def read(cls, arguments: Sequence[str]) -> Orders:
        fd, results, memory, svg_bytes, layers = arguments
        wanted = frozenset(layer for layer in layers.split(",") if layer)
        return cls(wire.Line(socket.socket(fileno=int(fd)), int(results)), Budget(int(memory), int(svg_bytes)), wanted)


def main() -> None:
    from imgproxy.render import pipeline  # noqa: PLC0415 - imports must not run for whoever borrows `perform`

    orders = Orders.read(sys.argv[1:])
    start(orders, partial(pipeline.run, budget=orders.budget))


def start(orders: Orders, run: Callable[[Job], Report]) -> None:
    """Confine this process, and serve until the socket closes. All that is imported must be imported by now."""
    step_back()
    if "limits" in orders.layers:
        sandbox.limit()
    set_up_libvips()
    load_late_modules()
    accounts = Accounts()
    wire.send_answer(orders.line, wire.Confining())
    held = sandbox.confine(orders.layers, orders.budget.memory, load_late_parts, warm_up)
    serve(orders.line, run, held, accounts)


def step_back() -> None:
    """Leave signals to the server, and processor and memory to whoever needs them more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server decides when a render ends
    with suppress(OSError):
        # Renders at normal priority push the p99 of what the event loop serves from 1.2 to 87 ms; so it is 1.9. Not
        # SCHED_IDLE, which takes a third off that under overload: beside a busy neighbour renders would hardly go on.
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # out of memory: a worker goes first, never the server


def serve(line: wire.Line, run: Callable[[Job], Report], held: sandbox.Sandbox, accounts: Accounts) -> None:
    """Answer requests until the socket closes."""
    ready = wire.Ready(held)
    wire.send_answer(line, ready)
    with suppress(EOFError, ConnectionError):
        while True:
            request = wire.receive_request(line)
            answer = _pong(ready) if isinstance(request, wire.Ping) else _answer(request, run, accounts)
            accounts.give_back()
            wire.send_answer(line, answer)


def _answer(request: Job, run: Callable[[Job], Report], accounts: Accounts) -> wire.Answer:
    started = time.process_time()
    try:
        report = perform(run, request)
    except ImageError as error:
        return error
    finally:
        request.source.close()
        if request.watermark:
            request.watermark.close()
        if request.mezzanine:
            os.close(request.mezzanine.fd)
    return replace(report, cpu_s=time.process_time() - started, **accounts.read())


def _pong(ready: wire.Ready) -> wire.Answer:
    try:
        warm_up()
    except Exception as error:  # noqa: BLE001 - any failure means that this process is no good
        return _unexpected(error)
    return ready


def perform(run: Callable[[Job], R], job: Job) -> R:
    """What ``run`` makes of a job: a report. Every exception but an ImageError is mapped here, and nowhere else."""
    try:
        return run(job)
    except ImageError:
        raise
    except MemoryError:
        raise SourceTooLarge("the render process ran out of memory") from None
    except pyvips.Error as error:
        text = str(error)
        if "out of memory" in text:
            raise SourceTooLarge(text) from error
        raise BrokenImage(text) from error
    except Exception as error:  # noqa: BLE001 - a mistake of ours costs one request, not the process
        raise _unexpected(error) from None


def _unexpected(error: Exception) -> InternalError:
    """What is said of a mistake of ours: its kind. Where it happened goes to stderr, which only the log sees."""
    traceback.print_exception(error)
    sys.stderr.flush()
    return InternalError(f"{type(error).__name__}: {error}")


class Accounts:
    """What this process uses, from files and functions that are found before the sandbox closes.

    libvips' own bookkeeping is in functions that pyvips does not declare, looked up in the loaded library.
    """

    _NUMBERS: ClassVar = {
        "vips_bytes": ("vips_tracked_get_mem", ctypes.c_size_t),
        "vips_peak_bytes": ("vips_tracked_get_mem_highwater", ctypes.c_size_t),
        "vips_allocations": ("vips_tracked_get_allocs", ctypes.c_int),
    }

    def __init__(self) -> None:
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._read: dict[str, Callable[[], int]] = {}
        with suppress(OSError, AttributeError):  # a libvips linked in another way: the numbers stay 0
            library = ctypes.CDLL(_loaded_libvips())
            for name, (symbol, kind) in self._NUMBERS.items():
                function = library[symbol]
                function.restype = kind
                self._read[name] = function
        self._trim: Callable[[int], int] = getattr(ctypes.CDLL(None), "malloc_trim", int)  # musl has none
        self._kept = self._status_bytes("RssAnon")

    def read(self) -> dict[str, int]:
        """The fields of a Report. Peak memory is not ru_maxrss: across vfork and exec that starts with the server's."""
        numbers = {name: max(0, int(function())) for name, function in self._read.items()}
        return {"peak_bytes": self._status_bytes("VmHWM"), **numbers}

    def give_back(self) -> None:
        """Return what malloc keeps for later, where it is much."""
        if self._status_bytes("RssAnon") > self._kept + _TRIM_BYTES:
            self._trim(0)

    def close(self) -> None:
        os.close(self._status)

    def _status_bytes(self, name: str) -> int:
        match = re.search(rf"^{name}:\s+(\d+) kB", os.pread(self._status, 4096, 0).decode(), re.MULTILINE)
        return int(match[1]) * 1024 if match else 0


def _loaded_libvips() -> str:
    match = re.search(r"/\S*libvips(?!-cpp)[^/\s]*\.so\S*", Path("/proc/self/maps").read_text())
    if match is None:
        raise OSError("no libvips is mapped")
    return match[0]


if __name__ == "__main__":
    main()
