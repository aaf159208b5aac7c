"""The author's name stays."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool


@dataclass(frozen=True, slots=True)
class KeepCopyright(Option):
    """Keep copyright and author (EXIF, IPTC, XMP) when metadata is stripped."""

    enabled: bool = arg(Bool(), True, "Keep copyright and author.")

    spellings = (Spelling(("keep_copyright", "kcr"), ("enabled",)),)
    examples = ("kcr:0",)
    effect = "encoding"
