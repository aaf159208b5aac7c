"""Colours come out as they were meant, with and without their profile."""

from __future__ import annotations

from typing import Any

import pytest
import pyvips

from imgproxy.formats import FORMATS
from tests import charts
from tests.charts import NORTH_EAST, NORTH_WEST, SOUTH_EAST, SOUTH_WEST, Colour
from tests.render.rendering import largest, opened, render, rendered

FIELDS = {(15, 15): NORTH_WEST, (285, 15): NORTH_EAST, (15, 185): SOUTH_WEST, (285, 185): SOUTH_EAST}
"""A place on no line of the grid in each of the 300 x 200 quadrants."""
PROFILE = "icc-profile-data"

# IEC 61966-2-1 and SMPTE EG 432-1: linear Display P3 to linear sRGB, both with D65 white.
P3_TO_SRGB = ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979))


def srgb_of_p3(colour: Colour) -> Colour:
    linear = [(v / 12.92) if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (part / 255 for part in colour)]
    mixed = [sum(weight * part for weight, part in zip(row, linear, strict=True)) for row in P3_TO_SRGB]
    clipped = [min(1.0, max(0.0, part)) for part in mixed]
    red, green, blue = (round(255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)) for v in clipped)
    return red, green, blue


def near(pixel: list[float], colour: Colour, tolerance: int) -> bool:
    return all(abs(one - other) <= tolerance for one, other in zip(pixel, colour, strict=False))


def profiled(image: pyvips.Image, profile: Any, suffix: str = ".png") -> bytes:
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    body: bytes = image.write_to_buffer(suffix)
    return body


def p3_profile() -> bytes:
    profile = pyvips.Image.profile_load("p3")
    assert isinstance(profile, bytes)
    return profile


def test_display_p3_becomes_srgb() -> None:
    image = rendered(charts.wide())
    for place, colour in FIELDS.items():
        assert near(image(*place), srgb_of_p3(colour), 3)
        assert not near(image(*place), colour, 3)


def test_display_p3_stays_what_it_is_with_its_profile() -> None:
    image = rendered(charts.wide(), "scp:0")
    assert image.get(PROFILE) == p3_profile()
    for place, colour in FIELDS.items():
        assert tuple(image(*place)) == colour


@pytest.mark.parametrize("format_", [each for each in FORMATS if each.writable], ids=lambda each: each.name)
def test_profiles_are_dropped_by_default_and_kept_when_asked_for(format_: object) -> None:
    name, can = format_.name, format_.profile  # type: ignore[attr-defined]
    assert not opened(render(charts.wide(), f"f:{name}").body).get_typeof(PROFILE)
    assert bool(opened(render(charts.wide(), f"scp:0/f:{name}").body).get_typeof(PROFILE)) == can
    # Also when other metadata stays.
    assert not opened(render(charts.wide(), f"sm:0/f:{name}").body).get_typeof(PROFILE)


def test_a_format_without_profiles_is_given_srgb() -> None:
    image = opened(render(charts.wide(), "scp:0/f:gif").body)
    assert near(image(15, 15), srgb_of_p3(NORTH_WEST), 8)


def test_profiles_do_not_touch_alpha() -> None:
    image = opened(charts.alpha_disc())
    result = rendered(profiled(image, p3_profile()))
    assert largest((result[3] - image[3]).abs()) == 0
    assert near(result(150, 150), srgb_of_p3((240, 140, 20)), 3)


def test_cmyk_becomes_srgb() -> None:
    image = rendered(charts.cmyk())
    assert image.bands == 3
    assert image.interpretation == "srgb"
    for place, colour in FIELDS.items():
        # What the inks cannot print was lost when the chart was made: the blue, mostly.
        assert near(image(*place), colour, 45), image(*place)
    assert near(image(285, 185), SOUTH_EAST, 6)


@pytest.mark.parametrize("format_", ["jpg", "tiff"])
def test_cmyk_stays_what_it_is_with_its_profile(format_: str) -> None:
    image = opened(render(charts.cmyk(), f"scp:0/w:150/f:{format_}").body)
    assert image.interpretation == "cmyk"
    assert image.get(PROFILE) == opened(charts.cmyk()).get(PROFILE)
    assert near(image.icc_import(embedded=True).colourspace("srgb")(142, 92), SOUTH_EAST, 12)


@pytest.mark.parametrize("options", ["scp:0/f:webp", "scp:0/f:png", "scp:0/pd:9/f:tiff"])
def test_cmyk_is_srgb_where_it_cannot_be_kept(options: str) -> None:
    image = opened(render(charts.cmyk(), options).body)
    assert image.interpretation == "srgb"
    assert not image.get_typeof(PROFILE)


def test_other_spaces_become_srgb() -> None:
    chart = opened(charts.quadrants(300, 200))
    for space in ("lab", "labs"):
        image = rendered(chart.colourspace(space).tiffsave_buffer())
        assert near(image(15, 15), NORTH_WEST, 3), space


def test_bands_without_a_meaning_are_colours_or_grey() -> None:
    chart = opened(charts.quadrants(300, 200))
    for bands, expected in ((chart.bandjoin([chart[0], chart[1]]), 3), (chart[:1].bandjoin(chart[1]), 1)):
        image = rendered(bands.copy(interpretation="multiband").tiffsave_buffer())
        assert image.bands >= expected
        assert abs(image(15, 15)[0] - NORTH_WEST[0]) <= 1


@pytest.mark.parametrize("kind", ["float", "uint"])
def test_numbers_of_other_kinds_are_cut_to_eight_bits(kind: str) -> None:
    grey = opened(charts.grey())
    image = rendered(grey.cast(kind).tiffsave_buffer())
    assert image.format == "uchar"
    assert abs(image(15, 15)[0] - grey(15, 15)[0]) <= 1


def test_a_huge_profile_is_left_out() -> None:
    huge = p3_profile() + bytes(5 << 20)
    image = opened(render(profiled(opened(charts.quadrants(300, 200)), huge, ".jpg"), "scp:0").body)
    assert not image.get_typeof(PROFILE)
    assert near(image(15, 15), NORTH_WEST, 15)


def test_cmyk_with_a_broken_profile_is_taken_for_usual_cmyk() -> None:
    inks = opened(charts.cmyk())
    image = rendered(profiled(inks, b"no profile" * 20, ".jpg"))
    assert near(image(285, 185), SOUTH_EAST, 12)


@pytest.mark.parametrize("profile", [b"no profile" * 20, b"\0" * 4096])
def test_a_broken_profile_says_nothing(profile: bytes) -> None:
    image = rendered(profiled(opened(charts.quadrants(300, 200)), profile))
    assert tuple(image(15, 15)) == NORTH_WEST
    assert not image.get_typeof(PROFILE)


def test_a_profile_for_another_kind_of_image_says_nothing() -> None:
    grey = opened(charts.grey())
    image = rendered(profiled(grey, p3_profile()))
    assert image.bands == 1
    assert image(15, 15) == grey(15, 15)
    inks: object = pyvips.Image.profile_load("cmyk")
    assert isinstance(inks, bytes)
    image = rendered(profiled(opened(charts.quadrants(300, 200)), inks))
    assert tuple(image(15, 15)) == NORTH_WEST


def test_the_usual_srgb_profile_is_skipped() -> None:
    # Manufacturer and model of HP's profile in a profile that would shift every colour.
    profile = p3_profile()
    skipped = profile[:48] + b"IEC sRGB" + profile[56:]
    image = rendered(profiled(opened(charts.quadrants(300, 200)), skipped))
    assert tuple(image(15, 15)) == NORTH_WEST
    assert not image.get_typeof(PROFILE)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_grey_stays_grey(suffix: str) -> None:
    source = charts.grey(suffix=suffix)
    for options in ("", "w:100", "bl:2", "sh:1", "pix:5", "bg:808080/pd:5"):
        assert rendered(source, options).bands == 1, options
    assert rendered(source, "pd:5").bands == 2
    assert rendered(source, "bg:ffcc00/pd:5").bands == 3
    assert tuple(rendered(source, "bg:ffcc00/pd:5")(1, 1)) == (255, 204, 0)


def test_sixteen_bits_become_the_nearest_eight() -> None:
    image = rendered(charts.deep(1))
    assert image.format == "uchar"
    for x in (0, 100, 256, 400, 511):
        assert image(x, 60)[0] == pytest.approx(255 * x / 511, abs=1.5)


def test_sixteen_bits_keep_more_than_two_hundred_and_fifty_six_levels() -> None:
    image = rendered(charts.deep(1), "ph:1")
    assert len({image(x, 60)[0] for x in range(512)}) == 512
    assert image(511, 60)[0] > 65000


@pytest.mark.parametrize(("format_", "levels"), [("avif", 300), ("tiff", 500)])
def test_deep_formats_carry_the_levels(format_: str, levels: int) -> None:
    image = opened(render(charts.deep(1), f"ph:1/q:100/f:{format_}").body)
    assert len({image(x, 60)[0] for x in range(512)}) > levels


def test_sixteen_bits_are_flattened_on_the_colour_that_was_meant() -> None:
    image = rendered(charts.deep(), "ph:1/pd:4/bg:ff8000")
    assert image.format == "ushort"
    assert near(image(1, 1), (65535, 128 * 257, 0), 2)


def test_sixteen_bit_display_p3_becomes_srgb() -> None:
    wide = (opened(charts.quadrants(300, 200)) * 257).cast("ushort").copy(interpretation="rgb16")
    image = rendered(profiled(wide, p3_profile()), "ph:1")
    assert image.format == "ushort"
    red, green, blue = srgb_of_p3(NORTH_WEST)
    assert near(image(15, 15), (red * 257, green * 257, blue * 257), 3 * 257)


@pytest.mark.parametrize("options", ["w:100", "w:100/ph:1"])
def test_fine_detail_keeps_its_light_in_linear_light(options: str) -> None:
    # Black and white lines of one pixel: half the light is 188 in sRGB, half the numbers is 128.
    lines = (pyvips.Image.xyz(400, 40)[0] % 2 * 255).cast("uchar").copy(interpretation="b-w").colourspace("srgb")
    source = (lines.colourspace("rgb16") if "ph" in options else lines).pngsave_buffer()
    unit = 257 if "ph" in options else 1
    assert rendered(source, options).avg() / unit == pytest.approx(127.5, abs=2)
    assert rendered(source, options, use_linear_colorspace=True).avg() / unit == pytest.approx(188, abs=3)


def test_linear_light_leaves_alpha_as_it_is() -> None:
    plain, linear = (rendered(charts.alpha_disc(), "w:100", use_linear_colorspace=on) for on in (False, True))
    assert largest((plain[3] - linear[3]).abs()) <= 1
    assert near(linear(50, 50), (240, 140, 20), 2)
    assert linear.interpretation == "srgb"


def test_linear_light_leaves_grey_grey() -> None:
    image = rendered(charts.grey(), "w:100", use_linear_colorspace=True)
    assert image.bands == 1
    assert (image - rendered(charts.grey(), "w:100")).abs().avg() < 5
