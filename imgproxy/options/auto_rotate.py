"""Pictures upright."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool


@dataclass(frozen=True, slots=True)
class AutoRotate(Option):
    """Turn the image upright by its EXIF orientation. The tag is removed in any case."""

    enabled: bool = arg(Bool(), True, "Turn the image upright.")

    spellings = (Spelling(("auto_rotate", "ar"), ("enabled",)),)
    examples = ("ar:1", "ar:0")
