"""A canvas of the box's ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgproxy.geometry import Anchor
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import COMPASS, OFFSET, Bool, Choice, read_own_gravity

_ANCHORS = (*COMPASS, Anchor.FOCUS)


@dataclass(frozen=True, slots=True)
class ExtendAspectRatio(Option):
    """Place the image on the smallest canvas that has the box's ratio; the box needs both width and height."""

    enabled: bool = arg(Bool(), False, "Extend to the ratio.")
    anchor: Anchor = arg(Choice(_ANCHORS), Anchor.CENTER, "Where the image lies on the canvas.")
    x: float = arg(OFFSET, 0.0, "Horizontal offset: 1 or more is px, below is a share of the canvas.")
    y: float = arg(OFFSET, 0.0, "Vertical offset.")

    spellings = (Spelling(("extend_aspect_ratio", "extend_ar", "exar"), ("enabled", "anchor", "x", "y")),)
    examples = ("rs:fit:900:900/exar:1/bg:ffcc00", "rs:fit:300:300/exar:1:so:0:20/bg:ffcc00")

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        enabled = super(ExtendAspectRatio, cls).read(spelling, texts[:1])
        return Setting(cls, (*enabled.values, *read_own_gravity(texts[1:], _ANCHORS)))

    def _keeps_defaults(self) -> bool:
        return self.anchor is Anchor.FOCUS
