"""Log lines and those who do not read them."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from imgproxy.sink import Sink


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "", 0, text, None, None)


def test_lines_arrive_in_order_and_the_descriptor_stays_ours() -> None:
    reader, writer = os.pipe()
    sink = Sink(writer)
    for n in range(3):
        sink.emit(record(f"line {n} \udc80"))
    assert os.read(reader, 999) == b"line 0 \\udc80\nline 1 \\udc80\nline 2 \\udc80\n"
    sink.close()
    os.write(writer, b"still open")
    os.close(writer)
    assert os.read(reader, 999) == b"still open"
    os.close(reader)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_nobody_waits_for_who_does_not_read_and_no_line_is_torn(kind: str) -> None:
    ends = [end.detach() for end in socket.socketpair()] if kind == "socket" else os.pipe()
    reader, writer = ends
    sink = Sink(writer)
    lines = [f"{n:05} " + "x" * 200 for n in range(5_000)]
    for line in lines:
        sink.emit(record(line))
    assert sink.dropped > 1_000
    os.close(writer)
    os.set_blocking(reader, False)
    read = b""
    while sink._waiting:
        sink.emit(record("last"))
        try:
            read += os.read(reader, 1 << 20)
        except BlockingIOError:
            break
    sink.close()
    while chunk := os.read(reader, 1 << 20):
        read += chunk
    os.close(reader)
    whole = read.decode().splitlines()
    kept = [line for line in whole if line != "last"]
    assert kept == [line for line in lines if line in set(kept)]
    assert len(kept) + sink.dropped >= len(lines)
    assert whole[-1] == "last"


def test_a_reader_that_has_gone_and_a_full_disk_cost_lines_only(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    sink = Sink(writer)
    os.close(reader)
    sink.emit(record("nobody"))
    assert sink.dropped == 1
    sink.close()
    os.close(writer)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with (tmp_path / "log").open("wb") as file:
        sink = Sink(file.fileno())
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            sink.emit(record("far too long for this disk"))
            sink.emit(record("x"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, former)
        assert sink.dropped == 2
        sink.emit(record("room again"))
        sink.close()
    assert (tmp_path / "log").read_text().endswith("room again\n")


def test_the_last_lines_are_waited_for_a_moment() -> None:
    program = (
        "import logging; from imgproxy.logs import configure, LogSettings; configure(LogSettings(log_format='json'));"
        "[logging.error('x' * 1000) for _ in range(200)]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.stderr.count("\n") == 200


async def test_the_lines_of_one_turn_of_the_loop_are_one_write() -> None:
    reader, writer = os.pipe()
    sink = Sink(writer)
    os.set_blocking(reader, False)
    sink.emit(record("first"))
    sink.emit(record("second"))
    with pytest.raises(BlockingIOError):
        os.read(reader, 999)
    await asyncio.sleep(0)
    assert os.read(reader, 999) == b"first\nsecond\n"
    sink.emit(record("third"))
    sink.emit(logging.LogRecord("x", logging.ERROR, "", 0, "last words", None, None))
    assert os.read(reader, 999) == b"third\nlast words\n"
    await asyncio.sleep(0)
    sink.emit(record("x" * 5000))
    assert len(os.read(reader, 9999)) == 5001  # a page is enough
    sink.close()
    os.close(writer)
    os.close(reader)
