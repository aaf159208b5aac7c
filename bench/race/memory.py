"""T8: what 64 requests for a large picture at the same time hold, and what 2,000 mixed renders leave behind."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

from bench.openloop import Gun
from bench.race.processes import Usage, resident
from tests.serving import KEY, SALT, serving, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

MIB = 1 << 20
_TOGETHER = 64
_WARM = 200
_CLIENTS = 8
_MIXED = (("p3.jpg", 512, "jpeg"), ("p05.jpg", 200, "jpeg"), ("p05.jpg", 400, "webp"), ("alpha.png", 256, "webp"))


def measure(origin: str, rounds: int, renders: int) -> dict[str, Any]:
    """MiB, round by round; ``renders``: how many of the mixed ones, 0 for none."""
    numbers = itertools.count(20_000_000)
    found: dict[str, Any] = {"peak_mib": [], "memfd_mib": [], "answered": [], "wall_s": []}
    for _ in range(rounds):
        # A node of its own each time: peaks must not come from the round before.
        with serving(key=KEY, salt=SALT, workers="0") as server:
            found["idle_mib"] = round(resident(server.process.pid) / MIB, 1)
            targets = [
                signed(f"{origin}/{next(numbers)}/p24.jpg", "rs:fit:512:512", "f:jpeg") for _ in range(_TOGETHER)
            ]
            with Usage(server.process.pid, descriptors=True) as usage:
                answered, wall = asyncio.run(_together(server, targets))
            found["peak_mib"].append(round(usage.peak / MIB, 1))
            found["memfd_mib"].append(round(usage.descriptors_peak / MIB, 1))
            found["answered"].append(answered)
            found["wall_s"].append(round(wall, 2))
    if renders:
        found |= _growth(origin, renders)
    return found


def _growth(origin: str, renders: int) -> dict[str, Any]:
    numbers = itertools.count(30_000_000)

    def mixed() -> Iterator[str]:
        for number, (name, side, format_) in zip(numbers, itertools.cycle(_MIXED), strict=False):
            yield signed(f"{origin}/{number}/{name}", f"rs:fit:{side}:{side}", f"f:{format_}")

    # No caches: what they keep is no leak.
    settings = {"memory_cache_size": "0", "source_cache_size": "0", "worker_max_jobs": "0"}
    with serving(key=KEY, salt=SALT, workers="0", **settings) as server:
        targets = mixed()
        asyncio.run(_in_turn(server, targets, _WARM))
        before = resident(server.process.pid)
        asyncio.run(_in_turn(server, targets, renders))
        after = resident(server.process.pid)
    return {
        "renders": renders,
        "before_mib": round(before / MIB, 1),
        "after_mib": round(after / MIB, 1),
        "growth": round(after / before - 1, 4),
    }


async def _in_turn(server: Server, targets: Iterator[str], count: int) -> None:
    gun = Gun(server.bind)
    left = itertools.repeat(None, count)

    async def client() -> None:
        for _ in left:
            await gun.shoot("", next(targets), time.monotonic())

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    gun.close()


async def _together(server: Server, targets: list[str]) -> tuple[int, float]:
    gun = Gun(server.bind)
    began = time.monotonic()
    await asyncio.gather(*(gun.shoot("", target, began) for target in targets))
    gun.close()
    return sum(shot.status == 200 for shot in gun.shots), time.monotonic() - began
