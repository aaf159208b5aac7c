"""Mirrors."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool


@dataclass(frozen=True, slots=True)
class Flip(Option):
    """Mirror the image, after it is rotated."""

    horizontal: bool = arg(Bool(), False, "Left becomes right.")
    vertical: bool = arg(Bool(), False, "Top becomes bottom.")

    spellings = (Spelling(("flip", "fl"), ("horizontal", "vertical")),)
    examples = ("fl:1", "fl:0:1", "fl:1:1")
