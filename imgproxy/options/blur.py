"""Gaussian blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Number

if TYPE_CHECKING:
    import pyvips


@dataclass(frozen=True, slots=True)
class Blur(Option):
    """Blur the result with a Gaussian; the radius is in pixels of the result, whatever `dpr` is."""

    # libvips builds a mask of about 3 sigma: beyond this it only costs.
    sigma: float = arg(Number(0, 1000, unit="px"), 0.0, "Standard deviation of the blur.")

    spellings = (Spelling(("blur", "bl"), ("sigma",)),)
    examples = ("bl:2", "bl:10")

    def apply(self, image: pyvips.Image) -> pyvips.Image:
        return image.gaussblur(self.sigma) if self.sigma else image
