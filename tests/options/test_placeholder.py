"""Placeholders in URLs."""

from __future__ import annotations

import pytest

from imgproxy.options import Options, Placeholder
from imgproxy.options.placeholder import Sketch
from tests.options.reading import read, refusal


@pytest.mark.parametrize(
    ("text", "placeholder"),
    [
        ("plh:lqip", Placeholder(Sketch.LQIP)),
        ("placeholder:blurhash", Placeholder(Sketch.BLURHASH)),
        ("plh:blurhash:4:3", Placeholder(Sketch.BLURHASH, 4, 3)),
        ("plh:blurhash:0:0", Placeholder(Sketch.BLURHASH)),
        ("plh:thumbhash", Placeholder(Sketch.THUMBHASH)),
        ("plh:thumbhash:0:0", Placeholder(Sketch.THUMBHASH)),
        ("plh:blurhash:9:1/plh:thumbhash", Placeholder(Sketch.THUMBHASH)),  # begins anew
        ("plh:blurhash:9:1/plh:blurhash", Placeholder(Sketch.BLURHASH)),
        ("plh:lqip/plh:", Placeholder()),
    ],
)
def test_read(text: str, placeholder: Placeholder) -> None:
    assert read(text) == Options.of(placeholder)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("plh:blurrhash", "plh: kind: expected one of lqip, blurhash, thumbhash, got 'blurrhash'"),
        ("plh:LQIP", "got 'LQIP'"),
        ("plh:lqip:4:3", "plh: only blurhash has components"),
        ("plh:thumbhash:4", "only blurhash has components"),
        ("plh::4:3", "only blurhash has components"),
        ("plh:blurhash:4", "plh: blurhash needs components both across and down, or neither"),
        ("plh:blurhash::3", "both across and down"),
        ("plh:blurhash:10:3", "plh: x: expected a whole number, 0 to 9, got '10'"),
        ("plh:blurhash:4:3:2", "at most 3"),
    ],
)
def test_refused(segment: str, reason: str) -> None:
    assert reason in refusal(segment)
