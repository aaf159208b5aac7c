from __future__ import annotations

import pytest
import pyvips

from imgproxy.geometry import Size
from imgproxy.options.quality_profile import Profile
from imgproxy.render.light import from_light, to_light
from imgproxy.render.profiles import BALANCED, BEST, FAST, RULES
from imgproxy.render.resize import resized
from tests import charts
from tests.render.rendering import largest, render, rendered


def lines(width: int, height: int) -> pyvips.Image:
    """Black and white lines of one pixel: half the light is 188 in sRGB, half the numbers is 128."""
    return (pyvips.Image.xyz(width, height)[0] % 2 * 255).cast("uchar").copy(interpretation="b-w").colourspace("srgb")


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_every_number_comes_back_from_light(bands: int) -> None:
    ramp = pyvips.Image.identity()
    image = ramp
    for _ in range(bands - 1):
        image = image.bandjoin(ramp)
    image = image.copy(interpretation="b-w" if bands < 3 else "srgb")
    light = to_light(image)
    assert light.format == "ushort"
    back = from_light(light)
    assert (back.format, back.interpretation, back.bands) == ("uchar", image.interpretation, bands)
    assert largest((back - image).abs()) == 0


def test_light_follows_the_curve_of_srgb() -> None:
    light = to_light(pyvips.Image.identity())
    # IEC 61966-2-1: 10/255 lies on the straight part, 188/255 is about half the light.
    assert light(10, 0)[0] == pytest.approx(65535 * 10 / 255 / 12.92, abs=1)
    assert light(188, 0)[0] / 65535 == pytest.approx(0.5029, abs=0.0005)


def test_alpha_is_not_light() -> None:
    ramp = pyvips.Image.identity()
    light = to_light(ramp.bandjoin([ramp, ramp, ramp]).copy(interpretation="srgb"))
    assert light(128, 0)[3] == 128 * 257


def test_what_cannot_be_seen_does_not_shine_through_an_edge() -> None:
    hidden = pyvips.Image.black(100, 100).bandjoin([255, 0, 0])
    red = (pyvips.Image.black(100, 100) + 255).cast("uchar").bandjoin([0, 0, 255])
    picture = red.insert(hidden, 51, 0).crop(0, 0, 100, 100).copy(interpretation="srgb")
    small = resized(picture, Size(20, 20), linear=True)
    assert 0 < small(10, 10)[3] < 255
    assert small(10, 10)[:2] == pytest.approx([255, 0], abs=2)


def test_the_best_profile_resamples_in_linear_light() -> None:
    source = lines(400, 40).pngsave_buffer()
    assert rendered(source, "w:100/qp:best").avg() == pytest.approx(188, abs=3)
    assert rendered(source, "w:100/qp:fast").avg() == pytest.approx(127.5, abs=2)


@pytest.mark.parametrize("options", ["w:100", "w:100/qp:balanced"])
def test_graphics_keep_their_numbers_by_default(options: str) -> None:
    assert rendered(lines(400, 40).pngsave_buffer(), options).avg() == pytest.approx(127.5, abs=2)


def test_large_photographs_are_resampled_in_linear_light_by_default() -> None:
    # Lines of eight pixels: what is left of them after shrinking on load by 4 is two pixels wide.
    wide = (pyvips.Image.xyz(3200, 1600)[0] // 8 % 2 * 255).cast("uchar").copy(interpretation="b-w")
    source = wide.colourspace("srgb").jpegsave_buffer(Q=95)
    assert rendered(source, "w:200").avg() == pytest.approx(188, abs=4)
    assert rendered(source, "w:200/qp:fast").avg() == pytest.approx(127.5, abs=3)
    # Not enough is shrunk on load to pay for it.
    assert rendered(source, "w:1000").avg() == pytest.approx(127.5, abs=3)


def test_nothing_is_enlarged_in_linear_light_unless_configured() -> None:
    source = lines(20, 20).pngsave_buffer()
    best, fast = (rendered(source, f"w:100/el:1/qp:{profile}") for profile in ("best", "fast"))
    assert largest((best - fast).abs()) == 0


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png"])
def test_a_profile_changes_no_size(profile: Profile, suffix: str) -> None:
    result = render(charts.quadrants(3000, 2000, suffix), f"rs:fill:301:207/qp:{profile}")
    assert (result.width, result.height) == (301, 207)


def test_each_profile_has_its_rules() -> None:
    assert set(RULES) == set(Profile)
    assert FAST.margin < BALANCED.margin < BEST.margin


@pytest.mark.parametrize(("profile", "table"), [("fast", 0), ("balanced", 5)])
def test_the_table_of_the_profile_is_written(profile: str, table: int) -> None:
    picture = charts.quadrants(300, 200)
    body = render(picture, f"f:jpg/qp:{profile}").body
    at = body.index(b"\xff\xdb")
    image = rendered(picture)
    other = image.jpegsave_buffer(Q=80, quant_table=table, keep=0)
    assert body[at : at + 69] == other[(start := other.index(b"\xff\xdb")) : start + 69]
