"""A canvas of the box's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgproxy.geometry import Anchor
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import COMPASS, OFFSET, Bool, Choice, read_own_gravity

_ANCHORS = (*COMPASS, Anchor.FOCUS)


@dataclass(frozen=True, slots=True)
class Extend(Option):
    """Place an image that is smaller than the box on a canvas of the box's size (times `dpr` and `zoom`).

    The canvas is transparent, or of the `background` colour; a dimension of the box that is 0 is not extended.
    """

    enabled: bool = arg(Bool(), False, "Extend a smaller image.")
    anchor: Anchor = arg(Choice(_ANCHORS), Anchor.CENTER, "Where the image lies on the canvas.")
    x: float = arg(OFFSET, 0.0, "Horizontal offset: 1 or more is px, below is a share of the canvas.")
    y: float = arg(OFFSET, 0.0, "Vertical offset.")

    spellings = (Spelling(("extend", "ex"), ("enabled", "anchor", "x", "y")),)
    examples = (
        "rs:fit:400:400/ex:1",
        "rs:fit:400:400/ex:1:no:0:10/bg:ffcc00",
        "rs:fit:400:400/ex:1:fp:0.5:0.2/bg:ffcc00",
    )

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        enabled = super(Extend, cls).read(spelling, texts[:1])
        return Setting(cls, (*enabled.values, *read_own_gravity(texts[1:], _ANCHORS)))

    def _keeps_defaults(self) -> bool:
        return self.anchor is Anchor.FOCUS
