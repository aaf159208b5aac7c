"""A budget for the file."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Whole


@dataclass(frozen=True, slots=True)
class MaxBytes(Option):
    """Lower the quality until the file fits (or the quality reaches 10), in formats that have a quality."""

    limit: int = arg(Whole(unit="bytes"), 0, "Size that the file should not exceed; 0 for any.")

    spellings = (Spelling(("max_bytes", "mb"), ("limit",)),)
    examples = ("mb:10000",)
    effect = "encoding"
