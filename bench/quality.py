"""The quality profiles, measured: CPU time, bytes and SSIMULACRA2, over sizes of sources and formats of results.

    python -m bench.quality [PHOTO …] [--rounds 3] [--formats jpeg webp avif] [--side 500]

Photographs default to ../shared/photos; where there are none, three pictures are drawn instead, whose figures say
little. Each is taken as it is, and reduced to 2000 and 768 px (JPEG, quality 92, 4:4:4: sharp to the pixel, as
pictures on the web are). Results fit into SIDE. The score is SSIMULACRA2 against a Lanczos 3 reduction in linear
light and floats; "limit" is that reference through the same encoder. Profiles alternate within each round, all in
this process with one thread; times are the least of the rounds for each picture, spreads those of the rounds' sums.
Needs the package ssimulacra2.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("VIPS_CONCURRENCY", "1")  # read when libvips is loaded

import pyvips

from imgproxy.formats import BY_NAME
from imgproxy.model import Client, ImageRequest, Job, Source, SourceRef
from imgproxy.options import read_segment
from imgproxy.options.quality_profile import Profile
from imgproxy.planning import Planner
from imgproxy.render import pipeline
from imgproxy.render.save import encode
from imgproxy.render.warmup import load_late_parts, set_up_libvips

PHOTOS = Path(__file__).parents[2] / "shared" / "photos"
SMALLEST, LARGEST = 12_000_000, 17_000_000
SIZES = {"12-16 MP": 0, "2000 px": 2000, "768 px": 768}


@dataclass
class Point:
    """One profile on one picture in one size and format."""

    load: list[float] = field(default_factory=list)
    encode: list[float] = field(default_factory=list)
    size: int = 0
    score: float = 0.0

    @property
    def cpu(self) -> float:
        return min(map(sum, zip(self.load, self.encode, strict=True)))


def drawn(folder: Path) -> list[Path]:
    """Three large pictures with fine detail, for want of photographs."""
    paths: list[Path] = []
    for seed in range(3):
        noise = pyvips.Image.perlin(4608, 3456, cell_size=64 << seed, seed=seed) * 90 + 128
        grain = pyvips.Image.gaussnoise(4608, 3456, sigma=18, seed=seed)
        bands = [noise + grain, noise.rot180() + grain, noise.fliphor() * 0.8 + grain]
        paths.append(folder / f"drawn-{seed}.jpg")
        bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb").jpegsave(str(paths[-1]), Q=92)
    return paths


def photographs(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(PHOTOS.glob("*.jpg")):
        header = pyvips.Image.new_from_file(str(path))
        if SMALLEST <= header.width * header.height <= LARGEST:
            found.append(path)
    return found or drawn(folder)


def reduced(path: Path, side: int, folder: Path) -> Path:
    """The picture with this longest side, in sRGB; the file itself for 0."""
    if not side:
        return path
    out = folder / f"{path.stem}-{side}.jpg"
    image = pyvips.Image.new_from_file(str(path)).autorot().copy_memory()
    scale = side / max(image.width, image.height)
    small = image.colourspace("scrgb").resize(scale, gap=0).colourspace("srgb")
    small.cast("uchar").jpegsave(str(out), Q=92, keep=0)
    return out


def reference(path: Path, width: int, height: int) -> pyvips.Image:
    image = pyvips.Image.new_from_file(str(path)).autorot().copy_memory()
    light = image.colourspace("scrgb").resize(width / image.width, vscale=height / image.height, gap=0)
    light = light.colourspace("srgb").cast("uchar")
    return (light.icc_transform("srgb", embedded=True) if light.get_typeof("icc-profile-data") else light).copy_memory()


def job(path: Path, profile: Profile, format_: str, side: int) -> Job:
    segments = (("rs", ["fit", str(side), str(side)]), ("qp", [profile]), ("q", ["80"]), ("f", [format_]))
    settings = tuple(each for name, texts in segments for each in read_segment(name, texts))
    plan = Planner().plan(ImageRequest(SourceRef("http://bench/"), settings), Client())
    fd = os.open(path, os.O_RDONLY)
    return Job(plan, Source(fd, path.stat().st_size, ""))


def measured(path: Path, profile: Profile, format_: str, side: int, point: Point) -> bytes:
    work = job(path, profile, format_, side)
    started = time.process_time()
    report = pipeline.run(work)
    cpu = 1000 * (time.process_time() - started)
    work.source.close()
    # The stages are known by the wall clock: their shares of the processor's time.
    share = report.encode_s / (report.load_s + report.encode_s)
    point.load.append(cpu * (1 - share))
    point.encode.append(cpu * share)
    return report.rendition.body


def scored(answer: bytes, original: pyvips.Image, folder: Path) -> float:
    from ssimulacra2 import compute_ssimulacra2  # noqa: PLC0415 - heavy, and not for children of this process

    paths = [str(folder / name) for name in ("reference.png", "answer.png")]
    for image, name in zip((original, pyvips.Image.new_from_buffer(answer, "")), paths, strict=True):
        image.pngsave(name, compression=1, keep=0)
    return float(compute_ssimulacra2(*paths))


def limit(original: pyvips.Image, path: Path, profile: Profile, format_: str, side: int) -> bytes:
    """The reference, through the encoder of this profile."""
    work = job(path, profile, format_, side)
    work.source.close()
    return encode(original, BY_NAME[format_], work.plan)


def table(title: str, points: dict[Profile, list[Point]], limits: dict[Profile, list[float]], rounds: int) -> None:
    fast = points[Profile.FAST]
    for profile, mine in points.items():
        cpu = sum(point.cpu for point in mine)
        ratios = [
            sum(point.load[n] + point.encode[n] for point in fast) / sum(p.load[n] + p.encode[n] for p in mine)
            for n in range(rounds)
        ]
        load = statistics.mean(min(point.load) for point in mine)
        encoding = statistics.mean(min(point.encode) for point in mine)
        size, score = statistics.mean(p.size for p in mine), statistics.mean(p.score for p in mine)
        base = statistics.mean(p.size for p in fast), statistics.mean(p.score for p in fast)
        print(
            f"| {title} | {profile} | {load:.1f} | {encoding:.1f} | {size / 1000:.1f} | {score:.1f} "
            f"| {statistics.mean(limits[profile]):.1f} | {score - base[1]:+.1f} | {size / base[0]:.3f} "
            f"| {sum(p.cpu for p in fast) / cpu:.2f} ({min(ratios):.2f}-{max(ratios):.2f}) |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the quality profiles.")
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", nargs="+", default=["jpeg", "webp", "avif"])
    parser.add_argument("--side", type=int, default=500)
    arguments = parser.parse_args()
    set_up_libvips()
    load_late_parts()
    print(
        "| source, format | profile | load and resize, ms | encode, ms | KB | score | limit | points over fast "
        "| bytes / fast | throughput / fast (spread) |\n|" + "---|" * 10
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = arguments.photos or photographs(folder)
        for format_ in arguments.formats:
            everything: dict[Profile, list[Point]] = defaultdict(list)
            every_limit: dict[Profile, list[float]] = defaultdict(list)
            for title, longest in SIZES.items():
                points: dict[Profile, list[Point]] = {profile: [Point() for _ in photos] for profile in Profile}
                limits: dict[Profile, list[float]] = defaultdict(list)
                for at, photo in enumerate(photos):
                    path = reduced(photo, longest, folder)
                    bodies: dict[Profile, bytes] = {}
                    for _ in range(arguments.rounds):
                        for profile in Profile:
                            point = points[profile][at]
                            bodies[profile] = measured(path, profile, format_, arguments.side, point)
                    shown = pyvips.Image.new_from_buffer(bodies[Profile.BEST], "")
                    original = reference(path, shown.width, shown.height)
                    for profile in Profile:
                        point = points[profile][at]
                        point.size, point.score = len(bodies[profile]), scored(bodies[profile], original, folder)
                        best = limit(original, path, profile, format_, arguments.side)
                        limits[profile].append(scored(best, original, folder))
                table(f"{title}, {format_}", points, limits, arguments.rounds)
                for profile in Profile:
                    everything[profile] += points[profile]
                    every_limit[profile] += limits[profile]
            table(f"**all, {format_}**", everything, every_limit, arguments.rounds)


if __name__ == "__main__":
    sys.exit(main())
