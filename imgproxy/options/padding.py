"""Space around the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import Whole


@dataclass(frozen=True, slots=True)
class Padding(Option):
    """Add space around the image, times `dpr`: transparent, or of the `background` colour.

    As in CSS, right and bottom follow the top, and left follows right, when they are not given.
    """

    top: int = arg(Whole(unit="px"), 0, "Space above.")
    right: int = arg(Whole(unit="px"), 0, "Space on the right; as top if not given.")
    bottom: int = arg(Whole(unit="px"), 0, "Space below; as top if not given.")
    left: int = arg(Whole(unit="px"), 0, "Space on the left; as right if not given.")

    spellings = (Spelling(("padding", "pd"), ("top", "right", "bottom", "left")),)
    examples = ("rs:fit:300:300/pd:20/bg:ffcc00", "rs:fit:300:300/pd:0:40:20:10/bg:ffcc00")

    def _keeps_defaults(self) -> bool:
        return True  # a side left out would be copied from another

    def merge(self, setting: Setting) -> Self:
        # imgproxy copies the sides as they are after this setting, so a top from a preset reaches the others.
        given = dict(setting.values)
        top = given.get("top", self.top)
        right = given.get("right", top)
        return type(self)(top, right, given.get("bottom", top), given.get("left", right))
