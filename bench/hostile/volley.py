"""Hostile requests, a few at a time, and beside them a stream of ordinary ones that must not notice.

The ordinary ones have connections and a clock of their own: 20 a second, each a render of a photograph that nobody has
asked for before, sent when it is due and not when the one before was answered.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.hostile.processes import Watch, holdings
from bench.openloop import Gun, Shot
from imgproxy.signing import path_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
    from pathlib import Path

    from tests.serving import Server

DECLARED = frozenset({200, 304, 400, 403, 404, 405, 410, 413, 414, 415, 422, 429, 502, 503, 504})
TIMEOUT_S, LATEST_S = 2.0, 2.25
"""The server's deadline, and what an answer may take as its client sees it."""
WORKER_BYTES = 768 << 20
GROWTH_BYTES = 20_000_000
"""What the server itself may have more after it all."""
RATE = 20.0
"""Ordinary requests a second."""
ORDINARY = "ordinary.jpg"
PLANS = {
    "resize": ("rs:fit:300:300", "f:webp"),
    "crop": ("c:200:200:sm", "f:avif"),
    "trim": ("t:10", "wm:0.5:soea:5:5:0.2", "f:png"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One hostile request: a file under a plan, what came of it, and the server's own line about it."""

    name: str
    plan: str
    shot: Shot
    line: Mapping[str, object] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return str(self.line.get("code") or "")

    @property
    def processing_ms(self) -> float:
        """From the hand-over to a render process to its answer; 0 if there was none."""
        stages = self.line.get("stages")
        return float(stages.get("processing", 0.0)) if isinstance(stages, dict) else 0.0


@dataclass(frozen=True)
class Volley:
    """What became of all of it. Bytes and seconds."""

    asked: list[Asked]
    quiet: list[Shot]
    """Ordinary requests before the others began."""
    beside: list[Shot]
    failed: list[Asked]
    """Of those, all but the pictures."""
    restarts: Mapping[str, int]
    """Render processes that ended, by reason."""
    worker_peak: int
    growth: int
    """Of the server itself."""
    lives: bool
    """It is the same process, and ready."""

    @property
    def ratio(self) -> float:
        """How much slower one ordinary request in a hundred is."""
        return p99(self.beside) / max(p99(self.quiet), 0.001)

    def faults(self, *, ratio: float | None = 1.5) -> list[str]:
        """What is not as it must be, one line each. ``ratio`` None: the ordinary requests' times are not judged."""
        undeclared = [f"{each.shot.status} for {each.name} {each.plan}" for each in self.asked if _undeclared(each)]
        late = [f"{each.shot.seconds:.2f} s for {each.name} {each.plan}" for each in self.asked if _late(each)]
        failed = [f"{each.shot.status} {each.code} for an ordinary request" for each in self.failed]
        found = [*undeclared, *late, *failed]
        if not self.lives:
            found.append("the server did not live through it")
        if self.worker_peak > WORKER_BYTES:
            found.append(f"a render process took {self.worker_peak >> 20} MiB")
        if self.growth > GROWTH_BYTES:
            found.append(f"the server grew by {self.growth / 1e6:.1f} MB")
        if ratio is not None and self.ratio > ratio:
            found.append(f"ordinary requests: p99 is {self.ratio:.2f} times what it was")
        return found


def p99(shots: Iterable[Shot]) -> float:
    """Seconds."""
    times = sorted(shot.seconds for shot in shots)
    return times[min(len(times) - 1, int(0.99 * len(times)))] if times else 0.0


def settings(root: Path) -> dict[str, str]:
    """Of a server for such a test. Little is remembered, so that memory shows what is lost."""
    return {
        "local_filesystem_root": str(root),
        "watermark_path": str(root / "mark.png"),
        "workers": "2",
        "timeout": f"{TIMEOUT_S:g}s",
        "memory_cache_size": "4MiB",
        "source_cache_size": "4MiB",
    }


async def volley(
    server: Server, files: Iterable[str], *, plans: Iterable[str] = PLANS, at_once: int = 2, quiet_s: float = 20.0
) -> Volley:
    """Ask for every file under every plan, ``at_once`` of them at a time."""
    process, ordinary, watch = server.process.pid, _ordinary(), Watch(server)
    async with _stream(server, ordinary):  # what is built once is not growth
        await asyncio.sleep(min(5.0, quiet_s))
    async with _stream(server, ordinary) as quiet:
        await asyncio.sleep(quiet_s)
    before = holdings(process).resident
    async with watch.kept(), _stream(server, ordinary) as beside:
        asked = await _ask_all(server, ((name, plan) for name in files for plan in plans), at_once)
    growth = holdings(process).resident - before
    lines = {line["request_id"]: line for line in server.lines()}
    return Volley(
        [Asked(name, plan, shot, lines.get(_request_id(shot), {})) for name, plan, shot in asked],
        quiet,
        beside,
        [Asked(ORDINARY, "resize", shot, lines.get(_request_id(shot), {})) for shot in beside if shot.status != 200],
        restarts(server),
        watch.peak,
        growth,
        server.process.poll() is None and server.ask("/readyz").status == 200,
    )


def restarts(server: Server) -> dict[str, int]:
    """Render processes that ended, by reason."""
    counts: dict[str, int] = {}
    for line in server.lines("imgproxy.render"):
        if "cause" in line:
            counts[line["cause"]] = counts.get(line["cause"], 0) + 1
    return counts


async def _ask_all(server: Server, wanted: Iterable[tuple[str, str]], at_once: int) -> list[tuple[str, str, Shot]]:
    gun, done = Gun(server.bind), list[tuple[str, str, Shot]]()
    rest = iter(wanted)

    async def client() -> None:
        for name, plan in rest:
            target = "/unsafe" + path_of(f"local:///{name}", PLANS[plan])
            done.append((name, plan, await gun.shoot(plan, target, time.monotonic())))

    await asyncio.gather(*(client() for _ in range(at_once)))
    gun.close()
    return done


@asynccontextmanager
async def _stream(server: Server, targets: Iterator[str]) -> AsyncGenerator[list[Shot]]:
    """What comes of ordinary requests while inside; complete when it is left."""
    gun, shots, over = Gun(server.bind), list[Shot](), asyncio.Event()

    async def shoot(target: str, due: float) -> None:
        shots.append(await gun.shoot("ordinary", target, due))

    async def keep(group: asyncio.TaskGroup) -> None:
        began = time.monotonic()
        for number in itertools.count():
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if over.is_set():
                return
            group.create_task(shoot(next(targets), due))

    async with asyncio.TaskGroup() as group:
        group.create_task(keep(group))
        try:
            yield shots
        finally:
            over.set()
    gun.close()


def _ordinary() -> Iterator[str]:
    for number in itertools.count():
        yield "/unsafe" + path_of(f"local:///{ORDINARY}", ("rs:fill:300:300", "f:webp", f"cb:{number}"))


def _request_id(shot: Shot) -> str:
    found = re.search(r"^x-request-id: (\S+)", shot.headers, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _undeclared(each: Asked) -> bool:
    return each.shot.status not in DECLARED


def _late(each: Asked) -> bool:
    return each.shot.seconds > LATEST_S
