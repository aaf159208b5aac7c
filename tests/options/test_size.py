from __future__ import annotations

import pytest

from imgproxy.geometry import Anchor, Fit
from imgproxy.options import Dpr, Extend, MinSize, Option, Options, Resize, Zoom
from tests.options.reading import read, refusal


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("rs:fill:300:200:1", [Resize(Fit.FILL, 300, 200, True)]),
        ("resize:fill-down:300", [Resize(Fit.FILL_DOWN, 300)]),
        ("rs:auto", [Resize(Fit.AUTO)]),
        ("rs:force:300:0:0", [Resize(Fit.FORCE, 300)]),
        ("rs::300::1", [Resize(Fit.FIT, 300, 0, True)]),  # empty positions are skipped
        ("rs:", []),
        ("rt:", []),
        ("w:", []),
        ("rs:fit:300:200:True:false", [Resize(Fit.FIT, 300, 200, True)]),
        ("rs:fit:300:200:0:1", [Resize(Fit.FIT, 300, 200), Extend(True)]),
        ("rs:fit:300:200:0:1:no:0:10", [Resize(Fit.FIT, 300, 200), Extend(True, Anchor.NORTH, 0, 10)]),
        ("rs:fit:300:200:0::no", [Resize(Fit.FIT, 300, 200)]),  # as imgproxy: no extend, nothing of it
        ("s:300:200:1:1:so", [Resize(Fit.FIT, 300, 200, True), Extend(True, Anchor.SOUTH)]),
        ("size::200", [Resize(height=200)]),
        ("rt:fill/width:300/h:200/enlarge:t", [Resize(Fit.FILL, 300, 200, True)]),
        ("resizing_type:force/w:10/height:20/el:1", [Resize(Fit.FORCE, 10, 20, True)]),
        ("w:+300", [Resize(width=300)]),  # Go's Atoi
        ("el:1/el:0", []),
        ("el:1/el:", []),  # an empty bool is false
        ("mw:100/mh:200", [MinSize(100, 200)]),
        ("min-width:100/min-height:200", [MinSize(100, 200)]),
        ("dpr:2", [Dpr(2)]),
        ("dpr:0.5", [Dpr(0.5)]),
        ("dpr:1", []),
        ("z:2", [Zoom(2, 2)]),
        ("zoom:0.5:1.5", [Zoom(0.5, 1.5)]),
        ("z:2:", [Zoom(2, 2)]),
        ("z::3", [Zoom(1, 3)]),
        ("z:2:3/z:4", [Zoom(4, 4)]),
        ("z:", []),
        ("z:1e1", [Zoom(10, 10)]),
    ],
)
def test_read(text: str, options: list[Option]) -> None:
    assert read(text) == Options.of(*options)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("rs:contain:300", "rs: fit: expected one of fit, fill, fill-down, force, auto, got 'contain'"),
        ("rs:FIT:300", "FIT"),
        ("rs:fit:-1", "rs: width: expected a whole number, 0 or more px, got '-1'"),
        ("rs:fit:1.5", "1.5"),
        ("rs:fit:99999999999", "99999999999"),
        ("rs:fit:300:200:0:1:no:0:10:5", "extend: expected at most 3 arguments for a gravity"),
        ("rs:fit:300:200:0:1::0:10", "one of"),
        ("s:300:200:0:1:no:0:10:5", "extend: expected at most 3 arguments"),
        ("rt:fit:fit", "at most 1"),
        ("w:1_000", "1_000"),
        ("w: 1", "w: expected"),
        ("w:\u0661", "w: expected"),
        ("w:300:200", "at most 1"),
        ("h:-5", "h: expected"),
        ("mw:-1", "mw: expected"),
        ("min-height:x", "min-height: expected a whole number"),
        ("dpr:0", "dpr: expected a number, above 0, got '0'"),
        ("dpr:-1", "dpr"),
        ("dpr:nan", "dpr"),
        ("dpr:inf", "dpr"),
        ("dpr:1e999", "dpr"),
        ("dpr:1e-16", "dpr"),  # nothing that overflows a scale
        ("dpr:0x10", "dpr"),
        ("z:0", "z: x: expected a number, above 0"),
        ("z:1:0", "z: y: e"),
        ("z:1:1:1", "at most 2"),
        ("z:1::", "at most 2"),
    ],
)
def test_refused(segment: str, reason: str) -> None:
    assert reason in refusal(segment)


def test_an_empty_extend_leaves_an_earlier_one_alone() -> None:
    assert read("ex:1:no/rs:fit:300:200:0:")[Extend] == Extend(True, Anchor.NORTH)


def test_later_settings_win_field_by_field() -> None:
    assert read("rs:fill:300:200/w:100/rt:fit") == Options.of(Resize(Fit.FIT, 100, 200))
