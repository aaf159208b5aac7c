"""The budget: what is foretold holds in a fresh process, what is ordinary is let in, what is not is refused at once."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import zlib
from typing import TYPE_CHECKING

import pytest
import pyvips

from imgproxy.errors import BrokenImage, ResultTooLarge, SourceTooExpensive, WatermarkMissing
from imgproxy.formats import JPEG, PNG, WEBP
from imgproxy.model import Job, Limits
from imgproxy.render import costs, pipeline
from imgproxy.render.budget import Budget
from imgproxy.render.load import read_header
from tests import charts
from tests.render.rendering import held, plan, render

if TYPE_CHECKING:
    from pathlib import Path

    from imgproxy.model import Rendition

MEASURE = """
import os, re, sys
from tests.render import rendering
from imgproxy.render import costs, pipeline, worker
from imgproxy.render.budget import Budget
from imgproxy.model import Job
def resident(kind):
    return int(re.search(rf"^{kind}:\\s+(\\d+)", open("/proc/self/status").read(), re.M)[1]) << 10
estimates = []
def noted(result, load, encoding, budget):
    estimates.append(costs.rendering(result, load, encoding))
pipeline.check_result = noted
worker.warm_up()
source = rendering.held(open(sys.argv[1], "rb").read())
job = Job(rendering.plan(sys.argv[2], max_src_resolution=0, max_animation_frames=int(sys.argv[3])), source)
open("/proc/self/clear_refs", "w").write("5")
before = resident("VmRSS")
pipeline.run(job, Budget(memory=64 << 30))
print(estimates[-1], resident("VmHWM") - before)
"""


def picture(width: int, height: int, bands: int = 3, *, deep: bool = False) -> pyvips.Image:
    """Noise: what compresses worst."""
    noise = pyvips.Image.gaussnoise(width, height, mean=128, sigma=40, seed=1).cast("uchar")
    image = noise
    for _ in range(bands - 1):
        image = image.bandjoin(noise)
    image = image.copy(interpretation="srgb" if bands > 2 else "b-w")
    return image.colourspace("rgb16") if deep else image


def solid(width: int, height: int, bands: int) -> pyvips.Image:
    return pyvips.Image.black(width, height, bands=bands).copy(interpretation="srgb")


def tiled(image: pyvips.Image) -> bytes:
    return image.tiffsave_buffer(tile=True, tile_width=2048, tile_height=2048)


def progressive(image: pyvips.Image) -> bytes:
    return image.jpegsave_buffer(interlace=True, subsample_mode="off")


def run(source: bytes, options: str, budget: Budget, frames: int = 1) -> Rendition:
    body = held(source)
    try:
        return pipeline.run(Job(plan(options, max_animation_frames=frames), body), budget).rendition
    finally:
        body.close()


CASES = {
    "jpeg": (lambda: picture(4000, 3000).jpegsave_buffer(Q=80), "w:3500/f:jpg", 1),
    "progressive": (lambda: progressive(picture(4000, 3000)), "w:300/f:jpg", 1),
    "interlaced": (lambda: picture(2500, 2000, 4).pngsave_buffer(interlace=True, compression=1), "w:300/f:png", 1),
    "wide": (lambda: solid(200_000, 40, 4).pngsave_buffer(), "w:300/f:jpg", 1),
    "webp": (lambda: picture(2500, 2000).webpsave_buffer(effort=0), "w:2400/f:jpg", 1),
    "webp lossless": (lambda: picture(2000, 1500, 4).webpsave_buffer(effort=0, lossless=True), "w:300/f:png", 1),
    "avif": (lambda: picture(2500, 2000).heifsave_buffer(compression="av1", effort=0), "w:300/f:jpg", 1),
    "gif": (lambda: charts.quadrants(3000, 2500, ".gif"), "w:300/f:jpg", 1),
    "tiles": (lambda: tiled(picture(3000, 3000)), "w:300/f:jpg", 1),
    "animation": (lambda: charts.counter(20), "w:900/el:1/f:webp", 20),
    "trim": (lambda: charts.quadrants(3500, 3000), "t:5/w:300/f:jpg", 1),
    "to avif": (lambda: charts.quadrants(2000, 1500), "f:avif", 1),
    "to webp": (lambda: picture(2000, 1500, 4).pngsave_buffer(compression=1), "f:webp", 1),
    "to png": (lambda: picture(2000, 1500).pngsave_buffer(compression=1), "f:png", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_no_render_takes_more_than_was_foretold(name: str, tmp_path: Path) -> None:
    make, options, frames = CASES[name]
    file = tmp_path / "source"
    file.write_bytes(make())
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file), options, str(frames)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "VIPS_CONCURRENCY": "1", "MALLOC_ARENA_MAX": "2"},
    )
    foretold, taken = map(int, measured.stdout.split())
    # The process's own growth: codecs' tables, Python's modules.
    assert taken <= foretold + (8 << 20)
    # And it is no blind guess: what is large is foretold within a factor of four.
    assert taken < 40 << 20 or foretold < 4 * taken


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"", *, interlace: int = 0, depth: int = 8, more: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, 6, 0, 0, interlace)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more
    return start + chunk(b"IDAT", data or zlib.compress(bytes(height * (width * depth // 2 + 8)))) + chunk(b"IEND", b"")


def test_ordinary_cameras_are_let_in() -> None:
    fifty = pyvips.Image.black(8660, 5773, bands=3).copy(interpretation="srgb")
    jpeg: bytes = fifty.jpegsave_buffer()
    for source in (jpeg, fifty.jpegsave_buffer(subsample_mode="off", interlace=True)):
        assert run(source, "w:300/f:jpg", Budget()).width == 300
    body = held(jpeg)
    picture = read_header(body, Limits())
    # As large as it is, in the formats of photographs.
    for format_ in (JPEG, WEBP, PNG):
        whole = costs.Result(format_, picture.size, 1, bands=3, alpha=False, sample=1)
        costs.check_result(whole, costs.check_load(picture, picture.size, Budget()), plan().encoding, Budget())
    body.close()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (png(400_000, 32, interlace=1, depth=16), "a PNG of 400000x32 takes about"),
        (png(250_000, 60), "a PNG of 250000x60 takes about"),
    ],
    ids=["interlaced", "wide"],
)
def test_what_would_take_too_much_is_refused_at_once(source: bytes, said: str) -> None:
    start = time.monotonic()
    with pytest.raises(SourceTooExpensive, match=f"{said} .* are allowed"):
        run(source, "w:300/f:jpg", Budget())
    assert time.monotonic() - start < 0.2


def test_the_budget_decides() -> None:
    source = picture(3000, 2000).jpegsave_buffer(interlace=True, subsample_mode="off")
    assert run(source, "w:300/f:jpg", Budget()).width == 300
    with pytest.raises(SourceTooExpensive, match=r"a JPEG of 3000x2000 takes about 5. MB, 2. MB are allowed"):
        run(source, "w:300/f:jpg", Budget(memory=32 << 20))


def test_a_wish_too_large_is_the_urls_fault() -> None:
    source, budget = charts.quadrants(400, 300), Budget(memory=128 << 20)
    assert run(source, "rs:force:1200:1200:1/f:avif", budget).width == 1200
    with pytest.raises(ResultTooLarge, match="an AVIF of 3000x3000 has 9000000 pixels"):
        run(source, "rs:force:3000:3000:1/f:avif", budget)
    # Other encoders take less.
    assert run(source, "rs:force:2400:2400:1/f:jpg", budget).width == 2400


def test_trimming_loads_the_source_whole() -> None:
    source = charts.quadrants(4500, 4000, ".jpg")
    budget = Budget(memory=80 << 20)
    assert run(source, "w:300/f:jpg", budget).width == 300
    with pytest.raises(SourceTooExpensive):
        run(source, "t:5/w:300/f:jpg", budget)


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_what_is_packed_beside_the_pixels_is_not_unpacked_far(kind: bytes) -> None:
    start = {b"iCCP": b"icc\0\0", b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0en\0\0"}[kind]
    for size, refused in ((1 << 20, False), (5 << 20, True)):
        source = png(9, 9, more=chunk(kind, start + zlib.compress(bytes(size))))
        if refused:
            with pytest.raises(SourceTooExpensive, match="packed text and profile"):
                run(source, "f:jpg", Budget())
        else:
            assert run(source, "f:jpg", Budget()).width == 9


def test_files_that_cannot_hold_their_pixels_are_broken() -> None:
    jpeg: bytes = charts.quadrants(300, 200, ".jpg")
    at = jpeg.index(b"\xff\xc0") + 5
    huge = jpeg[:at] + struct.pack(">HH", 6000, 8000) + jpeg[at + 4 :]
    for source in (png(7000, 7000, zlib.compress(b"")), huge):
        with pytest.raises(BrokenImage, match="cannot hold"):
            run(source, "w:300/f:jpg", Budget())


def test_solid_pictures_may_be_tiny() -> None:
    solid = pyvips.Image.black(4000, 3000, bands=3).copy(interpretation="srgb")
    bodies = [solid.write_to_buffer(suffix) for suffix in (".png", ".jpg")]
    bodies += [solid.webpsave_buffer(lossless=True, effort=0), solid.tiffsave_buffer(compression="deflate")]
    for body in bodies:
        assert run(body, "w:300/f:jpg", Budget()).width == 300


def test_an_avif_is_as_large_as_it_is_coded() -> None:
    body = bytearray(pyvips.Image.black(2000, 2000, bands=3).heifsave_buffer(compression="av1", effort=0))
    at = body.index(b"ispe") + 8
    body[at : at + 8] = struct.pack(">II", 64, 64)
    with pytest.raises(SourceTooExpensive, match=r"an AVIF of 64x64 takes about 8. MB"):
        run(bytes(body), "f:jpg", Budget(memory=100 << 20))


def test_a_watermark_keeps_the_same_budget() -> None:
    with pytest.raises(WatermarkMissing, match="takes about"):
        render(charts.quadrants(60, 40), "wm:1", mark=png(250_000, 60))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".tiff", ".avif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_cut_file_is_never_a_grey_picture(suffix: str, share: float) -> None:
    source = picture(400, 300).write_to_buffer(suffix)
    with pytest.raises(BrokenImage):
        render(source[: int(len(source) * share)], "w:100/f:png")
