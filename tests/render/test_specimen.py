from __future__ import annotations

import pyvips

from imgproxy.render.specimen import libvips_version, photograph


def test_a_picture_like_a_photograph() -> None:
    body = photograph(600, 400)
    picture = pyvips.Image.new_from_buffer(body, "", fail_on="truncated")
    assert (picture.width, picture.height, picture.bands) == (600, 400, 3)
    # A photograph's JPEG has one to four bits a pixel at this quality; noise has more, a drawing less.
    assert 1 < 8 * len(body) / (600 * 400) < 4
    assert picture.colourspace("b-w").deviate() > 25
    assert photograph(600, 400) == body


def test_the_version_is_libvips() -> None:
    assert libvips_version().startswith("8.")
