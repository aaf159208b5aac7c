"""One colour space for the web."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool


@dataclass(frozen=True, slots=True)
class StripColorProfile(Option):
    """Convert to sRGB and leave the colour profile out; `0` keeps the source's profile."""

    enabled: bool = arg(Bool(), True, "Convert to sRGB.")

    spellings = (Spelling(("strip_color_profile", "scp"), ("enabled",)),)
    examples = ("scp:1", "scp:0")
