"""A render process from inside: what it may not do, and what becomes of what goes wrong in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import pyvips

from imgproxy.errors import BrokenImage, InternalError, RenderTimeout, SourceTooLarge, UnsupportedFormat
from imgproxy.model import Deadline, Job, Source
from imgproxy.render import wire
from imgproxy.render.inline import Inline
from imgproxy.render.process import ENVIRONMENT
from imgproxy.render.worker import Accounts
from tests.render import sabotage
from tests.render.conftest import ByHand, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.render.pool import Pool


async def test_it_has_given_up_what_it_does_not_need(pool: Pool, job: Callable[[str], Job]) -> None:
    report = await pool.render(job("describe"), Deadline.after(5))
    assert dict(line.split("=") for line in report.rendition.body.decode().splitlines()) == {
        "environment": "['LC_ALL', 'MALLOC_ARENA_MAX', 'PYTHONPATH', 'VIPS_CONCURRENCY']",
        "session": "True",
        "nice": "19",
        "batch": "True",
        "limits": f"0 32 {1 << 30}",
        "parent_death": "9",
        "modules": "[]",
    }


@pytest.mark.parametrize(
    ("act", "error", "detail"),
    [
        ("fail:ours", UnsupportedFormat, "no such format"),
        ("fail:vips", BrokenImage, "JPEG"),
        ("fail:other", InternalError, "KeyError: 'other'"),
        ("allocate", SourceTooLarge, "out of memory"),
        ("blocked", BrokenImage, "blocked"),
        ("save blocked", BrokenImage, "not a known"),
    ],
)
async def test_what_goes_wrong_is_mapped_once(
    pool: Pool, job: Callable[[str], Job], act: str, error: type[Exception], detail: str
) -> None:
    with pytest.raises(error, match=detail):
        await pool.render(job(act), Deadline.after(5))
    assert pool.restarts.total() == 0


async def test_an_ultra_hdr_jpeg_is_read_as_a_jpeg(pool: Pool) -> None:
    """The loader that would win it by priority is blocked; the plain one must take it."""
    pyvips.operation_block_set("VipsForeignSaveUhdr", False)  # blocked by Inline in other tests
    body: bytes = (pyvips.Image.black(40, 40, bands=3) + 0.5).copy(interpretation="scrgb").uhdrsave_buffer()
    source = Source(os.memfd_create("source"), len(body), "x")
    os.write(source.fd, body)
    report = await pool.render(told("render", source), Deadline.after(5))
    assert (report.rendition.width, report.rendition.height) == (64, 64)
    source.close()


async def test_a_report_says_what_it_cost(pool: Pool, job: Callable[[str], Job]) -> None:
    report = await pool.render(job("render"), Deadline.after(5))
    assert 0 < report.cpu_s < 5
    assert 10e6 < report.peak_bytes < 300e6
    assert report.vips_peak_bytes > 0
    assert report.vips_bytes >= 0


def test_libvips_bookkeeping_is_found() -> None:
    image = pyvips.Image.black(2000, 2000).copy_memory()
    accounts = Accounts()
    numbers = accounts.read()
    accounts.close()
    assert numbers["peak_bytes"] > 10e6
    assert numbers["vips_bytes"] >= image.width * image.height
    assert numbers["vips_allocations"] > 0


async def test_pool_and_inline_agree_to_the_byte(pool: Pool, job: Callable[[str], Job]) -> None:
    inline = Inline(sabotage.run)
    deadline = Deadline.after(5)
    here = await inline.render(job("render"), deadline)
    there = await pool.render(job("render"), deadline)
    assert here.rendition == there.rendition


async def test_inline_keeps_the_deadline_and_the_mapping(job: Callable[[str], Job]) -> None:
    inline = Inline(sabotage.run)
    with pytest.raises(RenderTimeout):
        await inline.render(job("sleep:0.1"), Deadline.after(0.01))
    with pytest.raises(BrokenImage):
        await inline.render(job("fail:vips"), Deadline.after(5))


def test_it_outlives_signals_but_not_its_socket() -> None:
    worker = ByHand()
    worker.process.send_signal(signal.SIGTERM)
    worker.process.send_signal(signal.SIGINT)
    assert worker.ask(wire.Ping()) == wire.Ready(worker.sandbox)
    assert worker.end() == 0


def test_it_dies_with_its_parent() -> None:
    """PR_SET_PDEATHSIG: a killed server leaves no render process, not even a busy one."""
    script = (
        "import os\n"
        "from imgproxy.model import Source\n"
        "from imgproxy.render import wire\n"
        "from tests.render.conftest import ByHand, told\n"
        "worker = ByHand()\n"
        "wire.send_request(worker.line, told('spin', Source(os.open('/dev/null', os.O_RDONLY), 0, '')))\n"
        "print(worker.process.pid, flush=True)\n"
        "worker.process.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=ENVIRONMENT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert running(child)
        parent.kill()
        parent.wait()
        give_up = time.monotonic() + 5
        while running(child) and time.monotonic() < give_up:
            time.sleep(0.005)
        assert not running(child)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - dead, but not yet reaped by pid 1, is dead enough
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"
