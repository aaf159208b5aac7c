"""Encoders: time, bytes and SSIMULACRA2 of what the defaults were chosen from.

    python -m bench.encoders [PHOTO …] [--rounds 5] [--side 512]

Photographs default to ../shared/photos, else pictures are drawn. Each is reduced to fit into SIDE with Lanczos 3 in
linear light and floats, and that is encoded; scores are against it. One thread; times are the median over the
pictures of the least of the rounds, bytes and scores are means. Needs the package ssimulacra2.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyvips

from bench.quality import photographs, reference, scored

Encode = Callable[[pyvips.Image], bytes]


def jpeg(**options: object) -> Encode:
    return lambda image: image.jpegsave_buffer(**({"Q": 80, "optimize_coding": True, "keep": 0} | options))


def webp(**options: object) -> Encode:
    return lambda image: image.webpsave_buffer(**({"Q": 79, "effort": 2, "keep": 0} | options))


def avif(**options: object) -> Encode:
    return lambda image: image.heifsave_buffer(**({"Q": 63, "effort": 0, "compression": "av1", "keep": 0} | options))


def png(**options: object) -> Encode:
    return lambda image: image.pngsave_buffer(**({"filter": 0xF8, "keep": 0} | options))


ENCODERS: dict[str, Encode] = {
    "JPEG 80": jpeg(),
    "JPEG 80, Huffman tables of the standard": jpeg(optimize_coding=False),
    "JPEG 80, progressive": jpeg(interlace=True),
    **{f"JPEG 80, table {n}": jpeg(quant_table=n) for n in (2, 3, 4, 5)},
    "JPEG 79, table 5": jpeg(Q=79, quant_table=5),
    "JPEG 80, table 5, 4:4:4": jpeg(quant_table=5, subsample_mode="off"),
    "JPEG 80, trellis": jpeg(trellis_quant=True),
    "JPEG 83, trellis, table 3": jpeg(Q=83, trellis_quant=True, quant_table=3),
    **{f"WebP 79, effort {n}": webp(effort=n) for n in (0, 2, 4, 6)},
    "WebP 79, effort 2, smart subsampling": webp(smart_subsample=True),
    **{f"AVIF 63, speed {9 - n}": avif(effort=n) for n in (0, 1, 2)},
    "AVIF 63, speed 9, 4:4:4": avif(subsample_mode="off"),
    "PNG, all filters": png(),
    "PNG, no filter": png(filter=0x08),
    "PNG, all filters, compression 9": png(compression=9),
}


def fitted(path: Path, side: int) -> pyvips.Image:
    header = pyvips.Image.new_from_file(str(path)).autorot()
    scale = side / max(header.width, header.height)
    return reference(path, round(header.width * scale), round(header.height * scale))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the encoders.")
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=512)
    arguments = parser.parse_args()
    print("| encoder | CPU, ms | spread | KB | score |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = [fitted(path, arguments.side) for path in arguments.photos or photographs(folder)]
        # Round by round through all encoders, so that a busy moment of the machine hits them alike.
        times: dict[str, list[list[float]]] = {title: [[] for _ in images] for title in ENCODERS}
        for _ in range(arguments.rounds):
            for title, encode in ENCODERS.items():
                for at, image in enumerate(images):
                    started = time.process_time()
                    encode(image)
                    times[title][at].append(1000 * (time.process_time() - started))
        for title, encode in ENCODERS.items():
            bodies = [encode(image) for image in images]
            scores = [scored(body, image, folder) for body, image in zip(bodies, images, strict=True)]
            rounds = [statistics.median(each) for each in zip(*times[title], strict=True)]
            best = statistics.median(min(each) for each in times[title])
            print(
                f"| {title} | {best:.1f} | {min(rounds):.1f}-{max(rounds):.1f} "
                f"| {statistics.mean(map(len, bodies)) / 1000:.1f} | {statistics.mean(scores):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
