"""What lies around and over the image: extend, padding, background, watermark."""

from __future__ import annotations

import pytest

from imgproxy.geometry import Anchor
from imgproxy.options import Background, Extend, ExtendAspectRatio, Option, Options, Padding, Watermark
from tests.options.reading import read, refusal


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("ex:1", [Extend(True)]),
        ("extend:true:no", [Extend(True, Anchor.NORTH)]),
        ("ex:1:soea:10:0.5", [Extend(True, Anchor.SOUTH_EAST, 10, 0.5)]),
        ("ex:1:fp:0.5:0", [Extend(True, Anchor.FOCUS, 0.5, 0)]),
        ("ex:1:", [Extend(True)]),
        ("ex:1:no:5/ex:0", [Extend(False, Anchor.NORTH, 5)]),
        ("ex:1/ex:", []),
        ("ex:yes", []),
        ("exar:1", [ExtendAspectRatio(True)]),
        ("extend_ar:1:so", [ExtendAspectRatio(True, Anchor.SOUTH)]),
        ("extend_aspect_ratio:1:fp:1:1", [ExtendAspectRatio(True, Anchor.FOCUS, 1, 1)]),
        ("pd:10", [Padding(10, 10, 10, 10)]),
        ("pd:10:20", [Padding(10, 20, 10, 20)]),
        ("pd:10:20:30", [Padding(10, 20, 30, 20)]),
        ("padding:10:20:30:40", [Padding(10, 20, 30, 40)]),
        ("pd:10::30", [Padding(10, 10, 30, 10)]),
        ("pd:10:::40", [Padding(10, 10, 10, 40)]),
        ("pd::20", [Padding(0, 20, 0, 20)]),
        ("pd:10:20:30:40/pd:5", [Padding(5, 5, 5, 5)]),
        ("pd:10:20:30:40/pd::5", [Padding(10, 5, 10, 5)]),  # the earlier top reaches the sides that are missing
        ("pd:10/pd:0", []),
        ("bg:ffcc00", [Background((255, 204, 0))]),
        ("background:FC0", [Background((255, 204, 0))]),
        ("bg:255", [Background((34, 85, 85))]),  # three hexadecimal digits
        ("bg:255:204:0", [Background((255, 204, 0))]),
        ("bg:fff/bg:", []),
        ("wm:0.5", [Watermark(0.5)]),
        ("watermark:1:soea:10:0.2:0.3", [Watermark(1, Anchor.SOUTH_EAST, 10, 0.2, 0.3)]),
        ("wm:1:re:20:20", [Watermark(1, Anchor.REPLICATE, 20, 20)]),
        ("wm:1::5", [Watermark(1, Anchor.CENTER, 5)]),
        ("wm:1:ce:0:0:", [Watermark(1)]),  # natural size
        ("wm:1:ce:0:0:2:7:8", [Watermark(1, Anchor.CENTER, 0, 0, 2)]),  # imgproxy takes seven and uses five
        ("wm:0", []),
    ],
)
def test_read(text: str, options: list[Option]) -> None:
    assert read(text) == Options.of(*options)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("ex:1:sm", "ex: expected one of ce, no, so, ea, we, noea, nowe, soea, sowe, fp, got 'sm'"),
        ("ex:1:fp:0.5", "fp needs two"),
        ("ex:1:no:1:1:1", "at most 3"),
        ("ex:1:::::", "at most 3"),
        ("ex:1::5", "expected one of"),
        ("exar:1:sm", "exar: expected one of"),
        ("exar:1:no:x", "expected a number"),
        ("pd:-1", "pd: top: expected a whole number, 0 or more px"),
        ("pd:1.5", "pd: top"),
        ("pd:1:2:3:4:5", "pd: expected at most 4 arguments, got 5"),
        ("bg:ff", "bg: expected 3 or 6 hexadecimal digits"),
        ("bg:#ffffff", "hexadecimal"),
        ("bg:1:2", "bg: expected a hexadecimal colour or red:green:blue, got 2 arguments"),
        ("bg:1:2:3:4", "got 4 arguments"),
        ("bg:256:0:0", "0 to 255, got '256'"),
        ("bg:-1:0:0", "0 to 255"),
        ("bg:::", "0 to 255, got ''"),
        ("wm:1.1", "wm: opacity: expected a number, 0 to 1"),
        ("wm:-0.1", "wm: opacity"),
        ("wm:1:sm", "wm: anchor: expected one of"),
        ("wm:1:fp:0:0", "wm: anchor"),
        ("wm:1:ce:x", "wm: x: expected a number"),
        ("wm:1:ce:0:0:0", "wm: scale: expected a number, above 0"),
        ("wm:1:ce:0:0:1:2:3:4", "at most 5 arguments, got 8"),
    ],
)
def test_refused(segment: str, reason: str) -> None:
    assert reason in refusal(segment)
