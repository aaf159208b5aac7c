"""The quality of lossy formats."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Whole


@dataclass(frozen=True, slots=True)
class Quality(Option):
    """Set the quality for whatever format results.

    0 takes `format_quality`, then `IMGPROXY_FORMAT_QUALITY` (WebP 79, AVIF 63), then `IMGPROXY_QUALITY` (80).
    """

    percent: int = arg(Whole(0, 100), 0, "Quality; 0 for the configured one.")

    spellings = (Spelling(("quality", "q"), ("percent",)),)
    examples = ("q:50",)
    effect = "encoding"
