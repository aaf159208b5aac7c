"""A render process: ``python -m imgproxy.render.worker FD``, where FD is its end of a seqpacket socket pair.

It receives jobs, renders, answers, and ends when the socket closes. It has no network, no settings and no secrets,
decodes hostile input, and may be killed at any moment; whatever goes wrong in it costs one request.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pyvips

from imgproxy.errors import BrokenImage, ImageError, InternalError, SourceTooLarge
from imgproxy.render import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.model import Job, Report

_ADDRESS_SPACE = 4 << 30
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Heif", "Tiff", "Svg")
_SAVERS = ("Jpeg", "Png", "Webp", "Cgif", "Heif", "Tiff")


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    confine()
    from imgproxy.render import pipeline  # noqa: PLC0415 - under the limits, like everything that follows

    serve(connection, pipeline.run)


def confine() -> None:
    """Give up what a render does not need. What the kernel refuses here is not worth refusing to start."""
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_AS, _ADDRESS_SPACE),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server decides when a render ends
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with suppress(OSError):
        # Renders at normal priority push the p99 of what the event loop serves from 1.2 to 87 ms; so it is 1.9.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.nice(19)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # out of memory: a worker goes first, never the server


def set_up_libvips() -> None:
    """No cache, and only the codecs in use: a refused type is an unknown type, whatever libvips could read."""
    pyvips.cache_set_max(0)  # every source is new; libvips' own checklist says so for proxies
    for kind, used in (("Load", _LOADERS), ("Save", _SAVERS)):
        pyvips.operation_block_set(f"VipsForeign{kind}", True)
        for name in used:
            pyvips.operation_block_set(f"VipsForeign{kind}{name}", False)
    pyvips.operation_block_set("VipsSystem", True)


def warm_up() -> None:
    """A tiny picture through every codec: a health check, and the libraries are in memory when the first job comes."""
    image = pyvips.Image.black(16, 16, bands=3).copy(interpretation="srgb")
    for suffix in (".png", ".jpg", ".webp", ".avif", ".gif"):
        body: bytes = image.write_to_buffer(suffix)
        if pyvips.Image.new_from_buffer(body, "").resize(0.5)[0].avg() > 1:
            raise InternalError(f"black is not black in {suffix}")


def serve(connection: socket.socket, run: Callable[[Job], Report]) -> None:
    """Answer requests until the socket closes."""
    set_up_libvips()
    warm_up()
    memory = VipsMemory()
    wire.send_answer(connection, wire.Ready())
    with suppress(EOFError, ConnectionError):
        while True:
            request = wire.receive_request(connection)
            wire.send_answer(connection, _answer(request, run, memory))


def _answer(request: Job | wire.Ping, run: Callable[[Job], Report], memory: VipsMemory) -> wire.Answer:
    if isinstance(request, wire.Ping):
        return _pong()
    started = time.process_time()
    try:
        report = perform(run, request)
    except ImageError as error:
        return error
    finally:
        request.source.close()
        if request.watermark:
            request.watermark.close()
    return replace(
        report,
        cpu_s=time.process_time() - started,
        peak_bytes=_peak_bytes(),
        **memory.read(),
    )


def _peak_bytes() -> int:
    """Peak resident memory. Not ru_maxrss: across vfork and exec that starts with the server's own peak."""
    match = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _pong() -> wire.Answer:
    try:
        warm_up()
    except Exception:  # noqa: BLE001 - any failure means that this process is no good
        return InternalError(traceback.format_exc())
    return wire.Ready()


def perform(run: Callable[[Job], Report], job: Job) -> Report:
    """The report on a job. Every exception but an ImageError is mapped here, and nowhere else."""
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
    except Exception:  # noqa: BLE001 - a mistake of ours costs one request, not the process
        raise InternalError(traceback.format_exc()) from None


class VipsMemory:
    """libvips' own bookkeeping: functions that pyvips does not declare, looked up in the loaded library."""

    _NUMBERS: ClassVar = {
        "vips_bytes": ("vips_tracked_get_mem", ctypes.c_size_t),
        "vips_peak_bytes": ("vips_tracked_get_mem_highwater", ctypes.c_size_t),
        "vips_allocations": ("vips_tracked_get_allocs", ctypes.c_int),
    }

    def __init__(self) -> None:
        self._read: dict[str, Callable[[], int]] = {}
        with suppress(OSError, AttributeError):  # a libvips linked in another way: the numbers stay 0
            library = ctypes.CDLL(_loaded_libvips())
            for name, (symbol, kind) in self._NUMBERS.items():
                function = library[symbol]
                function.restype = kind
                self._read[name] = function

    def read(self) -> dict[str, int]:
        """The fields of a Report."""
        return {name: max(0, int(function())) for name, function in self._read.items()}


def _loaded_libvips() -> str:
    match = re.search(r"/\S*libvips(?!-cpp)[^/\s]*\.so\S*", Path("/proc/self/maps").read_text())
    if match is None:
        raise OSError("no libvips is mapped")
    return match[0]


if __name__ == "__main__":
    main()
