"""kill -9 of everything in turn, twenty times each, at 60 % of what the cluster can do."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import TYPE_CHECKING

from bench.chaos.edges import children, cluster
from bench.chaos.load import during, known, many, mixed, peak, shoot
from bench.chaos.node import origin_process
from bench.chaos.row import Figures, Row, Scale, failed, p99_ms, statuses
from bench.openloop import fire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.chaos.edges import Cluster
    from bench.chaos.node import OriginProcess
    from bench.openloop import Shot

_LOAD = 0.6
_MOST_A_SECOND = 80.0
"""So that the clients do not take the processors away from who is to be measured."""


async def all_in_turn(scale: Scale) -> Figures:
    """Requests that an edge lost, by who was killed."""
    times = int(scale.pick(3, 20))
    # Results are asked about every two seconds, so that origins are missed.
    with cluster(3, result_cache_ttl="2", edge=_ONE_TRY if scale.stripped else None) as running:
        async with origin_process() as origin:
            # The kind of a request is its target: some are asked for again.
            remembered = ((target, target) for _, target in known(origin.url, "known", 20))
            fresh = ((target, target) for _, target in many(origin.url, "new", 10))
            both = mixed(remembered, fresh)
            await fire(running.edge, remembered, 20, 1)
            most = await peak(running.edge, both, scale.pick(1, 5))
            rate = min(_MOST_A_SECOND, _LOAD * most)
            figures: Figures = {"peak": round(most, 1), "rate": round(rate, 1)}
            for name, kill in _VICTIMS.items():
                asked = remembered if name == "origin" else both
                shots = await during(_repeat(kill, running, origin, times), running.edge, asked, rate)
                missed = [shot for shot in shots if shot.status != 200]
                # What browsers and CDNs do when a connection breaks under a GET (RFC 9110, 9.2.2).
                lost = [await _again(running, shot) for shot in missed]
                figures[name] = {
                    "requests": len(shots),
                    "broken_connections": sum(not shot.status for shot in missed),
                    "lost": failed(lost),
                    "p99_ms": p99_ms(shots),
                }
                if failed(lost):
                    figures[name]["statuses"] = statuses(lost)
    figures["lost"] = sum(figures[name]["lost"] for name in _VICTIMS)
    return figures


async def _again(running: Cluster, shot: Shot) -> Shot:
    return shot if shot.status else await shoot(running.edge, shot.kind)


async def _repeat(
    kill: Callable[[Cluster, OriginProcess, int], Awaitable[None]], running: Cluster, origin: OriginProcess, times: int
) -> None:
    await asyncio.sleep(0.2)
    for number in range(times):
        await kill(running, origin, number)


async def _worker(running: Cluster, _: OriginProcess, number: int) -> None:
    """Any render process, busy or not."""
    node = running.nodes[number % 3].popen
    assert node is not None
    if pids := children(node.pid):
        os.kill(random.choice(pids), signal.SIGKILL)
    await asyncio.sleep(0.4)


async def _node(running: Cluster, _: OriginProcess, number: int) -> None:
    await asyncio.to_thread(running.kill, number % 3)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(running.start, number % 3)
    # The edge leaves a dead node alone for a second: before that it would have lost two of three.
    await asyncio.sleep(1.5)


async def _edge_worker(running: Cluster, _: OriginProcess, number: int) -> None:
    assert running.edge_process.popen is not None
    # Its cache's loader and manager are children, too: they are killed likewise.
    pids = children(running.edge_process.popen.pid)
    os.kill(pids[number % len(pids)], signal.SIGKILL)
    await asyncio.sleep(0.4)


async def _redis(running: Cluster, _: OriginProcess, __: int) -> None:
    assert running.redis is not None
    await asyncio.to_thread(running.redis.stop, signal.SIGKILL)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(running.redis.start)
    await asyncio.to_thread(running.redis.wait)
    await asyncio.sleep(0.2)


async def _origin(_: Cluster, origin: OriginProcess, __: int) -> None:
    await origin.kill()
    await asyncio.sleep(0.4)
    await origin.start()


_VICTIMS = {"worker": _worker, "node": _node, "edge worker": _edge_worker, "redis": _redis, "origin": _origin}
_ONE_TRY = {"proxy_next_upstream error timeout;": "proxy_next_upstream off;"}

ROWS = (
    Row(
        number="kills",
        fault="kill -9 of render processes, nodes, nginx' workers, Redis and an origin, 20 times each at 60 % load",
        limit="no GET is lost through the edge (where a connection breaks, it is asked for once more)",
        run=all_in_turn,
        holds=lambda f: f["lost"] == 0,
        twin="the edge's second try",
    ),
)
