"""Nodes that die, restart, refuse and are asked for the same: rows 7, 10, 23, 25, 27, 33 and 35."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp

from bench.chaos.edges import cluster, log_lines, scraped
from bench.chaos.load import during, known, many, mixed
from bench.chaos.node import SAMPLES, node, summed, until
from bench.chaos.row import Figures, Row, Scale, failed, is_polite, p99_ms, statuses, undeclared
from bench.chaos.site import site
from bench.cluster import origin, routing
from bench.openloop import Gun, fire
from bench.overload import peak_of
from tests.serving import signed

if TYPE_CHECKING:
    from deploy.cluster import Cluster

ONE_TRY = {"proxy_next_upstream error timeout;": "proxy_next_upstream off;"}
MANY_TRIES = {
    "proxy_next_upstream error timeout;": "proxy_next_upstream error timeout http_502 http_503 http_504 http_429;",
    "proxy_next_upstream_tries 2;": "proxy_next_upstream_tries 3;",
}
NO_EDGE_CACHE = {"proxy_cache edge;": "proxy_cache off;"}
_TIMEOUT_S = 4.0


async def killed(scale: Scale) -> Figures:
    """One of three nodes is killed under requests, and comes back."""
    with cluster(3, edge=ONE_TRY if scale.stripped else None, requests_queue_size="2000") as running:
        async with origin() as pictures:
            return await routing(running, pictures, int(scale.pick(30, 200)), sizes=3)


async def cold(scale: Scale) -> Figures:
    """A node's peak; then it is killed, and a cold one gets three times as much from its first moment on."""
    seconds = scale.pick(3, 10)
    settings = {"timeout": str(_TIMEOUT_S), "local_filesystem_root": str(SAMPLES)}
    targets = (("miss", signed("local:///koi.jpg", "rs:fill:400:400", "f:webp", f"cb:{n}")) for n in itertools.count())
    with node(settings) as server:
        await peak_of(server, (target for _, target in targets), 1)
        peak = await peak_of(server, (target for _, target in targets), scale.pick(2, 8))
        server.process.kill()
    with node(settings, without=scale.without("admission")) as server:
        shots = await fire(server.bind, targets, 3 * peak, seconds)
    good = [shot for shot in shots if shot.status == 200 and shot.seconds <= _TIMEOUT_S]
    lasted = max(shot.at + shot.seconds for shot in good) if good else seconds
    return {
        "peak": round(peak, 1),
        "offered": round(3 * peak, 1),
        "goodput": round(len(good) / max(seconds, lasted), 1),
        "ratio": round(len(good) / max(seconds, lasted) / peak, 3),
        "statuses": statuses(shots),
        "undeclared": undeclared(shots),
        "admitted_p99_ms": p99_ms([shot for shot in shots if shot.status == 200]),
        "refused_p99_ms": p99_ms([shot for shot in shots if is_polite(shot)]),
    }


async def leader(scale: Scale) -> Figures:
    """The node that makes what everybody waits for is killed half-way."""
    seconds = scale.pick(0.8, 1.5)
    waiters = int(scale.pick(20, 100))
    with cluster(2, without=scale.without("lease")) as running:
        async with site() as pictures:
            target = signed(f"{pictures.url}/late:{seconds}/1.png", "rs:fit:50:50")
            guns = [Gun(each.bind) for each in running.nodes] + [Gun(running.edge)]
            async with asyncio.TaskGroup() as group:
                group.create_task(guns[0].shoot("leader", target, time.monotonic()))
                await until(lambda: pictures.asked)
                for gun in guns[1:]:
                    for _ in range(waiters):
                        group.create_task(gun.shoot("waiter", target, time.monotonic()))
                await asyncio.sleep(seconds / 2)
                await asyncio.to_thread(running.kill, 0)
            for gun in guns:
                gun.close()
            renders = summed(await scraped(running.nodes[1]), "request_span_duration_seconds_count", '"processing"')
            waited = [*guns[1].shots, *guns[2].shots]
            return {
                "waiters": statuses(waited),
                "failed": failed(waited),
                "slowest_s": round(max(shot.seconds for shot in waited), 2),
                "allowed_s": seconds + 3.5,
                "renders": renders,
                "fetches": pictures.asked.total(),
            }


async def hot(scale: Scale) -> Figures:
    """Half of all requests are for one picture."""
    seconds = scale.pick(3, 10)
    with cluster(3, edge=NO_EDGE_CACHE if scale.stripped else None) as running:
        async with site() as pictures:
            others = many(pictures.url, "other", int(scale.pick(100, 400)))
            star = ("hot", signed(f"{pictures.url}/hot.png", "rs:fit:50:50"))
            shots = await fire(running.edge, mixed(itertools.repeat(star), others), 80, seconds)
            nodes = Counter(line["node"].split(", ")[-1] for line in log_lines(running) if line["node"])
    mean = nodes.total() / 3
    return {
        "failed": failed(shots),
        "hot_p99_ms": p99_ms([shot for shot in shots if shot.kind == "hot"]),
        "requests_to_nodes": sorted(nodes.values()),
        "most_to_mean": round(max(nodes.values()) / mean, 2),
    }


async def rolling(scale: Scale) -> Figures:
    """Node after node is ended in order and started again, under requests through the edge."""
    rounds = int(scale.pick(3, 20))
    with cluster(3, edge=ONE_TRY if scale.stripped else None) as running:
        async with site() as pictures:
            targets = mixed(many(pictures.url, "cold", 50), known(pictures.url, "warm", 20))
            shots = await during(_roll(running, rounds), running.edge, targets, 40)
    return {
        "restarts": rounds,
        "requests": len(shots),
        "failed": failed(shots),
        "statuses": statuses(shots),
        "p99_ms": p99_ms(shots),
    }


async def _roll(running: Cluster, rounds: int) -> None:
    for number in range(rounds):
        await asyncio.to_thread(running.stop, number % 3)
        await asyncio.to_thread(running.start, number % 3)


async def storm(scale: Scale) -> Figures:
    """Everything is purged five times a second, under requests that hits can answer and renders cannot."""
    seconds = scale.pick(3, 10)
    count = 8
    with cluster(1, redis=False, without=scale.without("flight")) as running:
        async with site() as pictures:
            targets = known(pictures.url, "late:0.1", count)
            address = running.nodes[0].bind
            await fire(address, targets, count, 1)
            purges: list[int] = []
            pictures.asked.clear()
            shots, _ = await asyncio.gather(fire(address, targets, 150, seconds), _purge(running, seconds, purges))
            fetches = pictures.asked.total()
    return {
        "requests": len(shots),
        "statuses": statuses(shots),
        "share": round(1 - failed(shots) / len(shots), 3),
        "undeclared": undeclared(shots),
        "p99_ms": p99_ms(shots),
        "purges": dict(Counter(purges)),
        "fetches": fetches,
        # Of a picture that was purged while it was fetched, one more.
        "fetches_allowed": count * (len(purges) + 1),
    }


async def _purge(running: Cluster, seconds: float, answers: list[int]) -> None:
    headers = {"Authorization": f"Bearer {running.token}"}
    end = time.monotonic() + seconds
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in itertools.count():
            if time.monotonic() > end:
                return
            address = running.nodes[number % len(running.nodes)].admin
            async with session.post(f"http://{address}/purge", json={"all": True}) as answer:
                answers.append(answer.status)
            await asyncio.sleep(0.2)


async def amplified(scale: Scale) -> Figures:
    """All nodes refuse; how many requests they get for each that the edge got."""
    seconds = scale.pick(2, 6)
    with cluster(3, without=("refusing",), edge=MANY_TRIES if scale.stripped else None) as running:
        async with site() as pictures:
            shots = await fire(running.edge, many(pictures.url, "any", 100), 40, seconds)
        asked = sum(len(line["node"].split(", ")) for line in log_lines(running) if line["node"])
    return {
        "demand": len(shots),
        "requests_to_nodes": asked,
        "ratio": round(asked / len(shots), 3),
        "statuses": statuses(shots),
        "undeclared": undeclared(shots),
    }


ROWS = (
    Row(
        number="7",
        fault="one of three nodes is killed under requests through the edge",
        limit="no request fails; at most 1/3 + 2 % of the pictures move (+ 10 % for the sample)",
        run=killed,
        holds=lambda f: (
            f["failed_while_a_node_died"] == f["failed_after_its_return"] == [] and f["moved"] <= 0.353 + 0.1
        ),
        twin="the edge's second try",
    ),
    Row(
        number="10",
        fault="a node restarts cold under three times what it can do",
        limit="95 % of its peak at once; every other answer 429 or 503 with Retry-After; p99 of what is let in <= 4 s",
        run=cold,
        holds=lambda f: f["ratio"] >= 0.95 and f["undeclared"] == 0 and f["admitted_p99_ms"] <= 1000 * _TIMEOUT_S,
        twin="admission",
    ),
    Row(
        number="23",
        fault="the node that makes what others wait for is killed half-way",
        limit="no waiter fails, one render more at most, none waits longer than a lease and a making",
        run=leader,
        holds=lambda f: f["failed"] == 0 and f["renders"] <= 1 and f["slowest_s"] <= f["allowed_s"],
        twin="the short life of leases",
    ),
    Row(
        number="25",
        fault="half of all requests are for one picture",
        limit="no node gets more than 1.25 x the mean + 10 %; no request fails",
        run=hot,
        holds=lambda f: f["failed"] == 0 and f["most_to_mean"] <= 1.25 * 1.1,
        twin="the edge's cache",
    ),
    Row(
        number="27",
        fault="nodes are restarted in turn under requests through the edge",
        limit="no request fails",
        run=rolling,
        holds=lambda f: f["failed"] == 0,
        twin="the edge's second try",
    ),
    Row(
        number="33",
        fault="everything is purged five times a second",
        limit="95 % of requests get their picture, the others 429 or 503 with Retry-After; every purge is answered; "
        "each picture is fetched once for each purge",
        run=storm,
        holds=lambda f: (
            f["share"] >= 0.95
            and f["undeclared"] == 0
            and set(f["purges"]) <= {200, 429}
            and f["fetches"] <= f["fetches_allowed"]
        ),
        twin="single flight",
    ),
    Row(
        number="35",
        fault="all nodes refuse",
        limit="nodes get at most 1.1 x what the edge got",
        run=amplified,
        holds=lambda f: f["ratio"] <= 1.1 and f["undeclared"] == 0,
        twin="the rule that the edge asks no second node after a refusal",
    ),
)
