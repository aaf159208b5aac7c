"""What is cut: crop, gravity and trim."""

from __future__ import annotations

import pytest

from imgproxy.geometry import Anchor
from imgproxy.options import Crop, Gravity, Option, Options, Trim
from tests.options.reading import read, refusal


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("c:300:200", [Crop(300, 200)]),
        ("crop:0.5:0", [Crop(0.5, 0)]),
        ("c::200", [Crop(0, 200)]),
        ("c:100.5:1", [Crop(100.5, 1)]),
        ("c:300:200:no", [Crop(300, 200, Anchor.NORTH)]),
        ("c:300:200:nowe:10:0.5", [Crop(300, 200, Anchor.NORTH_WEST, 10, 0.5)]),
        ("c:300:200:fp:0.3:0.4", [Crop(300, 200, Anchor.FOCUS, 0.3, 0.4)]),
        ("c:300:200:sm", [Crop(300, 200, Anchor.SMART)]),
        ("c:300:200:", [Crop(300, 200)]),
        ("c:300:200:no/c:100:100", [Crop(100, 100, Anchor.NORTH)]),
        ("c:300:200:no:5/c:100:100:sm", [Crop(100, 100, Anchor.SMART)]),
        ("g:no", [Gravity(Anchor.NORTH)]),
        ("gravity:soea:10:-20", [Gravity(Anchor.SOUTH_EAST, 10, -20)]),
        ("g:ce:0.25", [Gravity(Anchor.CENTER, 0.25)]),
        ("g:we::7", [Gravity(Anchor.WEST, 0, 7)]),
        ("g:ea:.5:-.5", [Gravity(Anchor.EAST, 0.5, -0.5)]),
        ("g:fp:0:1", [Gravity(Anchor.FOCUS, 0, 1)]),
        ("g:sm", [Gravity(Anchor.SMART)]),
        # offsets outlive the type, except that "sm" clears them
        ("g:no:10:20/g:so", [Gravity(Anchor.SOUTH, 10, 20)]),
        ("g:no:10:20/g:so::5", [Gravity(Anchor.SOUTH, 10, 5)]),
        ("g:no:10:20/g:sm", [Gravity(Anchor.SMART)]),
        ("g:no:10:20/g:sm/g:no", [Gravity(Anchor.NORTH)]),
        ("t:10", [Trim(10)]),
        ("trim:0", [Trim(0)]),
        ("t:-1.5", [Trim(-1.5)]),  # any float
        ("t:10:ffcc00", [Trim(10, (255, 204, 0))]),
        ("t:10:f0a", [Trim(10, (255, 0, 170))]),
        ("t:10::1:t", [Trim(10, None, True, True)]),
        ("t:10:FF00FF:0:1", [Trim(10, (255, 0, 255), False, True)]),
        ("t:10/t:", []),  # an empty threshold switches trimming off
        ("t:10:fff/t:5", [Trim(5)]),  # each trim resets the colour
        ("t:10::1:1/t:5", [Trim(5, None, True, True)]),
    ],
)
def test_read(text: str, options: list[Option]) -> None:
    assert read(text) == Options.of(*options)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("c:-1:0", "c: width: expected a number, 0 or more, got '-1'"),
        ("c:x", "c: width"),
        ("c:1:1:re", "c: expected one of ce, no,"),
        ("c:1:1::5", "c: expected one of ce, no,"),  # offsets without a type
        ("c:1:1:no:a", "c: expected a number, got 'a'"),
        ("c:1:1:no:1:1:1", "at most 3 arguments for a gravity"),
        ("c:1:1::::", "at most 3 arguments for a gravity"),
        ("c:1:1:fp:0.5", "fp needs two coordinates"),
        ("c:1:1:sm:0:0", "sm takes no offsets"),
        ("g:", "g: expected one of ce, no, so, ea, we, noea, nowe, soea, sowe, sm, fp, got ''"),
        ("g:north", "north"),
        ("g:NO", "NO"),
        ("g:re", "'re'"),
        ("g:fp", "fp needs two coordinates"),
        ("g:fp:0.5", "fp needs two coordinates"),
        ("g:fp::0.5", "0 to 1, got ''"),
        ("g:fp:0.5:1.1", "0 to 1, got '1.1'"),
        ("g:fp:-0.1:1", "0 to 1"),
        ("g:fp:0:0:0", "at most 3"),
        ("g:sm:0", "sm takes no offsets"),
        ("g:sm:", "sm takes no offsets"),
        ("g:no:1:1:1", "at most 3"),
        ("t:x", "t: threshold: expected a number"),
        ("t:10:ff", "t: color: expected 3 or 6 hexadecimal digits, got 'ff'"),
        ("t:10:#fff", "hexadecimal"),
        ("t:10:ffff", "hexadecimal"),
        ("t:10:fff:1:1:1", "at most 4 arguments, got 5"),
    ],
)
def test_refused(segment: str, reason: str) -> None:
    assert reason in refusal(segment)


def test_a_crop_without_a_gravity_has_none_of_its_own() -> None:
    assert read("c:300:200/g:so")[Crop].anchor is None
