"""What a node shows while Redis fails: ``python bench/faults.py [fault ...]``.

One node, no edge before it, a steady load of nine hits from memory and one render: some seconds as it should be, then
the fault, then Redis is back. `measure` takes any of `FAULTS`, so that ``tests/e2e/test_redis_faults.py`` asserts the
same with shorter phases. Limits: a dead Redis may cost hits 5 ms, one that hangs 60 ms in the first second and then 5,
a slow one 25; two seconds after it is back it must be in use again.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.cluster import Got, Pictures, Visitor, origin, percentile, visitor
from tests.parts import RedisServer, redis_cluster, redis_sentinels, redis_server, wait_for
from tests.serving import KEY, SALT, Server, free_port, serving, signed
from tests.toxic import toxic

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence

_LOOK_EVERY_S = 0.05
# How long a node may take to come back before it counts as never.
_PATIENCE_S = 10.0

PHASES = ("before", "first", "rest", "back")
"""Before the fault, its first second, the rest of it, and after its end."""


@dataclass(frozen=True)
class Fault:
    """A Redis that can be made to fail. ``end`` comes back when it could be used again."""

    url: str
    begin: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]
    settings: Mapping[str, str] = field(default_factory=dict)
    """The node's."""


@asynccontextmanager
async def nothing() -> AsyncGenerator[Fault]:
    """No fault: what this machine does to the figures by itself."""
    with redis_server() as redis:
        yield Fault(redis.url, partial(asyncio.sleep, 0), partial(asyncio.sleep, 0))


@asynccontextmanager
async def refused() -> AsyncGenerator[Fault]:
    """Killed, and started again."""
    with redis_server() as redis:
        yield Fault(redis.url, partial(asyncio.to_thread, redis.kill), partial(asyncio.to_thread, redis.start))


@asynccontextmanager
async def hangs() -> AsyncGenerator[Fault]:
    """Stopped and woken up: connections stand, and nothing is said on them."""
    with redis_server() as redis:
        yield Fault(redis.url, partial(asyncio.to_thread, redis.hang), partial(asyncio.to_thread, redis.go_on))


@asynccontextmanager
async def slow(seconds: float = 0.03) -> AsyncGenerator[Fault]:
    """Every reply is late."""
    with redis_server() as redis:
        async with toxic(redis.port) as proxy:

            async def late(by: float) -> None:
                proxy.latency = by

            yield Fault(proxy.url, partial(late, seconds), partial(late, 0.0))


@asynccontextmanager
async def full() -> AsyncGenerator[Fault]:
    """Nothing more can be written."""
    more = "for i = 1, 64 do redis.call('SET', 'fill:' .. ARGV[1] .. i, string.rep('x', 65536)) end"
    less = "for _, key in ipairs(redis.call('KEYS', 'fill:*')) do redis.call('UNLINK', key) end"

    with redis_server("--maxmemory", "8mb", "--maxmemory-policy", "noeviction") as redis:

        def fill() -> None:
            rounds = iter(range(100))
            wait_for(lambda: "OOM" in redis.cli("EVAL", more, "0", f"{next(rounds)}:"))

        def make_room() -> None:
            redis.cli("EVAL", less, "0")

        yield Fault(redis.url, partial(asyncio.to_thread, fill), partial(asyncio.to_thread, make_room))


@asynccontextmanager
async def garbage(share: float = 0.01) -> AsyncGenerator[Fault]:
    """A share of replies has one wrong bit. The node keeps nothing in memory, so that all it answers is from Redis."""
    with redis_server() as redis:
        # The port is another one each time: so are the bits.
        async with toxic(redis.port, seed=redis.port) as proxy:

            async def flip(share: float) -> None:
                proxy.flips = share

            yield Fault(proxy.url, partial(flip, share), partial(flip, 0.0), {"memory_cache_size": "0"})


@asynccontextmanager
async def failover(replicas: int = 2) -> AsyncGenerator[Fault]:
    """Sentinels lose the primary. The fault ends when they name another."""
    with redis_sentinels() as watched, _more_replicas(watched.servers, replicas):
        for sentinel in watched.sentinels:
            # They ask the primary for its replicas every ten seconds.
            wait_for(lambda sentinel=sentinel: f"slaves={replicas}," in sentinel.cli("INFO", "sentinel"))
        old = watched.primary

        def named() -> None:
            wait_for(lambda: watched.primary is not old)

        yield Fault(watched.url, partial(asyncio.to_thread, old.kill), partial(asyncio.to_thread, named))


@asynccontextmanager
async def lost_primary() -> AsyncGenerator[Fault]:
    """A cluster loses one of three primaries. The fault ends when its replica has its slots."""
    with redis_cluster(replicas=1) as cluster:
        lost, heir, other = cluster.servers[0], cluster.servers[3], cluster.servers[1]

        def inherited() -> None:
            wait_for(lambda: "role:master" in heir.cli("INFO", "replication"))
            wait_for(lambda: "cluster_slots_ok:16384" in other.cli("CLUSTER", "INFO"))

        yield Fault(cluster.url, partial(asyncio.to_thread, lost.kill), partial(asyncio.to_thread, inherited))


@asynccontextmanager
async def cut() -> AsyncGenerator[Fault]:
    """The network between breaks all connections, and lets nothing through on new ones."""
    with redis_server() as redis:
        async with toxic(redis.port) as proxy:

            async def begin() -> None:
                proxy.hangs = True
                proxy.cut()

            async def end() -> None:
                proxy.go_on()

            yield Fault(proxy.url, begin, end)


FAULTS: dict[str, Callable[[], AbstractAsyncContextManager[Fault]]] = {
    "nothing": nothing,
    "refused": refused,
    "hangs": hangs,
    "slow": slow,
    "full": full,
    "garbage": garbage,
    "failover": failover,
    "lost primary": lost_primary,
    "cut": cut,
}

ALLOWED_MS = {"refused": (5.0, 5.0), "hangs": (60.0, 5.0), "slow": (25.0, 25.0), "cut": (60.0, 5.0)}
"""What a fault may add to the p99 of hits: in its first second, and then."""


@dataclass(frozen=True)
class Figures:
    """What was seen of one fault. Times in seconds from its beginning (``opened``) or its end."""

    statuses: dict[int, int]
    wrong: int
    """Answers with another body than a node without Redis gives."""
    answers: int
    hits_ms: dict[str, tuple[float, float]]
    """p50 and p99 by phase."""
    cold_ms: dict[str, tuple[float, float]]
    opened: float | None
    """When the breaker opened; None: never."""
    closed: float | None
    """When it had closed; None: never opened, or never closed."""
    used: float | None
    """When Redis was asked, and answered, again."""
    pending_bytes: int
    """The most that ever waited to be written."""
    damaged: int
    not_put: int
    """Writes that failed."""


@dataclass(frozen=True)
class _Visit:
    at: float
    path: str
    cold: bool
    got: Got


@dataclass(frozen=True)
class _Look:
    """The node's metrics at a moment."""

    at: float
    numbers: dict[str, float]

    @property
    def is_open(self) -> bool:
        return self.numbers.get('breaker_open{dependency="redis"}', 0) > 0

    @property
    def answered(self) -> float:
        """Look-ups in Redis that it answered."""
        asked = (v for n, v in self.numbers.items() if n.startswith("cache_requests_total") and 'tier="redis"' in n)
        return sum(asked) - self.numbers.get('cache_requests_total{result="down",tier="redis"}', 0)


def counted(text: str) -> dict[str, float]:
    """The numbers of a scrape by name with labels."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def measure(
    fault: Fault,
    pictures: Pictures,
    reference: Server,
    *,
    before: float = 4.0,
    during: float = 5.0,
    after: float = 4.0,
    rate: float = 120.0,
    warm: int = 30,
) -> Figures:
    """The figures of one fault; ``reference`` is a node without Redis. Phases in seconds, at least.

    ``warm``: how many pictures are in memory from the start.
    """
    known = [signed(f"{pictures.url}/warm{n}.png", f"rs:fill:{20 + n}:20") for n in range(warm)]
    settings = {"result_cache_ttl": "3600", "prometheus_bind": f"127.0.0.1:{free_port()}"} | dict(fault.settings)
    visits: list[_Visit] = []
    looks: list[_Look] = []
    with serving(key=KEY, salt=SALT, redis_url=fault.url, **settings) as node:
        async with visitor() as client:
            for _ in range(2):
                await client.all([(node.bind, path) for path in [*known, *_cold(pictures, 1000, 10)]], at_once=4)
            async with asyncio.TaskGroup() as group:
                stop = asyncio.Event()
                group.create_task(_visit(client, node, _mixed(pictures, known), rate, visits, stop))
                group.create_task(_watch(client, node, looks, stop))
                await asyncio.sleep(before)
                began = time.perf_counter()
                await fault.begin()
                await asyncio.sleep(during)
                await fault.end()
                ended = time.perf_counter()
                await asyncio.sleep(after)
                patience = ended + _PATIENCE_S
                while time.perf_counter() < patience and not _is_back(looks, ended):  # noqa: ASYNC110 - seen from outside
                    await asyncio.sleep(_LOOK_EVERY_S)
                stop.set()
            wrong = await _wrong(client, reference, visits)
    return _figures(visits, looks, wrong, began, ended)


def _figures(visits: Sequence[_Visit], looks: Sequence[_Look], wrong: int, began: float, ended: float) -> Figures:
    bounds = {
        "before": (0.0, began),
        "first": (began, began + 1),
        "rest": (min(began + 1, ended), ended),
        "back": (ended, ended + 3600),
    }

    def spread(phase: str, *, cold: bool) -> tuple[float, float]:
        low, high = bounds[phase]
        took = [1000 * visit.got.seconds for visit in visits if low <= visit.at < high and visit.cold == cold]
        return (percentile(took, 50), percentile(took, 99)) if took else (0.0, 0.0)

    opened = next((look.at - began for look in looks if look.is_open and began < look.at <= ended), None)
    closed = next((look.at - ended for look in looks if look.at > ended and not look.is_open), None)
    return Figures(
        dict(Counter(visit.got.status for visit in visits)),
        wrong,
        len(visits),
        {phase: spread(phase, cold=False) for phase in PHASES},
        {phase: spread(phase, cold=True) for phase in PHASES},
        opened,
        None if opened is None else closed,
        _used(looks, ended),
        round(max(look.numbers["cache_writes_pending_bytes"] for look in looks)),
        round(looks[-1].numbers["cache_integrity_failures_total"]),
        round(looks[-1].numbers['cache_writes_total{outcome="failed"}']),
    )


def _is_back(looks: Sequence[_Look], ended: float) -> bool:
    return not looks[-1].is_open and _used(looks, ended) is not None


def _used(looks: Sequence[_Look], ended: float) -> float | None:
    then = max((look.answered for look in looks if look.at <= ended), default=0)
    return next((look.at - ended for look in looks if look.at > ended and look.answered > then), None)


def _cold(pictures: Pictures, first: int, count: int) -> Iterator[str]:
    """Paths that nobody has asked for, of few sources: what they cost is the render."""
    for n in range(first, first + count):
        yield signed(f"{pictures.url}/cold{n % 20}.png", f"rs:fill:{10 + n % 50}:{10 + n // 50}")


def _mixed(pictures: Pictures, warm: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Paths, and whether they are cold: every tenth is."""
    number = 0
    for path in _cold(pictures, 2000, 100_000):
        for _ in range(9):
            number += 1
            yield warm[number % len(warm)], False
        yield path, True


async def _visit(
    client: Visitor,
    node: Server,
    paths: Iterator[tuple[str, bool]],
    rate: float,
    visits: list[_Visit],
    stop: asyncio.Event,
) -> None:
    """Ask at a steady rate, whatever the answers take."""
    start = time.perf_counter()

    async def one(path: str, *, cold: bool) -> None:
        at = time.perf_counter()
        visits.append(_Visit(at, path, cold, await client.get(node.bind, path)))

    async with asyncio.TaskGroup() as group:
        number = 0
        while not stop.is_set():
            path, cold = next(paths)
            group.create_task(one(path, cold=cold))
            number += 1
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))


async def _watch(client: Visitor, node: Server, looks: list[_Look], stop: asyncio.Event) -> None:
    while not stop.is_set():
        got = await client.get(f"127.0.0.1:{node.metrics_port}", "/metrics")
        if got.status == 200:
            looks.append(_Look(time.perf_counter(), counted(got.body.decode())))
        await asyncio.sleep(_LOOK_EVERY_S)


async def _wrong(client: Visitor, reference: Server, visits: Sequence[_Visit]) -> int:
    """How many answers were not what the node without Redis answers."""
    paths = sorted({visit.path for visit in visits})
    right = await client.all([(reference.bind, path) for path in paths], at_once=4)
    bodies = {path: got.body for path, got in zip(paths, right, strict=True) if got.status == 200}
    return sum(visit.got.status == 200 and visit.got.body != bodies.get(visit.path) for visit in visits)


@contextmanager
def _more_replicas(servers: list[RedisServer], replicas: int) -> Iterator[None]:
    """Replicas of the first server, until there are so many."""
    with tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True) as folder:
        started: list[RedisServer] = []
        try:
            while len(servers) <= replicas:
                primary = f"127.0.0.1 {servers[0].port}"
                server = RedisServer(Path(folder), "--replicaof", primary, "--repl-diskless-sync-delay", "0")
                started.append(server)
                server.start()
                servers.append(server)
                wait_for(lambda server=server: "master_link_status:up" in server.cli("INFO", "replication"))
            yield
        finally:
            for server in started:
                server.kill()


def _among(values: Sequence[float | None], digits: int = 1) -> str:
    """The median, and the least and the most."""
    known = [value for value in values if value is not None]
    if not known:
        return "never"
    missing = f" {len(values) - len(known)}x never" if len(known) < len(values) else ""
    middle, low, high = statistics.median(known), min(known), max(known)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f}){missing}"


def _row(name: str, runs: Sequence[Figures]) -> list[str]:
    statuses = sum((Counter(run.statuses) for run in runs), Counter[int]())
    before, first, rest = (statistics.median(run.hits_ms[phase][1] for run in runs) for phase in PHASES[:3])
    allowed = ALLOWED_MS.get(name)
    verdict = "" if allowed is None else "yes" if first - before <= allowed[0] and rest - before <= allowed[1] else "no"
    return [
        name,
        " ".join(f"{status}:{count}" for status, count in sorted(statuses.items())),
        str(sum(run.wrong for run in runs)),
        *(_among([run.hits_ms[phase][0] for run in runs]) for phase in PHASES[:3]),
        *(_among([run.hits_ms[phase][1] for run in runs]) for phase in PHASES),
        verdict,
        _among([run.cold_ms["before"][1] for run in runs], 0),
        _among([max(run.cold_ms["first"][1], run.cold_ms["rest"][1]) for run in runs], 0),
        _among([run.opened for run in runs], 2),
        _among([run.closed for run in runs], 2),
        _among([run.used for run in runs], 2),
        str(max(run.pending_bytes for run in runs)),
        str(sum(run.damaged for run in runs)),
        str(sum(run.not_put for run in runs)),
    ]


HEAD = [
    "fault",
    "statuses",
    "wrong",
    *(f"hit p50 {phase}" for phase in PHASES[:3]),
    *(f"hit p99 {phase}" for phase in PHASES),
    "allowed",
    "cold p99 before",
    "cold p99 fault",
    "opened s",
    "closed s",
    "in use s",
    "pending B",
    "damaged",
    "not put",
]


async def everything(names: Sequence[str], runs: int, rate: float, during: float) -> None:
    print(f"{runs} runs each, {rate:g} requests/s; median (least-most); times in ms unless s is said")
    print(" | ".join(HEAD))
    for name in names:
        seen: list[Figures] = []
        for _ in range(runs):
            with serving(key=KEY, salt=SALT) as reference:
                async with origin() as pictures, FAULTS[name]() as fault:
                    seen.append(await measure(fault, pictures, reference, rate=rate, during=during))
        print(" | ".join(_row(name, seen)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a node while Redis fails.")
    parser.add_argument("faults", nargs="*", choices=[*FAULTS, []], metavar="fault", help=", ".join(FAULTS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=120.0)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a fault lasts")
    given = parser.parse_args()
    asyncio.run(everything(given.faults or list(FAULTS), given.runs, given.rate, given.seconds))


if __name__ == "__main__":
    main()
