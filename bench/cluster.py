"""What a cluster must show, measured on a real one: ``python bench/cluster.py`` (``make cluster-check``).

Edge, three nodes and Redis as ``deploy/cluster.py`` starts them; the origin is a process-local server that counts. Each
scenario is a function from a running cluster to figures; ``tests/e2e/test_cluster.py`` asserts the same at smaller
sizes.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import sys
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[1]))

from deploy.cluster import Cluster
from tests import charts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

ACCEPTS = ("image/avif,image/webp,*/*", "image/webp,*/*", "*/*")
SETTINGS = {"auto_webp": "1", "auto_avif": "1", "result_cache_ttl": "3600", "requests_queue_size": "2000"}


@dataclass
class Pictures:
    """An origin with a picture under every path, at a version that can be raised, and the count of what it is asked."""

    url: str = ""
    version: int = 1
    up: bool = True
    delay: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    conditional: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        for counter in (self.asked, self.conditional, self.sent):
            counter.clear()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked[path] += 1
        await asyncio.sleep(self.delay)
        if not self.up:
            return web.Response(status=503)
        tag = f'"{self.version}"'
        if known := request.headers.get("If-None-Match"):
            self.conditional[path] += 1
            if known == tag:
                return web.Response(status=304, headers={"ETag": tag})
        self.sent[path] += 1
        # The version shows in the picture's size.
        body = charts.quadrants(60 + 2 * self.version, 40)
        return web.Response(body=body, content_type="image/png", headers={"ETag": tag})


@asynccontextmanager
async def origin() -> AsyncGenerator[Pictures]:
    pictures = Pictures()
    app = web.Application()
    app.router.add_get("/{path:.*}", pictures.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    pictures.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield pictures
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Got:
    status: int
    body: bytes
    seconds: float
    headers: dict[str, str]

    @property
    def cache(self) -> str:
        return self.headers.get("cache-status", "")

    @property
    def stale(self) -> bool:
        return "/stale" in self.cache or "detail=stale" in self.cache


class Visitor:
    """A client of many connections."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, address: str, path: str, **headers: str) -> Got:
        start = time.perf_counter()
        try:
            # The path is signed: not a byte of it may be rewritten.
            from yarl import URL  # noqa: PLC0415 - aiohttp's

            url = URL(f"http://{address}{path}", encoded=True)
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                body = await answer.read()
                told = {name.lower(): ", ".join(answer.headers.getall(name)) for name in answer.headers}
                return Got(answer.status, body, time.perf_counter() - start, told)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Got(0, repr(error).encode(), time.perf_counter() - start, {})

    async def all(self, requests: Sequence[tuple[str, str]], at_once: int = 50, **headers: str) -> list[Got]:
        gate = asyncio.Semaphore(at_once)

        async def one(address: str, path: str) -> Got:
            async with gate:
                return await self.get(address, path, **headers)

        return await asyncio.gather(*(one(*request) for request in requests))

    async def purge(self, cluster: Cluster, node: int = 0, **asked: object) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {cluster.token}"}
        address = f"http://{cluster.nodes[node].admin}/purge"
        async with self._session.post(address, json=asked, headers=headers) as answer:
            return await answer.json()


@asynccontextmanager
async def visitor() -> AsyncGenerator[Visitor]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as session:
        yield Visitor(session)


async def renders(cluster: Cluster) -> int:
    """How many renders the nodes have done, by their own count."""
    total = 0
    async with aiohttp.ClientSession() as session:
        for node in cluster.nodes:
            if node.popen is None or node.popen.poll() is not None:
                continue
            async with session.get(f"http://{node.metrics}/metrics") as answer:
                for line in (await answer.text()).splitlines():
                    if line.startswith('request_span_duration_seconds_count{span="processing"}'):
                        total += round(float(line.rpartition(" ")[2]))
    return total


async def herd(cluster: Cluster, pictures: Pictures, name: str, clients: int, *, through_edge: bool) -> dict[str, Any]:
    """Simultaneous requests for one cold picture, through the edge or spread over the nodes themselves."""
    pictures.reset()
    pictures.delay = 0.3
    before = await renders(cluster)
    path = cluster.sign(f"{pictures.url}/{name}.png", "rs:fit:50:50")
    addresses = [cluster.edge] if through_edge else [node.bind for node in cluster.nodes]
    async with visitor() as client:
        got = await client.all([(addresses[n % len(addresses)], path) for n in range(clients)], at_once=clients)
    pictures.delay = 0.0
    return {
        "statuses": dict(Counter(each.status for each in got)),
        "fetches": pictures.asked.total(),
        "renders": await renders(cluster) - before,
        "bodies": len({each.body for each in got}),
        "slowest_s": round(max(each.seconds for each in got), 2),
    }


def served_by(cluster: Cluster, since: int = 0) -> dict[str, Counter[str]]:
    """Which node answered for which source, by the edge's log from an offset on."""
    text = (cluster.folder / "edge" / "access.log").read_bytes()[since:].decode()
    nodes: dict[str, Counter[str]] = defaultdict(Counter)
    for line in text.splitlines():
        entry = json.loads(line)
        if entry["node"]:
            nodes[entry["source"]][entry["node"].split(", ")[-1]] += 1
    return nodes


def _log_size(cluster: Cluster) -> int:
    return (cluster.folder / "edge" / "access.log").stat().st_size


def _failures(answers: Sequence[Got]) -> list[str]:
    """What was said instead of a picture."""
    return [f"{each.status} after {each.seconds:.1f} s: {each.body[:200]!r}" for each in answers if each.status != 200]


async def routing(cluster: Cluster, pictures: Pictures, count: int, sizes: int = 6) -> dict[str, Any]:
    """Sizes of pictures through the edge: which node gets what, also while one is dead, and when it is back."""
    pictures.reset()

    def requests(first: int, variant: str) -> list[tuple[str, str]]:
        return [
            (cluster.edge, cluster.sign(f"{pictures.url}/r{n}.png", f"w:{first + size}", variant, base64=size % 2 == 1))
            for n in range(count)
            for size in range(sizes)
        ]

    async with visitor() as client:
        start = _log_size(cluster)
        got = await client.all(requests(10, "q:80"))
        nodes = served_by(cluster, start)
        fetches = pictures.asked.total()
        home = {source: served.most_common(1)[0][0] for source, served in nodes.items()}
        load = Counter(home.values())
        mean = count / len(cluster.nodes)

        start = _log_size(cluster)
        others = requests(20, "q:70")
        half = len(others) // 2
        running = asyncio.create_task(client.all(others, at_once=20))
        await asyncio.sleep(0.3)
        cluster.kill(0)
        dead = await running
        settled = _log_size(cluster)
        dead += await client.all(requests(30, "q:60"))
        moved = served_by(cluster, settled)
        away = sum(next(iter(moved[source])) != node for source, node in home.items() if source in moved)

        cluster.start(0)
        # The edge leaves a dead node alone for a second, and then tries it with one request before it sends more.
        await asyncio.sleep(2)
        await client.all(requests(40, "q:51"), at_once=1)
        start = _log_size(cluster)
        back = await client.all(requests(40, "q:50"))
        returned = served_by(cluster, start)
        home_again = sum(next(iter(returned[source])) == node for source, node in home.items())
    return {
        "statuses": dict(Counter(each.status for each in got)),
        "sources_on_several_nodes": sum(len(served) > 1 for served in nodes.values()),
        "sources_seen": len(nodes),
        "fetches": fetches,
        "load": dict(load),
        "worst_load": round(max(abs(each - mean) for each in load.values()) / mean, 3),
        "failed_while_a_node_died": _failures(dead),
        "requests_while_a_node_died": half * 2 + len(others),
        "moved": round(away / count, 3),
        "failed_after_its_return": _failures(back),
        "home_again": round(home_again / count, 3),
    }


async def purges(cluster: Cluster, pictures: Pictures, rounds: int) -> dict[str, Any]:
    """A purge by source of six sizes x three classes in every tier, and how soon all of them are fresh everywhere."""
    delays: list[float] = []
    stale = failed = kept = 0
    counts: list[int] = []
    async with visitor() as client:
        for number in range(rounds):
            source = f"{pictures.url}/purge{number}.png"
            paths = [cluster.sign(source, f"mw:{10 + size}") for size in range(6)]
            places = [cluster.edge, *(node.bind for node in cluster.nodes)]
            wanted = [(place, path) for place in places for path in paths]
            for accept in ACCEPTS:
                await client.all(wanted, Accept=accept)
            old = {each.body for accept in ACCEPTS for each in await client.all(wanted, Accept=accept)}
            pictures.version += 1
            start = time.perf_counter()
            counts.append((await client.purge(cluster, number % len(cluster.nodes), source=source))["purged"])
            while True:
                asked = [await client.all(wanted, Accept=accept) for accept in ACCEPTS]
                failed += sum(each.status != 200 for got in asked for each in got)
                if not any(each.body in old for got in asked for each in got):
                    break
                stale += 1
            delays.append(time.perf_counter() - start)
            again = [await client.all(wanted[:6], Accept=accept) for accept in ACCEPTS]
            kept += sum(each.cache.endswith("edge; hit") for got in again for each in got)
    return {
        "rounds": rounds,
        "failed": failed,
        "kept_by_the_edge_after_it": round(kept / rounds / 18, 3),
        "rounds_that_saw_old_bytes_after_the_call": stale,
        "p95_s": round(percentile(delays, 95), 3),
        "median_s": round(statistics.median(delays), 3),
        "entries_gone": dict(Counter(counts)),
    }


async def change(cluster: Cluster, pictures: Pictures, ttl: float, count: int = 10, sizes: int = 6) -> dict[str, Any]:
    """An origin that changes its pictures: how soon they are seen, and what it is asked for that."""
    async with visitor() as client:
        paths = [
            [cluster.sign(f"{pictures.url}/change{n}.png", f"w:{10 + size}") for size in range(sizes)]
            for n in range(count)
        ]
        wanted = [(cluster.edge, path) for each in paths for path in each]
        old = {each.body for each in await client.all(wanted)}
        pictures.version += 1
        pictures.reset()
        start = time.perf_counter()
        await asyncio.sleep(ttl)
        while any(each.body in old for each in await client.all(wanted)):  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.1)
        seen = time.perf_counter() - start
        asked = pictures.asked
    return {"seen_after_s": round(seen, 2), "ttl_s": ttl, "questions_per_source": dict(Counter(asked.values()))}


async def outage(cluster: Cluster, pictures: Pictures, seconds: float, ttl: float) -> dict[str, Any]:
    """An origin that is down: what is remembered is answered, and says that it is stale."""
    async with visitor() as client:
        paths = [(cluster.edge, cluster.sign(f"{pictures.url}/out{n}.png", "w:20")) for n in range(30)]
        direct = [(cluster.nodes[n % 3].bind, path) for n, (_, path) in enumerate(paths)]
        await client.all(paths)
        await client.all(direct)
        pictures.up = False
        await asyncio.sleep(ttl + 0.5)
        statuses: Counter[int] = Counter()
        stale = total = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            got = await client.all(paths) + await client.all(direct)
            statuses.update(each.status for each in got)
            stale += sum(each.stale for each in got)
            total += len(got)
            await asyncio.sleep(0.2)
        pictures.up = True
    return {"statuses": dict(statuses), "marked_stale": round(stale / total, 3), "requests": total}


async def load(paths: Sequence[tuple[str, str]], seconds: float, rate: float) -> tuple[list[Got], list[Got]]:
    """Requests at a steady rate, whatever the answers take: those of the first half, and of the second."""
    results: list[list[Got]] = [[], []]
    async with visitor() as client, asyncio.TaskGroup() as group:
        start = time.perf_counter()
        number = 0

        async def one(half: int, request: tuple[str, str]) -> None:
            results[half].append(await client.get(*request))

        while (now := time.perf_counter() - start) < seconds:
            group.create_task(one(int(now > seconds / 2), paths[number % len(paths)]))
            number += 1
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
    return results[0], results[1]


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


async def everything() -> None:
    async with origin() as pictures:
        steps: list[tuple[str, bool, dict[str, str], Callable[[Cluster], Awaitable[dict[str, Any]]]]] = [
            (
                "1,000 at once through the edge, Redis",
                True,
                {},
                lambda c: herd(c, pictures, "h1", 1000, through_edge=True),
            ),
            (
                "1,000 at once to the nodes, Redis",
                True,
                {},
                lambda c: herd(c, pictures, "h2", 1000, through_edge=False),
            ),
            (
                "1,000 at once through the edge, no Redis",
                False,
                {},
                lambda c: herd(c, pictures, "h3", 1000, through_edge=True),
            ),
            (
                "1,000 at once to the nodes, no Redis",
                False,
                {},
                lambda c: herd(c, pictures, "h4", 1000, through_edge=False),
            ),
            ("six sizes of 200 pictures, a node dies", True, {}, lambda c: routing(c, pictures, 200)),
            ("purge by source", True, {}, lambda c: purges(c, pictures, 20)),
            ("the origin changes", True, {"result_cache_ttl": "2"}, lambda c: change(c, pictures, 2.0)),
            ("the origin is down for 60 s", True, {"result_cache_ttl": "2"}, lambda c: outage(c, pictures, 60, 2.0)),
        ]
        for name, redis, settings, scenario in steps:
            with Cluster(nodes=3, redis=redis, settings=SETTINGS | settings) as cluster:
                print(f"{name}:")
                for what, figure in (await scenario(cluster)).items():
                    print(f"    {what}: {figure}")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(everything())
