"""The source itself."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool


@dataclass(frozen=True, slots=True)
class Raw(Option):
    """Stream the source through untouched: no check of type, size or resolution, ranges allowed."""

    enabled: bool = arg(Bool(), False, "Answer with the source.")

    spellings = (Spelling(("raw",), ("enabled",)),)
    examples = ("raw:1",)
    effect = "request"
