"""What the two options that put an image on a larger canvas share: their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgproxy.geometry import Anchor
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import COMPASS, OFFSET, Bool, Choice, read_own_gravity

_ANCHORS = (*COMPASS, Anchor.FOCUS)


@dataclass(frozen=True, slots=True)
class Canvas(Option):
    """A larger canvas, and where the image lies on it. Not an option itself."""

    enabled: bool = arg(Bool(), False, "Extend a smaller image.")
    anchor: Anchor = arg(Choice(_ANCHORS), Anchor.CENTER, "Where the image lies on the canvas.", "gravity")
    x: float = arg(OFFSET, 0.0, "Horizontal offset: 1 or more is px, below is a share of the canvas.")
    y: float = arg(OFFSET, 0.0, "Vertical offset.")

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        enabled = super(Canvas, cls).read(spelling, texts[:1])
        return Setting(cls, (*enabled.values, *read_own_gravity(texts[1:], _ANCHORS)))

    def _keeps_defaults(self) -> bool:
        return self.anchor is Anchor.FOCUS
