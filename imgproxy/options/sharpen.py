"""Sharpening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Number

if TYPE_CHECKING:
    import pyvips


_LARGEST = 10.0
"""libvips' own limit."""


@dataclass(frozen=True, slots=True)
class Sharpen(Option):
    """Sharpen the result: libvips' unsharp mask on lightness."""

    sigma: float = arg(Number(0, unit="px"), 0.0, "Radius of the mask; above 10 counts as 10.")

    spellings = (Spelling(("sharpen", "sh"), ("sigma",)),)
    examples = ("rs:fit:300:300/sh:0.7", "rs:fit:300:300/sh:3")

    def apply(self, image: pyvips.Image) -> pyvips.Image:
        return image.sharpen(sigma=min(self.sigma, _LARGEST)) if self.sigma else image
