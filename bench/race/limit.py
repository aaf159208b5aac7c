"""Bare libvips: what a render costs without HTTP, queues and processes between. ``Limit`` runs one on each core.

The same operations with the same arguments as the server's default plan, from a file; a test holds the two together.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyvips

from imgproxy.geometry import Size
from imgproxy.model import Encoding
from imgproxy.options.quality_profile import Profile
from imgproxy.render.light import from_light, to_light
from imgproxy.render.profiles import RULES

if TYPE_CHECKING:
    from types import TracebackType

    from bench.race.works import Work

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Manner:
    """What a plan leaves open: the quality profile, and the encoder's effort."""

    profile: Profile = Profile.BALANCED
    jpeg_table: int = Encoding().jpeg_table
    webp_effort: int = Encoding().webp_effort


OURS = Manner()
INCUMBENTS = Manner(Profile.FAST, jpeg_table=0, webp_effort=4)
"""imgproxy's, thumbor's and sharp's: the largest factor that is not too much."""


def render(path: str, side: int, format_: str, quality: int, manner: Manner = OURS, *, animated: bool = False) -> bytes:
    """The picture in a square, encoded."""
    if animated:
        return _moving(path, side, quality, manner)
    image = pyvips.Image.new_from_file(path, access="sequential", fail_on="truncated")
    needed = max(image.width, image.height) / side
    width, height = max(1, round(image.width / needed)), max(1, round(image.height / needed))
    rules, stored = RULES[manner.profile], Size(image.width, image.height)
    if path.endswith(".jpg") and image.width * image.height > rules.whole_pixels:
        shrink = next((factor for factor in (8, 4, 2) if factor * rules.margin <= needed), 1)
        if shrink > 1:
            image = pyvips.Image.jpegload(path, shrink=shrink, access="sequential", fail_on="truncated")
    if rules.in_light(stored, Size(image.width, image.height)):
        image = from_light(_resized(to_light(image), width, height, rules.kernel))
    else:
        image = _resized(image, width, height)
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True, depth=8)
    return _encoded(image.copy_memory(), format_, quality, manner)


def _resized(image: pyvips.Image, width: int, height: int, kernel: str = "lanczos3") -> pyvips.Image:
    alpha, format_ = image.hasalpha(), image.format
    image = image.premultiply() if alpha else image
    image = image.resize(width / image.width, vscale=height / image.height, kernel=kernel)
    return image.unpremultiply().cast(format_) if alpha else image


def _moving(path: str, side: int, quality: int, manner: Manner) -> bytes:
    stack = pyvips.Image.new_from_file(path, n=-1, access="sequential", fail_on="truncated")
    width, height = stack.width, stack.get("page-height")
    scale = side / max(width, height)
    size = round(width * scale), round(height * scale)
    frames = [
        _resized(stack.crop(0, n * height, width, height).copy_memory(), *size).copy_memory()
        for n in range(stack.height // height)
    ]
    image = pyvips.Image.arrayjoin(frames, across=1).copy_memory()
    image.set_type(pyvips.GValue.gint_type, "page-height", size[1])
    image.set_type(pyvips.GValue.array_int_type, "delay", stack.get("delay"))
    return _encoded(image, "webp", quality, manner)


def _encoded(image: pyvips.Image, format_: str, quality: int, manner: Manner) -> bytes:
    if format_ == "jpeg":
        return image.jpegsave_buffer(Q=quality, optimize_coding=True, quant_table=manner.jpeg_table, keep=0)
    if format_ == "webp":
        return image.webpsave_buffer(Q=quality, effort=manner.webp_effort, keep=0)
    return image.heifsave_buffer(Q=quality, compression="av1", effort=0, keep=0)


@dataclass(frozen=True, slots=True)
class Ran:
    """What all processes did together. CPU in seconds an image, peak in bytes, summed."""

    rate: float
    cpu: float
    peak: int


class Limit:
    """Processes that render at a word, one for each core."""

    def __init__(self, folder: Path, cores: int) -> None:
        self._folder = folder
        environment = os.environ | {"VIPS_CONCURRENCY": "1", "MALLOC_ARENA_MAX": "2", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "bench.race.limit"]
        pipe = subprocess.PIPE
        self._processes = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, bufsize=1)
            for _ in range(cores)
        ]

    def run(self, work: Work, seconds: float, manner: Manner = OURS) -> Ran:
        """As many as they can for so long; whole renders only."""
        order = {
            "path": str(self._folder / work.picture),
            "side": work.side,
            "format_": work.format,
            "quality": work.quality,
            "manner": asdict(manner),
            "animated": work.animated,
        }
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"seconds": seconds, "order": order}) + "\n")
        done = [json.loads(process.stdout.readline()) for process in self._processes if process.stdout]
        return Ran(
            sum(each["count"] / each["wall"] for each in done),
            sum(each["cpu"] for each in done) / sum(each["count"] for each in done),
            sum(each["peak"] for each in done),
        )

    def __enter__(self) -> Limit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)


def _peak() -> int:
    """Bytes that this process has held at most since its peak was reset."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) << 10 if found else 0


def main() -> None:
    """Orders by line from standard input, figures by line to standard output."""
    pyvips.cache_set_max(0)
    for line in sys.stdin:
        told = json.loads(line)
        order = told["order"] | {"manner": Manner(**told["order"]["manner"])}
        # From here on the peak counts anew (proc(5)).
        Path("/proc/self/clear_refs").write_text("5")
        count, wall, cpu = 0, time.monotonic(), time.process_time()
        while time.monotonic() - wall < told["seconds"] or not count:
            render(**order)
            count += 1
        peak = _peak()
        figures = {"count": count, "wall": time.monotonic() - wall, "cpu": time.process_time() - cpu, "peak": peak}
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
