"""The picture inside the picture."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool


@dataclass(frozen=True, slots=True)
class EnforceThumbnail(Option):
    """Take the thumbnail that an AVIF source carries instead of its main image, whatever its size."""

    enabled: bool = arg(Bool(), False, "Take the embedded thumbnail.")

    spellings = (Spelling(("enforce_thumbnail", "eth"), ("enabled",)),)
    examples = ("eth:1",)
    effect = "request"
