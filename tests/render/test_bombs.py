"""Small files that ask for much, through a real render process: refused by their headers, or cheap to render."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from imgproxy.errors import ImageError
from imgproxy.model import Deadline, Job
from imgproxy.render.pool import Pool
from tests.bombs import STRUCTURES, Bomb, bombs
from tests.render.rendering import held, plan

_DEADLINE = 2.0
_MEMORY = 768 << 20
_HEADER_CODES = {"source_too_expensive", "source_too_large", "broken_image", "unknown_image_type", "result_too_large"}
PLANS = {
    "resize": plan("rs:fit:300:300/f:webp"),
    "crop": plan("rs:fill:200:200/g:sm/f:avif"),
    "animated": plan("rs:fit:300:300/f:webp", max_animation_frames=100),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    bomb: Bomb
    code: str
    """The error's, or empty for an image."""
    seconds: float


async def explode(seed: int, count: int, name: str = "resize") -> tuple[list[Outcome], int]:
    """What becomes of each bomb in one worker, and the most memory that the worker ever had."""
    pool = Pool(1)
    await pool.start()
    try:
        outcomes = [await _one(pool, bomb, name) for bomb in bombs(seed, count)]
        assert not pool.restarts, pool.restarts
        peaks = [_peak(pid) for pid in pool.pids]
    finally:
        await pool.aclose()
    return outcomes, max(peaks)


async def _one(pool: Pool, bomb: Bomb, name: str) -> Outcome:
    source = held(bomb.body)
    start = time.monotonic()
    try:
        await pool.render(Job(PLANS[name], source), Deadline.after(_DEADLINE))
    except ImageError as error:
        return Outcome(bomb, error.code, time.monotonic() - start)
    finally:
        source.close()
    return Outcome(bomb, "", time.monotonic() - start)


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def check(outcomes: list[Outcome], peak: int) -> None:
    undeclared = [each for each in outcomes if each.code not in {"", *_HEADER_CODES}]
    assert undeclared == []
    through = [each.bomb.name for each in outcomes if not each.code and each.bomb.expect == "refused"]
    assert len(through) <= 0.05 * len(outcomes), through
    assert peak <= _MEMORY
    refused = [each.seconds for each in outcomes if each.code]
    # 2 ms on an idle machine; what decodes pixels first takes a hundred times as long.
    assert statistics.median(refused) < 0.03
    late = [each for each in outcomes if each.code and each.seconds > 0.3]
    assert len(late) <= 0.05 * len(outcomes), late


async def test_bombs_are_refused_by_their_headers() -> None:
    outcomes, peak = await explode(1, 2 * len(STRUCTURES))
    assert {each.bomb.structure for each in outcomes} == STRUCTURES.keys()
    check(outcomes, peak)


@pytest.mark.parametrize("name", ["crop", "animated"])
async def test_other_plans_let_no_more_through(name: str) -> None:
    check(*await explode(2, len(STRUCTURES), name))


@pytest.mark.soak
@pytest.mark.parametrize("name", PLANS)
async def test_thousands_of_bombs(name: str) -> None:
    seed = int(os.environ.get("BOMB_SEED", "4711"))
    check(*await explode(seed, 2000, name))


def test_bombs_are_small_and_the_same_for_a_seed() -> None:
    first = list(bombs(7, 40))
    assert first == list(bombs(7, 40)) != list(bombs(8, 40))
    assert max(len(bomb.body) for bomb in first) <= 100_000
