"""T9: how late a render past its deadline is killed, how soon a spare takes over, and whether anybody else notices."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

from bench.chaos.load import during, fresh
from bench.chaos.node import node, ready_workers, until
from bench.chaos.row import failed, p99_ms
from bench.chaos.site import site
from bench.openloop import Gun, fire
from tests.serving import signed

if TYPE_CHECKING:
    from tests.serving import Server

_TIMEOUT_S = 1.0
_RATE = 20
_PEACE = 7
_LOOK_EVERY_S = 0.001


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """Milliseconds, round by round, with a deadline of a second."""
    return asyncio.run(_measure(rounds, seconds))


async def _measure(rounds: int, seconds: float) -> dict[str, Any]:
    async with site() as origin:
        with node({"workers": "1", "timeout": str(_TIMEOUT_S)}, without=("misbehaving",)) as server:
            turns = [await _turn(server, origin.url, number) for number in range(rounds)]
        with node({"workers": "2", "timeout": str(_TIMEOUT_S)}, without=("misbehaving",)) as server:
            await fire(server.bind, fresh(origin.url, "warm"), _RATE, 1)
            quiet = await fire(server.bind, fresh(origin.url, "quiet"), _RATE, seconds)
            noisy = await during(_hang(server, origin.url, seconds), server.bind, fresh(origin.url, "noisy"), _RATE)
    names = ("killed_after_ms", "answered_after_ms", "takeover_ms", "ordinary_ms")
    return {name: [turn[n] for turn in turns] for n, name in enumerate(names)} | {
        "bystanders": len(noisy),
        "bystanders_failed": failed(noisy),
        "quiet_p99_ms": p99_ms(quiet),
        "noisy_p99_ms": p99_ms(noisy),
    }


async def _turn(server: Server, url: str, number: int) -> tuple[float, float, float, float]:
    """From the deadline to the death and to the answer; a small render at once after that; the same in peace."""
    await until(lambda: ready_workers(server) == 2)
    gun = Gun(server.bind)
    peace = [
        (await gun.shoot("", signed(f"{url}/any/{number}-{n}.png", "rs:fit:50:50"), time.monotonic())).seconds
        for n in range(_PEACE)
    ]
    ordinary = statistics.median(peace)
    workers = server.workers()
    # A process in the pool is the one that hangs: the first that is gone.
    deadline = time.monotonic() + _TIMEOUT_S
    dying = asyncio.ensure_future(_death(workers))
    hung = await gun.shoot("", signed(f"{url}/spin/{number}.png", "rs:fit:50:50"), time.monotonic())
    after = await gun.shoot("", signed(f"{url}/any/{number}-after.png", "rs:fit:50:50"), time.monotonic())
    killed = await dying
    gun.close()
    if hung.status not in (503, 504) or after.status != 200:
        raise ValueError(f"a render that hangs was answered with {hung.status}, the next one with {after.status}")
    return (
        round(1000 * (killed - deadline), 1),
        round(1000 * (hung.seconds - _TIMEOUT_S), 1),
        round(1000 * (after.seconds - ordinary), 1),
        round(1000 * ordinary, 1),
    )


async def _death(pids: list[int]) -> float:
    """When the first of them was gone."""
    while all(_lives(pid) for pid in pids):  # noqa: ASYNC110 - nothing tells of the death of another's child
        await asyncio.sleep(_LOOK_EVERY_S)
    return time.monotonic()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _hang(server: Server, url: str, seconds: float) -> None:
    """A render that hangs, again and again."""
    gun = Gun(server.bind)
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        await gun.shoot("", signed(f"{url}/spin/n{number}.png", "rs:fit:50:50"), time.monotonic())
        await until(lambda: ready_workers(server) == 3)
    gun.close()
