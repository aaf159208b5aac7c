"""The end of a URL's life."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Whole


@dataclass(frozen=True, slots=True)
class Expires(Option):
    """Refuse the URL after this moment; before it, the answer may be cached no longer than that."""

    at: int = arg(Whole(high=2**53, unit="s"), 0, "Unix time; 0 for never.")

    spellings = (Spelling(("expires", "exp"), ("at",)),)
    examples = ("exp:4102444800",)
    effect = "delivery"
