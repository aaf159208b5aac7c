"""Gaussian blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Number

if TYPE_CHECKING:
    import pyvips


_LARGEST = 1000.0
"""libvips' own limit; nothing is left to see long before."""


@dataclass(frozen=True, slots=True)
class Blur(Option):
    """Blur the result with a Gaussian; the radius is in pixels of the result, whatever `dpr` is."""

    sigma: float = arg(Number(0, unit="px"), 0.0, "Standard deviation of the blur.")

    spellings = (Spelling(("blur", "bl"), ("sigma",)),)
    examples = ("bl:2", "bl:10")

    def apply(self, image: pyvips.Image) -> pyvips.Image:
        return image.gaussblur(min(self.sigma, _LARGEST)) if self.sigma else image
