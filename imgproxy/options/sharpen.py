"""Sharpening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Number

if TYPE_CHECKING:
    import pyvips


@dataclass(frozen=True, slots=True)
class Sharpen(Option):
    """Sharpen the result: libvips' unsharp mask on lightness."""

    # libvips' own upper limit (`sharpen`: sigma 0.000001 to 10).
    sigma: float = arg(Number(0, 10, unit="px"), 0.0, "Radius of the mask.")

    spellings = (Spelling(("sharpen", "sh"), ("sigma",)),)
    examples = ("rs:fit:300:300/sh:0.7", "rs:fit:300:300/sh:3")

    def apply(self, image: pyvips.Image) -> pyvips.Image:
        return image.sharpen(sigma=self.sigma) if self.sigma else image
