"""Quarter turns."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Angle


@dataclass(frozen=True, slots=True)
class Rotate(Option):
    """Turn the image clockwise, after the EXIF orientation; a negative angle turns it back."""

    angle: int = arg(Angle(), 0, "Degrees clockwise.")

    spellings = (Spelling(("rotate", "rot"), ("angle",)),)
    examples = ("rot:90", "rot:180", "rot:270")
