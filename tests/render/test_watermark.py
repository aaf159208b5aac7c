"""Marks: what pictures cannot say of them."""

from __future__ import annotations

import pytest

from tests import charts
from tests.render.rendering import largest, opened, render, rendered


def test_without_a_configured_mark_nothing_happens() -> None:
    assert render(charts.quadrants(60, 40), "wm:1").body == render(charts.quadrants(60, 40)).body


def test_opacities_multiply() -> None:
    source = charts.quadrants()
    half = rendered(source, "wm:0.5", mark=charts.mark())
    assert largest((half - rendered(source, "wm:1", mark=charts.mark(), watermark_opacity=0.5)).abs()) <= 1
    quarter = rendered(source, "wm:0.5", mark=charts.mark(), watermark_opacity=0.5)
    plain = rendered(source)
    assert (half - plain).abs().avg() == pytest.approx(2 * (quarter - plain).abs().avg(), rel=0.05)


def test_a_mark_adds_no_transparency_and_takes_none() -> None:
    assert rendered(charts.quadrants(), "wm:1", mark=charts.mark()).bands == 3
    image = rendered(charts.alpha_disc(), "wm:1:nowe", mark=charts.mark())
    assert image.bands == 4
    assert image(0, 299)[3] == 0
    assert image(60, 24)[3] > 120  # the plate, where the disc is not


def test_a_grey_image_takes_the_colour_of_its_mark() -> None:
    assert rendered(charts.grey(), "wm:1", mark=charts.mark()).bands == 3
    assert rendered(charts.grey(), "wm:1", mark=charts.grey(40, 30)).bands == 1
    assert rendered(charts.deep(1), "wm:1/ph:1", mark=charts.grey(40, 30)).format == "ushort"


@pytest.mark.parametrize(
    "mark",
    [
        charts.svg(40, 30),
        charts.cmyk(40, 30),
        charts.deep(3, 40, 30),
        charts.palette(40, 30),
        charts.counter(),
        charts.wide(),
    ],
    ids=["svg", "cmyk", "16 bit", "palette", "animation", "display p3"],
)
def test_a_mark_may_be_any_picture(mark: bytes) -> None:
    plain = rendered(charts.grey(200, 200))
    image = rendered(charts.grey(200, 200), "wm:1:ce:0:0:0.2", mark=mark)
    assert (image.width, image.height) == (200, 200)
    assert max(image(100, 100)) != plain(100, 100)[0] or image(95, 95) != plain(95, 95)
    assert image(5, 100)[0] == plain(5, 100)[0]


def test_a_mark_lies_upright() -> None:
    plain = charts.grey(400, 400)
    upright = rendered(plain, "wm:1", mark=charts.oriented(1, ".png"))
    for n in (3, 6, 8):
        assert largest((rendered(plain, "wm:1", mark=charts.oriented(n, ".png")) - upright).abs()) == 0


def test_a_mark_lies_on_every_frame_alike() -> None:
    options = "wm:1:nowe:0:0:0.4/f:gif"
    result = render(charts.counter(3), options, mark=charts.mark(), max_animation_frames=3)
    frames = opened(result.body, n=-1)
    corners = [frames.crop(0, n * 120, 50, 15) for n in range(3)]
    for corner in corners:
        assert largest(corner[0]) > 220  # the letters


def test_a_mark_keeps_its_hidden_colours_hidden() -> None:
    # Magenta outside the plate, fully transparent; scaled up it would come through if not premultiplied.
    image = rendered(charts.grey(400, 400), "wm:1:ce:0:0:0.9", mark=charts.mark())
    assert largest((image[0] - image[1]).abs()) < 12


@pytest.mark.parametrize(
    "options", ["wm:1:re:-50:-50:0.2", "wm:1:re:5000:5000", "wm:1:ce:9999:9999", "wm:1:ce:0:0:0.001"]
)
def test_strange_numbers_do_no_harm(options: str) -> None:
    image = rendered(charts.quadrants(300, 200), options, mark=charts.mark())
    assert (image.width, image.height) == (300, 200)
