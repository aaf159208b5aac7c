"""Turning and filters."""

from __future__ import annotations

import pytest
import pyvips

from imgproxy.options import EFFECTS, AutoRotate, Blur, Flip, Option, Options, Pixelate, Rotate, Sharpen
from imgproxy.options.base import as_effect
from tests.options.reading import read, refusal


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("ar:0", [AutoRotate(False)]),
        ("auto_rotate:true", []),
        ("ar:whatever", [AutoRotate(False)]),  # no error: false
        ("rot:90", [Rotate(90)]),
        ("rotate:180", [Rotate(180)]),
        ("rot:-90", [Rotate(270)]),
        ("rot:450", [Rotate(90)]),
        ("rot:360", []),
        ("rot:90/rot:0", []),
        ("fl:1", [Flip(True)]),
        ("flip:0:1", [Flip(False, True)]),
        ("fl:t:T", [Flip(True, True)]),
        ("fl:1/fl::1", [Flip(True, True)]),
        ("fl:1:1/fl:0", [Flip(False, True)]),
        ("bl:2.5", [Blur(2.5)]),
        ("blur:0", []),
        ("sh:0.7", [Sharpen(0.7)]),
        ("sharpen:1", [Sharpen(1)]),
        ("pix:8", [Pixelate(8)]),
        ("pixelate:0", []),
    ],
)
def test_read(text: str, options: list[Option]) -> None:
    assert read(text) == Options.of(*options)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("rot:45", "rot: expected a multiple of 90, got '45'"),
        ("rot:x", "multiple of 90"),
        ("rot:90.0", "multiple of 90"),
        ("rot:90:90", "at most 1"),
        ("ar:1:1", "at most 1"),
        ("fl:1:1:1", "fl: expected at most 2"),
        ("bl:-1", "bl: expected a number, 0 or more px, got '-1'"),
        ("bl:1:1", "at most 1"),
        ("sh:-1", "sh: expected a number, 0 or more px"),
        ("pix:-1", "pix: expected a whole number"),
        ("pix:1.5", "pix: expected a whole number"),
    ],
)
def test_refused(segment: str, reason: str) -> None:
    assert reason in refusal(segment)


STRIPES = pyvips.Image.xyz(40, 30).extract_band(0).cast("uchar").linear([6], [0], uchar=True).copy(interpretation="b-w")


def pixels(image: pyvips.Image) -> list[int]:
    return list(image.write_to_memory())


@pytest.mark.parametrize("effect", [Blur(), Sharpen(), Pixelate(), Pixelate(1)])
def test_an_effect_of_nothing_changes_nothing(effect: Option) -> None:
    assert as_effect(effect).apply(STRIPES) is STRIPES


@pytest.mark.parametrize("effect", [Blur(3), Sharpen(3), Pixelate(7), Pixelate(2000)])
def test_an_effect_changes_pixels_and_keeps_the_size(effect: Option) -> None:
    assert type(effect) in EFFECTS
    image = as_effect(effect).apply(STRIPES)
    assert (image.width, image.height, image.bands) == (40, 30, 1)
    assert pixels(image.cast("uchar")) != pixels(STRIPES)


def test_blocks_have_the_mean_of_what_they_cover_also_at_the_edge() -> None:
    image = Pixelate(16).apply(STRIPES)
    first, last = image.getpoint(0, 0)[0], image.getpoint(39, 29)[0]
    assert first == pytest.approx(sum(range(16)) / 16 * 6, abs=1)
    # 32 to 39, mirrored: the mean is theirs, not that of the left.
    assert last == pytest.approx(sum(range(32, 40)) / 8 * 6, abs=1)
