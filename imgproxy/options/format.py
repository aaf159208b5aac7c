"""The result's format."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.formats import Format
from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import FormatName


@dataclass(frozen=True, slots=True)
class ResultFormat(Option):
    """Choose the result's format; `@ext` or `.ext` at the end of the source does the same and wins."""

    format: Format | None = arg(FormatName(), None, "Format; by Accept, source and settings if not given.")

    spellings = (Spelling(("format", "f", "ext"), ("format",)),)
    examples = ("f:webp",)
    effect = "encoding"
