"""How fast this machine makes pictures: through the real pool of render processes, without a server. For ``bench``."""

from __future__ import annotations

import asyncio
import math
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from imgproxy.formats import AVIF, JPEG, WEBP, Format
from imgproxy.model import Client, Deadline, ImageRequest, Job, Source, SourceRef
from imgproxy.options import Resize, ResultFormat
from imgproxy.options.base import Setting
from imgproxy.planning import Planner
from imgproxy.render.pool import Pool
from imgproxy.render.specimen import libvips_version, photograph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgproxy.model import Plan
    from imgproxy.settings import Settings

FORMATS: tuple[Format, ...] = (JPEG, WEBP, AVIF)
SIDE = 512
"""Pixels of the results' longer side."""
SOURCE = (2400, 1600)
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Measured:
    """How results of one format were made."""

    format: str
    images: int
    per_second: float
    p50_s: float
    p95_s: float
    bytes: int
    """Of one result."""
    peak_bytes: int
    """The largest resident memory of a render process."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What was measured, and where."""

    cores: int
    workers: int
    libvips: str
    source_bytes: int
    formats: tuple[Measured, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"source": "{}x{}".format(*SOURCE), "side": SIDE}


async def profile(settings: Settings, seconds: float, on_start: Callable[[str], object]) -> Profile:
    """Each format for so many seconds, as many renders at a time as there are workers.

    ``on_start`` hears the name of each format. Raises ``ImageError``, ``OSError``.
    """
    picture = photograph(*SOURCE)
    pool = Pool(settings.pool.workers, budget=settings.pool.budget, require_sandbox=settings.pool.require_sandbox)
    planner = Planner(settings.plan)
    fd = os.memfd_create("imgproxy-bench")
    try:
        os.write(fd, picture)
        await pool.start()
        measured: list[Measured] = []
        for each in FORMATS:
            on_start(each.name)
            job = Job(_plan(planner, each), Source(fd, len(picture), "local:///bench.jpg"))
            await pool.render(job, Deadline.after(_PATIENCE_S))  # what is loaded late is loaded now
            measured.append(await _measure(pool, job, each, seconds))
        return Profile(len(os.sched_getaffinity(0)), pool.size, libvips_version(), len(picture), tuple(measured))
    finally:
        await pool.aclose()
        os.close(fd)


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value that so large a share of them does not exceed (nearest rank)."""
    return sorted_values[max(0, math.ceil(share * len(sorted_values)) - 1)]


def _plan(planner: Planner, result: Format) -> Plan:
    asked = (Setting(Resize, (("width", SIDE), ("height", SIDE))), Setting(ResultFormat, (("format", result),)))
    return planner.plan(ImageRequest(SourceRef("local:///bench.jpg"), asked), Client())


async def _measure(pool: Pool, job: Job, result: Format, seconds: float) -> Measured:
    times: list[float] = []
    peak = size = 0
    began = time.monotonic()

    async def work() -> None:
        nonlocal peak, size
        while time.monotonic() - began < seconds:
            start = time.monotonic()
            report = await pool.render(job, Deadline.after(_PATIENCE_S))
            times.append(time.monotonic() - start)
            peak, size = max(peak, report.peak_bytes), len(report.rendition.body)

    async with asyncio.TaskGroup() as group:
        for _ in range(pool.size):
            group.create_task(work())
    took = time.monotonic() - began
    times.sort()
    return Measured(
        result.name, len(times), len(times) / took, percentile(times, 0.5), percentile(times, 0.95), size, peak
    )
