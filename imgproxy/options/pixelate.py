"""Blocks of one colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Whole

if TYPE_CHECKING:
    import pyvips


@dataclass(frozen=True, slots=True)
class Pixelate(Option):
    """Replace square blocks by their mean colour; 0 and 1 do nothing."""

    size: int = arg(Whole(unit="px"), 0, "Side of a block.")

    spellings = (Spelling(("pixelate", "pix"), ("size",)),)
    examples = ("pix:8", "pix:50")

    def apply(self, image: pyvips.Image) -> pyvips.Image:
        width, height = image.width, image.height
        size = min(self.size, max(width, height))
        if size <= 1:
            return image
        # Blocks at the right and the bottom are completed by mirroring, so that they keep their own colours.
        across, down = -(-width // size), -(-height // size)
        whole = image.embed(0, 0, across * size, down * size, extend="mirror")
        return whole.shrink(size, size).zoom(size, size).crop(0, 0, width, height)
