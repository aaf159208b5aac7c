"""A new URL for the same picture."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Text


@dataclass(frozen=True, slots=True)
class Cachebuster(Option):
    """Changes the URL and the cache key, and nothing else. Empty resets."""

    text: str = arg(Text(), "", "Any text.")

    spellings = (Spelling(("cachebuster", "cb"), ("text",)),)
    examples = ("cb:v2",)
    effect = "request"
