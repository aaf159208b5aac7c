"""T4: six sizes of one large picture, arriving together and one after the other, against six of different pictures."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from typing import TYPE_CHECKING, Any

from bench.openloop import Gun
from bench.race.processes import cpu_seconds
from bench.race.works import SIDES
from tests.serving import KEY, SALT, serving, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.serving import Server

_EFFORTS = (2, 4)
_QUIET_S = 0.2


def measure(origin: str, rounds: int) -> dict[str, Any]:
    """CPU and wall milliseconds of the six, for each WebP effort and each way to arrive."""
    numbers = itertools.count(10_000_000)
    found: dict[str, Any] = {}
    for effort in _EFFORTS:
        settings = {"webp_effort": str(effort), "workers": "0", "key": KEY, "salt": SALT}
        with serving(**settings) as server:
            warm = [signed(f"{origin}/{next(numbers)}/p24.jpg", "rs:fit:320:320", "f:webp") for _ in range(4)]
            asyncio.run(_ask(server, warm, together=True))
            runs: dict[str, list[tuple[float, float]]] = {"independent": [], "together": [], "one by one": []}
            for _ in range(rounds):
                for way, measured in runs.items():
                    sources = [next(numbers)] * 6 if way != "independent" else [next(numbers) for _ in SIDES]
                    targets = [
                        signed(f"{origin}/{n}/p24.jpg", f"rs:fit:{side}:{side}", "f:webp")
                        for n, side in zip(sources, SIDES, strict=True)
                    ]
                    measured.append(_cost(server, targets, together=way == "together"))
        found[f"e{effort}"] = {
            way: {"cpu_ms": [each[0] for each in measured], "wall_ms": [each[1] for each in measured]}
            for way, measured in runs.items()
        }
    return found


def _cost(server: Server, targets: Sequence[str], *, together: bool) -> tuple[float, float]:
    """CPU milliseconds, what is done behind the answers included, and wall milliseconds until the last of them."""
    pid = server.process.pid
    before = cpu_seconds(pid)
    wall = asyncio.run(_ask(server, targets, together=together))
    while True:
        used = cpu_seconds(pid)
        time.sleep(_QUIET_S)
        if cpu_seconds(pid) - used < _QUIET_S / 10:
            break
    return round(1000 * (used - before), 1), round(1000 * wall, 1)


async def _ask(server: Server, targets: Sequence[str], *, together: bool) -> float:
    gun = Gun(server.bind)
    began = time.monotonic()
    if together:
        await asyncio.gather(*(gun.shoot("", target, began) for target in targets))
    else:
        for target in targets:
            await gun.shoot("", target, time.monotonic())
    lasted = time.monotonic() - began
    gun.close()
    if any(shot.status != 200 for shot in gun.shots):
        raise ValueError(f"a size failed: {[shot.status for shot in gun.shots]}")
    return lasted


def ratios(part: dict[str, Any], way: str) -> list[float]:
    """Round by round: the CPU of six that share a picture to that of six that do not."""
    base = statistics.median(part["independent"]["cpu_ms"])
    return [cpu / base for cpu in part[way]["cpu_ms"]]
