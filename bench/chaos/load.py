"""What is asked for, and how often."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

from bench.openloop import Gun
from tests.serving import signed

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator
    from typing import Any

    from bench.openloop import Shot

Target = tuple[str, str]
"""A kind of request, to tell them apart later, and its target."""


def fresh(url: str, kind: str, width: int = 100) -> Iterator[Target]:
    """Targets of one small picture that nobody has asked for."""
    for number in itertools.count():
        yield kind, signed(f"{url}/{kind}.png", f"rs:fill:{width}:{width}", f"cb:{number}")


def many(url: str, kind: str, sources: int, first: int = 0) -> Iterator[Target]:
    """Targets that nobody has asked for, of so many sources in turn."""
    for number in itertools.count(first):
        yield kind, signed(f"{url}/{kind}/{number % sources}.png", f"rs:fill:{60 + number // sources}:60")


def known(url: str, kind: str, count: int) -> Iterator[Target]:
    """The same targets again and again."""
    return itertools.cycle((kind, signed(f"{url}/{kind}/{n}.png", "rs:fill:60:60")) for n in range(count))


def mixed(*kinds: Iterable[Target]) -> Iterator[Target]:
    """Of each in turn."""
    return itertools.chain.from_iterable(zip(*kinds, strict=False))


async def during(work: Coroutine[Any, Any, object], bind: str, targets: Iterable[Target], rate: float) -> list[Shot]:
    """Requests at a rate for as long as some work takes."""
    gun = Gun(bind)
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work)
        for number, (kind, target) in enumerate(targets):
            if working.done():
                break
            due = gun.began + number / rate
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            group.create_task(gun.shoot(kind, target, due))
    gun.close()
    return gun.shots


async def shoot(bind: str, target: str, kind: str = "") -> Shot:
    """One request on a connection of its own."""
    gun = Gun(bind)
    try:
        return await gun.shoot(kind, target, time.monotonic())
    finally:
        gun.close()


async def becomes(bind: str, target: str, status: int, seconds: float = 3.0) -> float | None:
    """The seconds until a target is answered with this status; None if it is not."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        if (await shoot(bind, target)).status == status:
            return time.monotonic() - began
        await asyncio.sleep(0.01)
    return None


async def peak(bind: str, targets: Iterator[Target], seconds: float, clients: int = 6) -> float:
    """Answers a second when somebody always waits for the next one."""
    gun = Gun(bind)
    end = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end:
            await gun.shoot(*next(targets), time.monotonic())

    await asyncio.gather(*(client() for _ in range(clients)))
    gun.close()
    return sum(shot.status == 200 for shot in gun.shots) / (time.monotonic() - gun.began)
