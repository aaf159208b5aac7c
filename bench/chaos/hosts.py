"""Machines that run out of memory or time: rows 26, 30 and 32."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench import overload
from bench.chaos.load import becomes, many, shoot
from bench.chaos.node import SAMPLES, node, numbers, summed, until
from bench.chaos.row import Figures, Row, Scale, statuses, undeclared
from bench.chaos.site import site
from bench.chaos.stripped import STALL_SECONDS
from bench.openloop import fire

if TYPE_CHECKING:
    from collections.abc import Iterator

_MB = 1 << 20
_V1 = Path("/sys/fs/cgroup/memory")


def needs_cgroup() -> str:
    """Why the memory of a node cannot be limited here; empty if it can."""
    try:
        with memory_group(64):
            return ""
    except OSError as error:
        return f"no cgroup can be made: {error}"


@contextmanager
def memory_group(megabytes: int) -> Iterator[Path]:
    """A cgroup with so much memory, inside of our own; v1 or v2."""
    if _V1.is_dir():
        own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line)
        folder, limit = _V1 / own.split(":")[2].strip("/"), "memory.limit_in_bytes"
    else:
        own = Path("/proc/self/cgroup").read_text().splitlines()[0]
        folder, limit = Path("/sys/fs/cgroup") / own.split(":")[2].strip("/"), "memory.max"
    group = folder / f"chaos-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        (group / limit).write_text(str(megabytes * _MB))
        yield group
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.05)


async def memory(scale: Scale) -> Figures:
    """A cgroup of 400 MB: results and sources fill it, and so does a render process."""
    seconds = scale.pick(5, 20)
    settings = {
        "memory_cache_size": "2GB",
        "source_cache_size": "2GB",
        "worker_memory": "2GB",
        "workers": "1",
        "timeout": "5",
        "skip_processing_formats": "png",
    }
    without = ("misbehaving", *scale.without("pressure", "oom order"))
    with memory_group(400) as group:
        join = ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"')
        async with site() as origin:
            with node(settings, before=join, without=without) as server:
                # 0.75 MB each, as they are, twice: as a source and as a result.
                hog = await shoot(server.bind, next(many(origin.url, "allocate:1000", 1))[1])
                filling = await fire(server.bind, many(origin.url, "noise:500", 10_000), scale.pick(80, 40), seconds)
                # What is let go shows after some seconds.
                calm = await becomes(server.bind, next(many(origin.url, "calm", 1))[1], 200, 15)
                alive = server.process.poll() is None
                later = await fire(server.bind, many(origin.url, "later", 5), 10, 2) if alive else []
                scrape = await numbers(server) if alive else {}
    return {
        "requests": len(filling),
        "statuses": statuses(filling),
        "undeclared": undeclared(filling),
        "hog": hog.status,
        "server_alive": alive,
        "calm_after_s": calm and round(calm, 1),
        "later": statuses(later),
        "render_processes_lost": summed(scrape, "render_worker_restarts_total"),
    }


async def stall(scale: Scale) -> Figures:
    """The event loop stands still for six seconds."""
    with node(without=("stalling", *scale.without("lag"))) as server:
        os.kill(server.process.pid, signal.SIGUSR2)
        await asyncio.sleep(STALL_SECONDS)
        ready = await asyncio.to_thread(server.ask, "/readyz")
        scrape = await numbers(server)
        back = await until(lambda: server.ask("/readyz").status == 200, 8) if ready.status != 200 else 0
        stacks = [line for line in server.lines("imgproxy.loop") if "stack" in line]
    return {
        "ready": (ready.status, ready.text),
        "counted": sum(
            value for name, value in scrape.items() if "loop" in name and ("stall" in name or "hang" in name)
        ),
        "ready_again_after_s": round(back, 1),
        "stack_in_log": any("sleep" in line["stack"] for line in stacks),
    }


async def tenfold(scale: Scale) -> Figures:
    """Ten times what the node can do."""
    settings = {"local_filesystem_root": str(SAMPLES), "timeout": "4"}
    with node(settings, without=scale.without("admission")) as server:
        seen = await overload.measure(server, "koi.jpg", 400, 10, scale.pick(5, 25), 4, warm_up=scale.pick(2, 8))
    return asdict(seen) | {"ratio": round(seen.ratio, 3)}


ROWS = (
    Row(
        number="26",
        fault="ten times what the node can do",
        limit="goodput 95 % of the peak, p99 of what is let in <= 4 s, refusals p99 <= 20 ms with Retry-After, "
        "99.9 % of hits answered, normal 5 s later",
        run=tenfold,
        holds=lambda f: (
            f["ratio"] >= 0.95
            and f["accepted_p99"] <= 4
            and f["refused_p99"] <= 0.02
            and f["without_retry_after"] == 0
            and f["hits_answered"] >= 0.999
            and f["after_answered"] == 1
        ),
        twin="admission",
    ),
    Row(
        number="30",
        fault="a cgroup of 400 MB, full of what is remembered, and a render that takes 1 GB",
        limit="the server is never killed, its answers stay declared, and it goes on",
        run=memory,
        holds=lambda f: f["server_alive"] and f["undeclared"] == 0 and set(f["later"]) == {200},
        twin="the watch over the cgroup, and the order in which the kernel kills",
        needs=needs_cgroup,
    ),
    Row(
        number="32",
        fault=f"the event loop stands still for {STALL_SECONDS:g} s",
        limit="not ready, counted in the next scrape, and ready again",
        run=stall,
        holds=lambda f: f["ready"][0] == 503 and f["counted"] > 0 and f["stack_in_log"],
        twin="the watch over the loop",
    ),
)
