"""How much is rendered at the same time, and what a render may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from pydantic import Field, field_validator

from imgproxy.environment import ByteSize, GoBool, RoomSettings
from imgproxy.render.budget import Budget

_MOST_WORKERS, _MOST_PER_CPU = 64, 16
_LEAST_MEMORY, _MOST_MEMORY = 128 << 20, 1 << 40


class PoolSettings(RoomSettings):
    """How much is rendered at the same time, and what a render may use."""

    workers: int = Field(
        default=0,
        ge=0,
        description="Render processes, which is how many images are rendered at the same time. 0: the number of CPUs.",
        json_schema_extra={
            "imgproxy": "2 per CPU",
            "why": "A worker here is a process that keeps one core busy; more of them than cores only cost memory.",
        },
    )
    worker_memory: ByteSize = Field(
        default=768 << 20,
        description="Memory that one render process may use. Sources that would need more are refused by their header; "
        "a process that takes more is killed, and its request is answered with 422.",
        json_schema_extra={
            "imgproxy": "unlimited",
            "why": "A file of 41 bytes can ask for 1.2 GB. With the default, AVIF is read up to 28 megapixels, "
            "plain JPEG up to 100.",
        },
    )
    worker_max_jobs: int = Field(
        default=2000, ge=0, description="Renders after which a process is replaced by a fresh one. 0: never."
    )
    max_svg_size: ByteSize = Field(
        default=512 << 10,
        ge=1,
        description="The largest SVG that is read. The limits on its elements, texts and paths grow with it.",
        json_schema_extra={
            "imgproxy": "unlimited",
            "why": "Time and memory grow faster than the file: 4 MB of path data take 13 s.",
        },
    )
    require_sandbox: GoBool = Field(
        default=False,
        description="Refuse to start where the sandbox of the render processes is not complete: without Landlock or "
        "seccomp, or as root without the right to change the user. Otherwise what is missing is logged.",
    )

    @field_validator("workers")
    @classmethod
    def _are_not_more_than_can_live(cls, workers: int) -> int:
        if workers > (most := max(_MOST_WORKERS, _MOST_PER_CPU * available_cpus())):
            raise ValueError(
                f"expected at most {most}: each is a process that keeps a core busy, and this machine has "
                f"{available_cpus()}; 0 takes one for each"
            )
        return workers

    @field_validator("worker_memory")
    @classmethod
    def _is_room_to_live_in(cls, size: int) -> int:
        if not _LEAST_MEMORY <= size <= _MOST_MEMORY:
            raise ValueError('expected a size from "128MiB", in which a process can just live, to "1024GiB"')
        return size

    @property
    def budget(self) -> Budget:
        return Budget(self.worker_memory, self.max_svg_size)


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, and its cgroup's quota (v2), rounded up."""
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cpus
    return cpus if quota == "max" else max(1, min(cpus, math.ceil(int(quota) / int(period))))
