"""Encoding: what each setting and each option does to the file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
import pyvips

from imgproxy.options import (
    OPTIONS,
    FormatQuality,
    KeepCopyright,
    MaxBytes,
    PreserveHdr,
    Quality,
    ResultFormat,
    StripMetadata,
)
from tests import charts
from tests.render.rendering import largest, opened, render

if TYPE_CHECKING:
    from imgproxy.options.base import Option

LOSSY = ("jpg", "webp", "avif", "tiff")


def photograph() -> bytes:
    """A JPEG with what cameras and agencies write: maker, owner, orientation."""
    image = opened(charts.oriented(6)).copy()
    for name, text in (("Make", "Camera"), ("Copyright", "Zoe"), ("Artist", "Ann")):
        image.set_type(pyvips.GValue.gstr_type, f"exif-ifd0-{name}", text)
    body: bytes = image.jpegsave_buffer(Q=90)
    return body


def exif(body: bytes) -> dict[str, str]:
    image = opened(body)
    return {
        name.removeprefix("exif-ifd0-"): str(image.get(name)).split(" (")[0].strip()
        for name in image.get_fields()
        if name.startswith("exif-ifd0-")
    }


@pytest.mark.parametrize("format_", LOSSY)
def test_better_quality_takes_more_bytes(format_: str) -> None:
    sizes = [len(render(charts.gradient(), f"q:{quality}/f:{format_}").body) for quality in (5, 25, 50, 75, 95)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 1.5 * sizes[0]


@pytest.mark.parametrize("format_", LOSSY)
def test_the_file_fits_its_budget(format_: str) -> None:
    source = charts.quadrants()
    usual = len(render(source, f"q:80/f:{format_}").body)
    lowest = len(render(source, f"q:10/f:{format_}").body)
    budget = (usual + lowest) // 2
    body = render(source, f"q:80/f:{format_}/mb:{budget}").body
    assert len(body) <= budget
    assert opened(body).width == 600


@pytest.mark.parametrize("format_", LOSSY)
def test_an_impossible_budget_ends_at_the_lowest_quality(format_: str) -> None:
    source = charts.quadrants(120, 80)
    body = render(source, f"q:80/f:{format_}/mb:1").body
    assert len(body) <= len(render(source, f"q:10/f:{format_}").body)


def test_a_budget_says_nothing_to_formats_without_quality() -> None:
    source = charts.quadrants(120, 80)
    assert render(source, "f:png/mb:1").body == render(source, "f:png").body
    assert render(source, "f:gif/mb:1").body == render(source, "f:gif").body


def test_a_budget_that_is_kept_changes_nothing() -> None:
    source = charts.quadrants(120, 80)
    assert render(source, "f:jpg/mb:1000000").body == render(source, "f:jpg").body


def test_jpegs_are_progressive_when_asked_for() -> None:
    source = charts.quadrants(120, 80)
    assert b"\xff\xc2" in render(source, "f:jpg", jpeg_progressive=True).body
    assert b"\xff\xc2" not in render(source, "f:jpg").body


def test_pngs_are_interlaced_when_asked_for() -> None:
    source = charts.quadrants(120, 80)
    assert header(render(source, "f:png", png_interlaced=True).body)["interlace"] == 1
    assert header(render(source, "f:png").body)["interlace"] == 0
    assert header(render(charts.palette(), png_interlaced=True).body) == {"depth": 4, "colour": 3, "interlace": 1}


def test_pngs_are_quantised_when_asked_for() -> None:
    source = charts.quadrants(120, 80)
    assert header(render(source, "f:png").body)["colour"] == 2
    for colours, depth in ((256, 8), (17, 8), (16, 4), (3, 2), (2, 1)):
        body = render(source, "f:png", png_quantize=True, png_quantization_colors=colours).body
        assert header(body) == {"depth": depth, "colour": 3, "interlace": 0}


def test_palettes_are_kept() -> None:
    for options in ("", "w:120", "c:100:100", "rot:90"):
        assert header(render(charts.palette(), options).body) == {"depth": 4, "colour": 3, "interlace": 0}
    assert header(render(charts.palette(), "f:png/pd:4").body)["colour"] == 3
    assert opened(render(charts.palette(), "pd:4").body).hasalpha()


def header(png: bytes) -> dict[str, int]:
    depth, colour, interlace = struct.unpack_from(">BBxxB", png, 24)
    return {"depth": depth, "colour": colour, "interlace": interlace}


@pytest.mark.parametrize(("format_", "kind"), [("png", "ushort"), ("avif", "ushort"), ("tiff", "ushort")])
@pytest.mark.parametrize("bands", [1, 3])
def test_depth_is_kept_when_asked_for(format_: str, kind: str, bands: int) -> None:
    deep = opened(render(charts.deep(bands), f"w:256/ph:1/f:{format_}").body)
    assert deep.format == kind
    shallow = opened(render(charts.deep(bands), f"w:256/f:{format_}").body)
    assert shallow.format == "uchar"
    if format_ == "avif":
        assert deep.get("heif-bitdepth") == 12
    levels = deep.hist_find()[0] if deep.bands == 1 else deep[0].hist_find()
    assert (levels > 0).avg() > 0  # it is the picture, not a black one
    assert largest(deep[0]) > 60000 > 255 >= largest(shallow[0]) > 240


@pytest.mark.parametrize("format_", ["jpg", "webp", "gif"])
def test_formats_of_eight_bits_are_given_eight(format_: str) -> None:
    image = opened(render(charts.deep(), f"w:256/ph:1/f:{format_}").body)
    assert image.format == "uchar"
    assert largest(image[0]) > 230


def test_eight_bits_stay_eight() -> None:
    assert opened(render(charts.quadrants(60, 40), "ph:1").body).format == "uchar"


def test_effort_and_presets_reach_the_encoders() -> None:
    source = charts.quadrants()
    webp = [len(render(source, "f:webp", webp_effort=effort).body) for effort in (0, 6)]
    assert webp[1] < webp[0]
    assert render(source, "f:webp", webp_preset="text").body != render(source, "f:webp").body
    avif = [render(charts.quadrants(120, 80), "f:avif", avif_speed=speed).body for speed in (9, 5)]
    assert avif[0] != avif[1]


def test_configured_qualities_reach_the_encoders() -> None:
    source = charts.gradient()
    assert render(source, "f:jpg", quality=30).body == render(source, "f:jpg/q:30").body
    assert render(source, "f:webp", format_quality="webp=30").body == render(source, "f:webp/q:30").body
    assert render(source, "f:webp/fq:webp:20", format_quality="webp=30").body == render(source, "f:webp/q:20").body
    assert render(source, "f:webp/fq:webp:20/q:10").body == render(source, "f:webp/q:10").body


@pytest.mark.parametrize("format_", ["jpg", "webp", "png", "avif", "tiff"])
def test_metadata_stays_when_asked_for_but_the_orientation(format_: str) -> None:
    result = render(photograph(), f"sm:0/f:{format_}")
    assert (result.width, result.height) == (300, 200)
    image = opened(result.body)
    assert not image.get_typeof("orientation") or image.get("orientation") == 1
    if format_ != "tiff":  # libvips writes no EXIF into TIFF
        assert {"Make": "Camera", "Copyright": "Zoe", "Artist": "Ann"}.items() <= exif(result.body).items()
    assert exif(result.body).get("Orientation", "1") == "1"


def test_pixels_left_on_their_side_lose_their_tag_too() -> None:
    result = render(photograph(), "sm:0/ar:0")
    assert (result.width, result.height) == (200, 300)
    assert exif(result.body).get("Orientation", "1") == "1"


@pytest.mark.parametrize("format_", ["jpg", "webp", "png", "avif"])
def test_only_the_owners_stay_by_default(format_: str) -> None:
    kept = exif(render(photograph(), f"f:{format_}").body)
    assert kept["Copyright"] == "Zoe"
    assert kept["Artist"] == "Ann"
    assert "Make" not in kept


@pytest.mark.parametrize("format_", ["jpg", "webp", "png", "avif"])
def test_not_even_the_owners_stay_when_they_shall_not(format_: str) -> None:
    image = opened(render(photograph(), f"kcr:0/f:{format_}").body)
    assert not image.get_typeof("exif-data")
    assert exif(render(photograph(), f"f:{format_}", keep_copyright=False).body) == {}


def test_resolution_becomes_72_dpi() -> None:
    source = opened(charts.quadrants(60, 40)).copy(xres=20, yres=20).jpegsave_buffer()
    assert opened(render(source).body).xres == pytest.approx(72 / 25.4, rel=0.02)
    assert opened(render(source, "sm:0").body).xres == pytest.approx(20, rel=0.02)


ENCODING: dict[type[Option], tuple[bytes, str, str]] = {
    # option: source, its segment, what else is asked for
    PreserveHdr: (charts.deep(), "ph:1", "f:png"),
    StripMetadata: (photograph(), "sm:0", ""),
    KeepCopyright: (photograph(), "kcr:0", ""),
    ResultFormat: (charts.quadrants(60, 40), "f:webp", ""),
    Quality: (charts.quadrants(60, 40), "q:50", "f:jpg"),
    FormatQuality: (charts.quadrants(60, 40), "fq:jpeg:70:webp:65:avif:50", "f:jpg"),
    MaxBytes: (charts.quadrants(), "mb:10000", "f:jpg"),
}


def test_every_option_of_the_encoder_is_observed() -> None:
    assert set(ENCODING) == {option for option in OPTIONS if option.effect == "encoding"}


@pytest.mark.parametrize("option", ENCODING, ids=lambda option: option.__name__)
def test_an_option_of_the_encoder_changes_the_file(option: type[Option]) -> None:
    source, segment, rest = ENCODING[option]
    assert segment in option.examples
    with_it, without = render(source, f"{segment}/{rest}"), render(source, rest)
    assert with_it.body != without.body
    assert (with_it.width, with_it.height) == (without.width, without.height)
