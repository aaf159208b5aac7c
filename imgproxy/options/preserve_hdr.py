"""More than 8 bits a channel."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool


@dataclass(frozen=True, slots=True)
class PreserveHdr(Option):
    """Keep 16 bits a channel where the result's format can (PNG, TIFF; AVIF with 12)."""

    enabled: bool = arg(Bool(), False, "Keep the depth.")

    spellings = (Spelling(("preserve_hdr", "ph"), ("enabled",)),)
    examples = ("ph:1",)
    effect = "encoding"
