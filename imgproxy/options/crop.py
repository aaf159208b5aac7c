"""A part of the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgproxy.geometry import Anchor
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import COMPASS, OFFSET, Choice, Number, read_own_gravity

_ANCHORS = (*COMPASS, Anchor.SMART, Anchor.FOCUS)


@dataclass(frozen=True, slots=True)
class Crop(Option):
    """Cut out a part of the source before it is resized, in its upright and rotated position.

    Sizes below 1 are shares of the source, larger ones pixels, 0 is the whole side. Without a gravity of its
    own the crop takes the one of `gravity`. Offsets are not multiplied by `dpr`.
    """

    width: float = arg(Number(0), 0.0, "Width.")
    height: float = arg(Number(0), 0.0, "Height.")
    anchor: Anchor | None = arg(Choice(_ANCHORS), None, "What to hold on to; as `gravity` if not given.", "gravity")
    x: float = arg(OFFSET, 0.0, "Horizontal offset: 1 or more is px of the source, below is a share of it.")
    y: float = arg(OFFSET, 0.0, "Vertical offset.")

    spellings = (Spelling(("crop", "c"), ("width", "height", "anchor", "x", "y")),)
    examples = (
        "c:300:200",
        "c:0.5:0.5:nowe",
        "c:200:0:ea:30",
        "c:250:250:fp:0.25:0.75",
        "c:200:200/g:so",
    )

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        size = super(Crop, cls).read(spelling, texts[:2])
        return Setting(cls, (*size.values, *read_own_gravity(texts[2:], _ANCHORS)))

    def _keeps_defaults(self) -> bool:
        return self.anchor is Anchor.FOCUS
