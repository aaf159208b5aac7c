"""Camera data out."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool


@dataclass(frozen=True, slots=True)
class StripMetadata(Option):
    """Leave out EXIF, IPTC, XMP and the like; the resolution becomes 72 dpi."""

    enabled: bool = arg(Bool(), True, "Leave metadata out.")

    spellings = (Spelling(("strip_metadata", "sm"), ("enabled",)),)
    examples = ("sm:0",)
    effect = "encoding"
