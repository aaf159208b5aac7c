"""ThumbHashes: those of the reference encoder, and what can be read back."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.render.thumbhash import encode
from tests.placeholders import drawn, from_thumbhash

VECTORS = tomllib.loads(Path(__file__).with_name("placeholders.toml").read_text(encoding="utf-8"))
PUBLISHED = [each for each in VECTORS["published"] if "thumbhash" in each]


@pytest.mark.parametrize(
    "picture", VECTORS["picture"], ids=lambda each: f"{each['pattern']}-{each['width']}x{each['height']}"
)
def test_hashes_are_those_of_the_reference_encoder(picture: dict[str, Any]) -> None:
    pixels = drawn(picture["pattern"], picture["width"], picture["height"])
    assert encode(pixels.pixels, pixels.width).hex() == picture["thumbhash"]


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda each: each["thumbhash"])
def test_the_decoder_of_these_tests_is_right(published: dict[str, Any]) -> None:
    found = from_thumbhash(base64.b64decode(published["thumbhash"]))
    assert [found.width, found.height] == published["size"]
    for one, other in zip(found.landmarks, published["pixels"], strict=True):
        assert all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


@given(st.integers(7, 20), st.integers(7, 20), st.tuples(*[st.integers(0, 255)] * 3))
def test_a_flat_picture_comes_back_flat(width: int, height: int, colour: tuple[int, int, int]) -> None:
    code = encode(bytes([*colour, 255]) * (width * height), width)
    assert set(code[5:-1]) == {0x88}  # no wave is anything
    found = from_thumbhash(code)
    assert found.pixels == found.pixels[:4] * (found.width * found.height)
    # Six bits for each of three sums of colours, and what lies outside is cut off.
    assert all(abs(a - b) <= 10 for a, b in zip(found.pixels, colour, strict=False))
    assert found.pixels[3] == 255


def test_what_cannot_be_seen_says_nothing() -> None:
    left = bytes([200, 40, 40, 255]) * 8
    seen = b"".join(left + bytes([*hidden, 0]) * 8 for hidden in [(0, 255, 0)] * 16)
    other = b"".join(left + bytes([*hidden, 0]) * 8 for hidden in [(9, 9, 255)] * 16)
    assert encode(seen, 16) == encode(other, 16)
    found = from_thumbhash(encode(seen, 16))
    assert found.landmarks[0][3] > 200
    assert found.landmarks[1][3] < 50
    assert encode(bytes(4 * 16 * 16), 16)[5] == 0  # nothing at all


@pytest.mark.parametrize(
    ("width", "height", "size"), [(32, 32, (32, 32)), (32, 16, (32, 18)), (16, 32, (18, 32)), (32, 2, (32, 5))]
)
def test_the_shape_is_remembered(width: int, height: int, size: tuple[int, int]) -> None:
    found = from_thumbhash(encode(drawn("ramps", width, height).pixels, width))
    assert (found.width, found.height) == size


def test_what_is_smooth_comes_back_nearly_as_it_was() -> None:
    side = 32
    pixels = bytes(each for y in range(side) for x in range(side) for each in (60 + 4 * x, 200 - 4 * y, 120, 255))
    found = from_thumbhash(encode(pixels, side)).pixels
    distances = [abs(one - other) for one, other in zip(pixels, found, strict=True)]
    assert sum(distances) / len(distances) < 8
