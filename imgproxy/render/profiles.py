"""What each quality profile means for decoding and resampling. Measured: ``docs/quality.md``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.options.quality_profile import Profile

if TYPE_CHECKING:
    from imgproxy.geometry import Size


@dataclass(frozen=True, slots=True)
class Rules:
    """How a picture is decoded and resampled."""

    margin: float
    """What is left for the resampler after shrinking on load: below 1.7 the decoder's crude filter shows, a quarter
    of the pixels costs little, and above 3.4 there is nothing left to win."""
    whole_pixels: int
    """Sources up to this are decoded whole: they are often sharp to the pixel, and then the decoder's filter costs 7
    points at any margin."""
    light_from: float
    """Pixels of the source for each that is resampled, from which that is done in linear light. libvips has no SIMD
    for 16 bits: four times the resampler's time, which only beside a long decode is not the better part of a render."""
    kernel: str
    """In linear light. Lanczos 2 loses 0.5 points to Lanczos 3, and saves 4 % of the bytes and a third of the time."""

    def in_light(self, stored: Size, loaded: Size) -> bool:
        """Whether a source of this size is resampled in linear light, if this much of it is decoded."""
        return stored.width * stored.height >= self.light_from * loaded.width * loaded.height


FAST = Rules(margin=1.0, whole_pixels=0, light_from=math.inf, kernel="lanczos3")
BALANCED = Rules(margin=1.7, whole_pixels=4_000_000, light_from=8, kernel="lanczos2")
BEST = Rules(margin=3.4, whole_pixels=4_000_000, light_from=0, kernel="lanczos3")

RULES = {Profile.FAST: FAST, Profile.BALANCED: BALANCED, Profile.BEST: BEST}
