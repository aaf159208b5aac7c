"""Render processes that crash, hang and grow: rows 8, 9 and 28."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from typing import TYPE_CHECKING

from bench.chaos.edges import cluster, scraped
from bench.chaos.load import during, fresh
from bench.chaos.node import node, ready_workers, summed, until
from bench.chaos.row import Figures, Row, Scale, failed, is_polite, p99_ms, slower, statuses
from bench.chaos.site import site
from bench.openloop import Gun, fire
from tests.serving import signed

if TYPE_CHECKING:
    from bench.openloop import Shot
    from tests.serving import Server

_TIMEOUT_S = 2.0
_WORKERS = 2
"""Beside a spare."""


async def crash(scale: Scale) -> Figures:
    """Bystanders at a steady rate; beside them, one after the other, every act of a misbehaving render process."""
    settings = {"workers": str(_WORKERS), "timeout": str(_TIMEOUT_S), "worker_memory": "200MB"}
    async with site() as origin:
        with node(settings, without=("misbehaving", *scale.without("deadline"))) as server:
            await fire(server.bind, fresh(origin.url, "warm"), 20, 1)
            quiet = await fire(server.bind, fresh(origin.url, "quiet"), 20, scale.pick(2, 10))
            gun = Gun(server.bind)
            bystanders = await during(_misbehave(server, gun, origin.url), server.bind, fresh(origin.url, "noisy"), 20)
            gun.close()
            refill = 0.0 if scale.stripped else await _refill(server)
    culprits = {shot.kind: (shot.status, round(shot.seconds, 2)) for shot in gun.shots}
    return {
        "bystanders": statuses(bystanders),
        "bystanders_failed": failed(bystanders),
        "quiet_p99_ms": p99_ms(quiet),
        "p99_ms": p99_ms(bystanders),
        "slower": slower(bystanders, quiet, 1.2, 40),
        "culprits": culprits,
        "culprits_late": sum(seconds > _TIMEOUT_S + 0.25 for _, seconds in culprits.values()),
        "culprits_undeclared": sum(status not in (422, 503, 504) for status, _ in culprits.values()),
        "full_strength_s": round(refill, 2),
    }


async def _misbehave(server: Server, gun: Gun, url: str) -> None:
    """Every act once, and twice to hang: with that the two processes of a pool that kills none are gone."""
    for number, act in enumerate(("segv", "abort", "allocate:400", "spin", "spin")):
        await gun.shoot(act, signed(f"{url}/{act}/{number}.png", "rs:fit:50:50"), time.monotonic())
        # What a storm of crashes does is row 9: here the pool is whole again before the next one.
        await until(lambda: ready_workers(server) == _WORKERS + 1)
    await asyncio.sleep(1)


async def _refill(server: Server) -> float:
    """Seconds from the death of a render process until a new one is ready."""
    size = len(server.workers())
    await until(lambda: ready_workers(server) == size)
    times = []
    for _ in range(3):
        os.kill(server.workers()[0], signal.SIGKILL)
        await until(lambda: ready_workers(server) < size)
        times.append(await until(lambda: ready_workers(server) == size))
    return sorted(times)[1]


async def poison(scale: Scale) -> Figures:
    """Two nodes, each asked for a killer 25 times a second, in many sizes, and for other pictures beside it."""
    seconds = scale.pick(3, 10)
    with cluster(nodes=2, without=("misbehaving", *scale.without("poison"))) as running:
        async with site() as origin:
            killer = (signed(f"{origin.url}/segv/1.png", f"rs:fit:{n}:50") for n in itertools.count(10))
            shots = await asyncio.gather(
                *(
                    fire(each.bind, fresh(origin.url, f"healthy{n}"), 10, seconds)
                    for n, each in enumerate(running.nodes)
                ),
                *(
                    fire(each.bind, (("killer", next(killer)) for _ in range(999)), 25, seconds)
                    for each in running.nodes
                ),
            )
        kills = [summed(await scraped(each), "render_worker_restarts_total", "crashed") for each in running.nodes]
    healthy, killers = [*shots[0], *shots[1]], [*shots[2], *shots[3]]
    return {
        "kills": [round(each) for each in kills],
        "healthy": statuses(healthy),
        "healthy_share": round(1 - failed(healthy) / len(healthy), 4),
        "healthy_p99_ms": p99_ms(healthy),
        "killer": statuses(killers),
    }


async def drained(scale: Scale) -> Figures:
    """SIGTERM while a render hangs."""
    timeout = scale.pick(2, 10)
    async with site() as origin:
        with node({"timeout": str(timeout)}, without=("misbehaving", *scale.without("finishing"))) as server:
            gun = Gun(server.bind)
            hanging = asyncio.create_task(gun.shoot("spin", signed(f"{origin.url}/spin/1.png"), time.monotonic()))
            await until(lambda: origin.asked)
            await asyncio.sleep(0.5)
            told = time.monotonic()
            server.process.terminate()
            shot: Shot = await hanging
            await asyncio.to_thread(server.process.wait)
            gun.close()
            return {
                "client_got": shot.status,
                "client_knows_when_to_come_again": is_polite(shot),
                "exit_s": round(time.monotonic() - told, 2),
                "timeout_s": timeout,
                "exit_code": server.process.returncode,
            }


ROWS = (
    Row(
        number="8",
        fault="render processes crash, abort, fill memory and hang beside other renders",
        limit="bystanders: none fails, p99 at most 1.2x + 40 ms; culprit 422/503/504 within deadline + 0.25 s; "
        "full strength after 0.3 s",
        run=crash,
        holds=lambda f: (
            f["bystanders_failed"] == 0
            and not f["slower"]
            and f["culprits_late"] == f["culprits_undeclared"] == 0
            and f["full_strength_s"] <= 0.3
        ),
        twin="the kill at the deadline",
    ),
    Row(
        number="9",
        fault="a picture that kills render processes, at 50 requests/s",
        limit="at most 2 kills on a node, 98 % of healthy requests answered",
        run=poison,
        holds=lambda f: max(f["kills"]) <= 2 and f["healthy_share"] >= 0.98,
        twin="the poison list",
    ),
    Row(
        number="28",
        fault="SIGTERM while a render hangs",
        limit="exit within deadline + 5 s; the client gets 503 and Retry-After",
        run=drained,
        holds=lambda f: (
            f["client_knows_when_to_come_again"] and f["exit_s"] <= f["timeout_s"] + 5 and not f["exit_code"]
        ),
        twin="the wait for what is under way",
    ),
)
