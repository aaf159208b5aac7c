"""The charts are what they claim to be: sizes, tags, frames, depth, profiles."""

from __future__ import annotations

from typing import Any

import pytest
import pyvips

from tests import charts


def opened(body: bytes, **options: Any) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(body, "", **options)


def largest_difference(one: pyvips.Image, other: pyvips.Image) -> float:
    largest = (one - other).abs().max()
    assert isinstance(largest, float)
    return largest


@pytest.mark.parametrize("name", charts.SOURCES)
def test_every_source_decodes_and_is_made_once(name: str) -> None:
    source = charts.SOURCES[name]
    assert opened(source(), fail_on="warning").avg() >= 0
    assert source() is source()


def test_quadrants_have_their_corners_colours_and_a_grid() -> None:
    image = opened(charts.quadrants())
    assert (image.width, image.height, image.bands) == (600, 400, 3)
    for place, colour in (
        ((15, 15), charts.NORTH_WEST),
        ((585, 15), charts.NORTH_EAST),
        ((15, 385), charts.SOUTH_WEST),
        ((585, 385), charts.SOUTH_EAST),
    ):
        assert tuple(image(*place)) == colour
    assert image(590, 15) != image(585, 15)  # a thin line at 590
    assert sum(image(500, 395)) > sum(image(510, 395))  # the line at 500 is bright


def test_quadrants_take_any_size_and_format() -> None:
    image = opened(charts.quadrants(37, 21, ".webp", lossless=True))
    assert (image.width, image.height) == (37, 21)
    assert image.get("vips-loader") == "webpload_buffer"


@pytest.mark.parametrize("fmt", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("n", range(1, 9))
def test_every_orientation_is_upright_once_its_tag_is_obeyed(n: int, fmt: str) -> None:
    stored = opened(charts.oriented(n, fmt))
    assert stored.get("orientation") == n
    assert (stored.width, stored.height) == ((300, 200) if n < 5 else (200, 300))
    upright = opened(charts.oriented(1, fmt))
    # Turned JPEG blocks round differently at the edges of letters.
    assert largest_difference(stored.autorot(), upright) <= (40 if fmt == ".jpg" else 0)
    assert n == 1 or (n < 5 and largest_difference(stored, upright) > 100) or n >= 5


def test_alpha_hides_a_colour_where_it_is_transparent() -> None:
    image = opened(charts.alpha_disc())
    assert image.hasalpha()
    assert image(0, 0) == [255, 0, 255, 0]
    assert image(150, 150) == [240, 140, 20, 255]
    assert 0 < image(20, 150)[3] < 255


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_counter_has_its_frames_delay_and_loop(suffix: str) -> None:
    image = opened(charts.counter(12, suffix, delay=70, loop=3), n=-1)
    assert (image.width, image.height) == (160, 12 * 120)
    assert image.get("page-height") == 120
    assert image.get("n-pages") == 12
    assert image.get("delay") == [70] * 12
    assert image.get("loop") == 3
    first, second = image.crop(0, 0, 160, 120), image.crop(0, 120, 160, 120)
    assert largest_difference(first, second) > 100


def test_deep_has_sixteen_bits() -> None:
    for bands in (1, 3):
        image = opened(charts.deep(bands))
        assert (image.format, image.bands) == ("ushort", bands)
        assert image(511, 127)[0] == 65535
        assert image(100, 0)[0] % 257  # not eight bits stretched


def test_cmyk_has_four_inks_and_a_profile() -> None:
    image = opened(charts.cmyk())
    assert (image.interpretation, image.bands) == ("cmyk", 4)
    assert image.get_typeof("icc-profile-data")
    shown = image.icc_transform("srgb", embedded=True)
    assert shown.bands == 3
    assert shown(15, 25)[0] > 150 > shown(15, 25)[2]  # red is still red


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_p3_is_beyond_srgb(suffix: str) -> None:
    image = opened(charts.p3(suffix))
    assert image.get("icc-profile-data") == pyvips.Image.profile_load("p3")
    ordinary = opened(charts.p3(suffix)).icc_transform("p3", input_profile="srgb", embedded=False)
    assert largest_difference(image, ordinary) > 100  # taking it for sRGB is a visible mistake


def test_grey_and_palette_are_stored_as_such() -> None:
    assert opened(charts.grey()).bands == 1
    assert opened(charts.palette()).get("palette") == 1
    plain = opened(charts.quadrants(300, 200))
    assert largest_difference(opened(charts.palette()), plain) == 0


def test_svg_has_its_size_and_fields() -> None:
    image = opened(charts.svg(120, 80))
    assert (image.width, image.height) == (120, 80)
    assert tuple(image(5, 5)[:3]) == charts.NORTH_WEST
    assert tuple(image(115, 75)[:3]) == charts.SOUTH_EAST


def test_framed_has_the_borders_it_was_asked_for() -> None:
    image = opened(charts.framed(3, 5, 7, 11))
    assert (image.width, image.height) == (210, 136)
    assert image.find_trim(threshold=10, background=list(charts.WHITE)) == [3, 5, 200, 120]


@pytest.mark.parametrize("n", [1, 2, 3, 15])
def test_tiny_is_as_small_as_it_says(n: int) -> None:
    image = opened(charts.tiny(n))
    assert (image.width, image.height) == (n, n)
    assert n == 1 or image(0, 0) != image(1, 0)
