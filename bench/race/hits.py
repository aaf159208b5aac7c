"""T5: answers that are remembered, in memory, in Redis, at the edge, beside an nginx with the same bytes in a file."""

from __future__ import annotations

import asyncio
import itertools
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench.openloop import Gun
from bench.race.contestants import CORES
from bench.race.ground import origin
from bench.race.load import body, wrk
from bench.race.processes import family, own_cpu_seconds
from deploy.cluster import Cluster
from tests.serving import KEY, SALT, serving, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.race.load import Hits
    from deploy.cluster import Process

    Measured = tuple[Hits, float]

_OPTIONS = ("rs:fit:600:600", "q:80", "f:jpeg")
_KEPT = {"result_cache_ttl": "3600", "workers": "0"}


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """For each path the requests a second, the same for a CPU second of the server, and the 99th percentile."""
    settings = _KEPT | {"local_filesystem_root": str(folder)}
    with (
        _memory(settings, seconds) as (memory, busy),
        Cluster(nodes=1, settings=settings | {"memory_cache_size": "0"}) as shared,
        Cluster(nodes=1, redis=False, settings=settings) as fronted,
        TemporaryDirectory(prefix="static-") as static,
    ):
        path = fronted.sign("local:///p3.jpg", *_OPTIONS)
        Path(static).chmod(0o755)
        (Path(static) / "hit.jpg").write_bytes(body(fronted.edge, path))
        with origin(Path(static), workers="auto") as plain:
            stored = shared.sign("local:///p3.jpg", *_OPTIONS)
            body(shared.nodes[0].bind, stored)
            body(fronted.edge, path)
            edge, nodes = _pid(fronted.edge_process), [_pid(node) for node in shared.nodes]
            runs: dict[str, Callable[[], Measured]] = {
                "memory": memory,
                "redis": lambda: _run(f"http://{shared.nodes[0].bind}{stored}", nodes[0], seconds),
                "edge": lambda: _run(f"http://{fronted.edge}{path}", edge, seconds),
                "static": lambda: (wrk(f"{plain}/1/hit.jpg", seconds), 0.0),
                "memory, every core renders": busy,
            }
            found = {name: [run() for _ in range(rounds)] for name, run in runs.items()}
    return {name: _figures(measured) for name, measured in found.items()}


@contextmanager
def _memory(
    settings: dict[str, str], seconds: float
) -> Iterator[tuple[Callable[[], Measured], Callable[[], Measured]]]:
    """A server of its own: to ask it alone, and to ask it while it renders on every core."""
    with serving(**settings, key=KEY, salt=SALT) as server:
        target = signed("local:///p3.jpg", *_OPTIONS)
        body(server.bind, target)
        url = f"http://{server.bind}{target}"

        def alone() -> Measured:
            return _run(url, server.process.pid, seconds)

        def busy() -> Measured:
            with _rendering(server.bind):
                return _run(url, server.process.pid, seconds)

        yield alone, busy


@contextmanager
def _rendering(bind: str) -> Iterator[None]:
    """Misses without end, two waiting for each core."""
    done = threading.Event()
    numbers = itertools.count()

    async def client(gun: Gun) -> None:
        while not done.is_set():
            target = signed("local:///p3.jpg", "rs:fit:512:512", "f:webp", f"cb:{next(numbers)}-{id(gun)}")
            await gun.shoot("", target, 0)

    async def all_clients() -> None:
        gun = Gun(bind)
        await asyncio.gather(*(client(gun) for _ in range(2 * CORES)))
        gun.close()

    thread = threading.Thread(target=lambda: asyncio.run(all_clients()))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _run(url: str, pid: int, seconds: float) -> Measured:
    """The hits, and the CPU seconds of those that answer: an edge's workers, a server without its render processes."""
    before = sum(map(own_cpu_seconds, _answering(pid)))
    hits = wrk(url, seconds)
    return hits, sum(map(own_cpu_seconds, _answering(pid))) - before


def _answering(pid: int) -> list[int]:
    found = family(pid)
    return found if "nginx" in Path(f"/proc/{pid}/comm").read_text() else found[:1]


def _pid(process: Process) -> int:
    assert process.popen is not None
    return process.popen.pid


def _figures(measured: list[Measured]) -> dict[str, Any]:
    return {
        "rates": [round(hits.rate) for hits, _ in measured],
        "core_rates": [round(hits.count / cpu) for hits, cpu in measured if cpu],
        "p99_ms": [round(hits.p99_ms, 2) for hits, _ in measured],
        "errors": sum(hits.errors for hits, _ in measured),
    }
