"""Results made by way of a mezzanine are those that are made of the source itself, as far as anybody can see."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import pytest
import pyvips

from imgproxy.caches.mezzanines import may_share
from imgproxy.model import Job, Mezzanine, Rendition
from imgproxy.options import OPTIONS, Placeholder
from imgproxy.render import pipeline
from imgproxy.render.budget import Budget
from tests import charts
from tests.render.rendering import held, opened, plan

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH, HEIGHT = 2960, 2220
WORST_DB = 44


@pytest.fixture(scope="module")
def photograph() -> bytes:
    """6.6 MP with large shapes, fine texture and edges, as a JPEG with 4:2:0."""
    noise = pyvips.Image.gaussnoise(WIDTH, HEIGHT, mean=0, sigma=40, seed=5)
    xyz = pyvips.Image.xyz(WIDTH, HEIGHT)
    waves = ((xyz[0] * xyz[1]) / 3e4).sin() * 50
    ramps = (xyz[0] * (160 / WIDTH)).bandjoin([xyz[1] * (160 / HEIGHT), 90])
    image = ramps * 0.7 + waves * 0.6 + noise.gaussblur(2) * 2 + 70
    image = image.draw_rect([250, 240, 30], 900, 700, 500, 300, fill=True)
    return image.cast("uchar").copy(interpretation="srgb").jpegsave_buffer(Q=90)


@pytest.fixture(scope="module")
def halves(photograph: bytes) -> Iterator[Mezzanine]:
    """Its mezzanine."""
    fd = os.memfd_create("mezzanine")
    yield made(photograph, fd)
    os.close(fd)


@pytest.fixture
def file() -> Iterator[int]:
    fd = os.memfd_create("mezzanine")
    yield fd
    os.close(fd)


def run(source: bytes, options: str, mezzanine: Mezzanine | None = None, memory: int = 768 << 20) -> pipeline.Report:
    body = held(source)
    try:
        return pipeline.run(Job(plan(options), body, None, mezzanine), Budget(memory))
    finally:
        body.close()


def made(source: bytes, file: int) -> Mezzanine:
    return Mezzanine(file, run(source, "rs:fit:300:300", Mezzanine(file)).raster)


def difference(one: Rendition, other: Rendition) -> float:
    """PSNR in dB."""
    first, second = opened(one.body), opened(other.body)
    assert (first.width, first.height, first.bands) == (second.width, second.height, second.bands)
    error = ((first - second) ** 2).avg()
    return 10 * math.log10(255**2 / error) if error else math.inf


def shareable() -> list[str]:
    """Every way to shape a picture: the options' own examples, at a size that a mezzanine serves."""
    drawing = [option for option in OPTIONS if option.effect == "pixels" and option is not Placeholder]
    examples = [text for option in drawing for text in option.examples]
    sized = (
        text
        if {"rs", "w", "h", "s"} & {each.partition(":")[0] for each in text.split("/")}
        else f"rs:fit:400:400/{text}"
        for text in examples
    )
    return sorted({text for text in sized if may_share(plan(text))})


@pytest.mark.parametrize("options", shareable())
def test_every_option_gives_the_same_picture(photograph: bytes, halves: Mezzanine, options: str) -> None:
    direct = run(photograph, f"{options}/f:png").rendition
    assert difference(run(photograph, f"{options}/f:png", halves).rendition, direct) >= WORST_DB


def test_what_is_made_on_the_way_is_what_is_made_of_it(photograph: bytes, halves: Mezzanine, file: int) -> None:
    assert run(photograph, "w:300", Mezzanine(file)).rendition == run(photograph, "w:300", halves).rendition


def test_halves_are_the_decoders_own(photograph: bytes, halves: Mezzanine) -> None:
    options = "rs:fit:700:700/f:webp"
    raster = halves.raster
    assert raster is not None
    assert (raster.width, raster.height, raster.bands) == (WIDTH // 2, HEIGHT // 2, 3)
    assert os.fstat(halves.fd).st_size == raster.bytes
    assert run(photograph, options, halves).rendition == run(photograph, options).rendition


def test_profile_and_owner_come_from_the_source(file: int) -> None:
    source = pyvips.Image.black(WIDTH, HEIGHT, bands=3).linear([1.0, 1.0, 1.0], [200, 40, 40], uchar=True)
    source = source.copy(interpretation="srgb").icc_export(output_profile="p3")
    source.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Copyright", "Zoe")
    source.set_type(pyvips.GValue.gint_type, "orientation", 6)
    body: bytes = source.jpegsave_buffer()
    mezzanine = made(body, file)
    assert mezzanine.raster is not None
    for options in ("rs:fit:300:300/f:jpg", "rs:fit:300:300/f:jpg/scp:0"):
        direct = run(body, options).rendition
        assert run(body, options, mezzanine).rendition == direct
    assert b"Zoe" in direct.body
    assert (direct.width, direct.height) == (225, 300)


@pytest.mark.parametrize(
    "options",
    ["rs:fit:1500:1500", "rs:fit:3000:3000", "c:500:500/rs:fit:300:300", "t:10/rs:fit:300:300", "raw:0"],
)
def test_results_that_need_more_of_the_source_are_made_of_it(
    photograph: bytes, halves: Mezzanine, file: int, options: str
) -> None:
    assert run(photograph, options, Mezzanine(file)).raster is None
    assert os.fstat(file).st_size == 0
    assert run(photograph, options, halves).rendition == run(photograph, options).rendition


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".gif", ".webp"])
def test_other_formats_have_none(suffix: str, file: int) -> None:
    source = pyvips.Image.black(2600, 2400, bands=3).copy(interpretation="srgb").cast("uchar")
    assert run(source.write_to_buffer(suffix), "rs:fit:300:300", Mezzanine(file)).raster is None


def test_small_sources_and_other_colours_have_none(photograph: bytes, file: int) -> None:
    small = pyvips.Image.new_from_buffer(photograph, "").resize(0.85)
    cmyk = pyvips.Image.black(2600, 2400, bands=4).copy(interpretation="cmyk").cast("uchar")
    clear = pyvips.Image.black(2600, 2400, bands=4).copy(interpretation="srgb").cast("uchar")
    for source in (
        small.jpegsave_buffer(),
        cmyk.jpegsave_buffer(),
        clear.webpsave_buffer(),
        charts.counter(3, ".webp"),
    ):
        assert run(source, "rs:fit:300:300", Mezzanine(file)).raster is None


def test_giants_are_shrunk_more(file: int) -> None:
    body: bytes = pyvips.Image.black(9000, 4000, bands=1).copy(interpretation="b-w").cast("uchar").jpegsave_buffer()
    raster = made(body, file).raster
    assert raster is not None
    assert (raster.width, raster.height, raster.bands) == (2250, 1000, 1)


def test_one_is_made_only_where_there_is_memory_for_it(photograph: bytes, file: int) -> None:
    enough = next(mib for mib in range(8, 768, 2) if not isinstance(_tried(photograph, None, mib), Exception))
    assert not isinstance(_tried(photograph, Mezzanine(file), enough), Exception), "it must not cost the result"
    assert run(photograph, "rs:fit:300:300", Mezzanine(file), enough << 20).raster is None


def _tried(source: bytes, mezzanine: Mezzanine | None, mib: int) -> object:
    try:
        return run(source, "rs:fit:300:300", mezzanine, mib << 20)
    except Exception as error:  # noqa: BLE001 - it is looked at
        return error
