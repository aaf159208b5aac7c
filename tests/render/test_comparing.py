from __future__ import annotations

import math

import pytest
import pyvips

from imgproxy.render.comparing import compare, decoded
from tests import charts


def flat(grey: int, suffix: str = ".png", alpha: int | None = None) -> bytes:
    bands = [grey] * 3 if alpha is None else [grey] * 3 + [alpha]
    image = pyvips.Image.black(40, 30, bands=len(bands)) + bands
    return image.cast("uchar").copy(interpretation="srgb").write_to_buffer(suffix)


def test_the_same() -> None:
    same = compare(charts.quadrants(), charts.quadrants())
    assert same is not None
    assert (same.mean, same.largest, same.psnr) == (0, 0, math.inf)
    assert same.ssim == pytest.approx(1)
    assert pyvips.Image.new_from_buffer(same.picture, "").max() == 0


def test_a_difference_is_measured_and_drawn_eight_times_as_strong() -> None:
    found = compare(flat(100), flat(110))
    assert found is not None
    assert (found.mean, found.largest) == (10, 10)
    assert found.psnr == pytest.approx(20 * math.log10(255 / 10))
    # Flat pictures: only the term of the means is left (Wang et al. 2004).
    assert found.ssim == pytest.approx((2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025), abs=1e-4)
    picture = pyvips.Image.new_from_buffer(found.picture, "")
    assert (picture.width, picture.height, picture.min(), picture.max()) == (40, 30, 80, 80)


def test_what_blurs_is_less_like_it_than_what_compresses() -> None:
    sharp = pyvips.Image.new_from_buffer(charts.quadrants(), "")
    blurred = compare(charts.quadrants(), sharp.gaussblur(4).pngsave_buffer())
    compressed = compare(charts.quadrants(), sharp.jpegsave_buffer(Q=90))
    assert blurred is not None
    assert compressed is not None
    assert blurred.ssim < compressed.ssim < 1


def test_other_sizes_are_not_compared() -> None:
    assert compare(charts.quadrants(300, 200), charts.quadrants(300, 201)) is None


@pytest.mark.parametrize("body", [charts.grey(), charts.deep(), charts.palette(), charts.counter(), charts.svg()])
def test_every_picture_is_decoded_alike(body: bytes) -> None:
    image = decoded(body)
    assert (image.bands, image.format, image.interpretation) == (3, "uchar", "srgb")


def test_transparency_is_laid_over_white() -> None:
    assert decoded(flat(0, alpha=0)).min() == 255
    assert decoded(flat(0, alpha=255)).max() == 0
