"""BlurHashes: those of the reference encoder, and what can be read back."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.render.blurhash import DIGITS, LIGHT, MOST, components, encode, number
from tests.placeholders import ALPHABET, Decoded, drawn, from_blurhash

VECTORS = tomllib.loads(Path(__file__).with_name("placeholders.toml").read_text(encoding="utf-8"))
PUBLISHED = [each for each in VECTORS["published"] if "blurhash" in each]


@pytest.mark.parametrize(
    ("picture", "asked"),
    [(each, asked) for each in VECTORS["picture"] for asked in each["blurhash"]],
    ids=lambda each: each if isinstance(each, str) else f"{each['pattern']}-{each['width']}x{each['height']}",
)
def test_hashes_are_those_of_the_reference_encoder(picture: dict[str, Any], asked: str) -> None:
    pixels = drawn(picture["pattern"], picture["width"], picture["height"])
    across, down = map(int, asked.split(":"))
    assert encode(pixels.rgb, pixels.width, across, down, 0) == picture["blurhash"][asked]


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda each: each["blurhash"])
def test_the_decoder_of_these_tests_is_right(published: dict[str, Any]) -> None:
    found = from_blurhash(published["blurhash"], *published["size"]).landmarks
    assert all(
        abs(a - b) <= 1
        for one, other in zip(found, published["pixels"], strict=True)
        for a, b in zip(one, other, strict=True)
    )


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_a_flat_picture_comes_back_as_it_was(width: int, height: int, red: int, green: int, blue: int) -> None:
    code = encode(bytes([red, green, blue]) * (width * height), width, 1, 1)
    assert from_blurhash(code, 2, 2) == Decoded(2, 2, bytes([red, green, blue, 255]) * 4)


def test_what_is_flat_stays_flat() -> None:
    code = encode(b"\xff\xff\xff" * 1024, 32, 4, 3)
    assert set(from_blurhash(code, 32, 32).pixels) == {255}
    leaning = from_blurhash(encode(b"\xff\xff\xff" * 1024, 32, 4, 3, 0), 32, 32).landmarks
    assert min(leaning[-1]) < 240


def test_small_pictures_are_hashed_as_the_reference_encoders_would_if_they_were_large() -> None:
    small = drawn("ramps", 16, 12)
    rows = [small.rgb[at : at + 48] for at in range(0, len(small.rgb), 48)]
    large = b"".join(b"".join(row[at : at + 3] * 16 for at in range(0, 48, 3)) * 16 for row in rows)
    wanted = from_blurhash(encode(large, 256, 4, 3, 0), 32, 24).pixels

    def distance(phase: float) -> float:
        found = from_blurhash(encode(small.rgb, 16, 4, 3, phase), 32, 24).pixels
        return sum(abs(a - b) for a, b in zip(found, wanted, strict=True)) / len(wanted)

    assert distance(0.5) < 2 < 8 < distance(0)


@given(st.binary(min_size=3, max_size=300), st.integers(1, MOST), st.integers(1, MOST))
def test_every_picture_has_a_hash_of_the_right_length(data: bytes, across: int, down: int) -> None:
    pixels = data[: len(data) // 3 * 3]
    code = encode(pixels, len(pixels) // 3, across, down)
    assert len(code) == 4 + 2 * across * down
    assert set(code) <= set(ALPHABET)
    from_blurhash(code, 3, 3)


def test_what_is_smooth_comes_back_nearly_as_it_was() -> None:
    width = height = 24
    pixels = bytes(each for y in range(height) for x in range(width) for each in (60 + 6 * x, 200 - 5 * y, 120))
    found = from_blurhash(encode(pixels, width, 5, 5), width, height).rgb
    distances = [abs(one - other) for one, other in zip(pixels, found, strict=True)]
    assert sum(distances) / len(distances) < 8
    flat = bytes([129, 142, 120]) * (width * height)
    assert sum(distances) < 0.3 * sum(abs(one - other) for one, other in zip(pixels, flat, strict=True))


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (400, 300, (4, 3)),
        (300, 400, (3, 4)),
        (300, 200, (4, 3)),
        (1920, 1080, (5, 3)),
        (100, 100, (3, 3)),
        (2100, 900, (5, 2)),
        (3000, 1, (9, 1)),
        (1, 3000, (1, 9)),
        (1, 1, (3, 3)),
    ],
)
def test_components_follow_the_shape(width: int, height: int, expected: tuple[int, int]) -> None:
    assert components(width, height) == expected


@pytest.mark.parametrize("value", range(256))
def test_light_and_back(value: int) -> None:
    assert number(LIGHT[value]) == value


def test_light_beyond_what_can_be_shown() -> None:
    assert (number(-1.0), number(2.0)) == (0, 255)
    assert DIGITS == ALPHABET
