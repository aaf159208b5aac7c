"""Generated bombs, one after the other: each refused or rendered right, nearly all refused before any decoding."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyvips

from bench.hostile.processes import Watch, holdings
from bench.hostile.volley import GROWTH_BYTES, LATEST_S, PLANS, WORKER_BYTES, restarts
from imgproxy.signing import path_of
from tests.bombs import bombs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.bombs import Bomb
    from tests.serving import Answer, Server

REFUSALS = frozenset({413, 415, 422})
AT_ONCE_MS = 30.0
"""A refusal that took a render process no longer was made by the header."""
AT_ONCE_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Tried:
    """A bomb under a plan, and what came of it."""

    bomb: Bomb
    plan: str
    status: int
    seconds: float
    right: bool
    """Refused; or, where that is allowed, a picture that decodes whole."""
    code: str
    processing_ms: float

    @property
    def refused(self) -> bool:
        return self.status in REFUSALS

    def __str__(self) -> str:
        took = f"{self.seconds:.2f} s, {self.processing_ms:.0f} ms of rendering"
        return f"{self.bomb.name} {self.plan}: {self.status} {self.code}, {took}"


@dataclass(frozen=True)
class Bombed:
    """What came of all of them; bytes."""

    tried: list[Tried]
    restarts: Mapping[str, int]
    worker_peak: int
    growth: int
    lives: bool

    @property
    def at_once(self) -> float:
        """The share of refusals that were made by the header."""
        refused = [each for each in self.tried if each.refused]
        return sum(each.processing_ms <= AT_ONCE_MS for each in refused) / max(1, len(refused))

    def faults(self) -> list[str]:
        """What is not as it must be, one line each."""
        found = [f"wrong: {each}" for each in self.tried if not each.right]
        found += [f"late: {each}" for each in self.tried if each.seconds > LATEST_S]
        if self.at_once < AT_ONCE_SHARE:
            found.append(f"only {100 * self.at_once:.1f} % of the refusals came from the header")
        if self.worker_peak > WORKER_BYTES:
            found.append(f"a render process took {self.worker_peak >> 20} MiB")
        if self.growth > GROWTH_BYTES:
            found.append(f"the server grew by {self.growth / 1e6:.1f} MB")
        return found if self.lives else [*found, "the server did not live through it"]

    def __str__(self) -> str:
        kinds: defaultdict[str, list[Tried]] = defaultdict(list)
        for each in self.tried:
            kinds[each.bomb.structure].append(each)
        rows = [f"{'structure':<22}{'tried':>6}{'refused':>9}{'slowest':>10}{'at most':>10}  codes"]
        for name, tried in sorted(kinds.items()):
            codes = ", ".join(sorted({f"{each.status} {each.code}".strip() for each in tried}))
            slowest, longest = max(each.seconds for each in tried), max(each.processing_ms for each in tried)
            refused = sum(each.refused for each in tried)
            rows.append(f"{name:<22}{len(tried):>6}{refused:>9}{slowest:>8.2f} s{longest:>7.0f} ms  {codes}")
        rows += [
            f"refusals from the header: {100 * self.at_once:.1f} %",
            f"render processes that ended: {dict(self.restarts) or 'none'}",
            f"peak of a render process: {self.worker_peak >> 20} MiB; the server grew by {self.growth / 1e6:.1f} MB",
        ]
        return "\n".join(rows)


async def bombing(server: Server, root: Path, seed: int, count: int, plans: Iterable[str] = PLANS) -> Bombed:
    """Ask for ``count`` bombs of this seed under every plan; they are put below ``bombs/`` in the server's ``root``."""
    (root / "bombs").mkdir()
    watch, before = Watch(server), 0
    answers: list[tuple[Bomb, str, Answer, float]] = []
    async with watch.kept():
        for number, bomb in enumerate(bombs(seed, count)):
            if number == count // 10:  # what is built once is not growth
                before = holdings(server.process.pid).resident
            (root / "bombs" / bomb.name).write_bytes(bomb.body)
            for plan in plans:
                answer, seconds = await _ask(server, bomb, plan)
                answers.append((bomb, plan, answer, seconds))
    growth = holdings(server.process.pid).resident - before
    lines = {line["request_id"]: line for line in server.lines()}
    return Bombed(
        [_tried(*each, lines.get(each[2].headers.get("x-request-id", ""), {})) for each in answers],
        restarts(server),
        watch.peak,
        growth,
        server.process.poll() is None and server.ask("/readyz").status == 200,
    )


async def _ask(server: Server, bomb: Bomb, plan: str) -> tuple[Answer, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await asyncio.to_thread(server.ask, "/unsafe" + path_of(f"local:///bombs/{bomb.name}", PLANS[plan]))
    return answer, loop.time() - began


def _tried(bomb: Bomb, plan: str, answer: Answer, seconds: float, line: Mapping[str, object]) -> Tried:
    right = answer.status in REFUSALS or (bomb.expect != "refused" and _whole(answer))
    stages = line.get("stages")
    processing = float(stages.get("processing", 0.0)) if isinstance(stages, dict) else 0.0
    return Tried(bomb, plan, answer.status, seconds, right, str(line.get("code") or ""), processing)


def _whole(answer: Answer) -> bool:
    try:
        return answer.status == 200 and answer.picture.width > 0
    except pyvips.Error:
        return False
