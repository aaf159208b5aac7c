"""Device pixels for a CSS pixel."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Number


@dataclass(frozen=True, slots=True)
class Dpr(Option):
    """Multiply the result's size, absolute offsets and padding, for dense screens.

    Without `enlarge` the factor shrinks as far as the source's size demands; offsets and padding follow.
    """

    ratio: float = arg(Number(0, open_low=True), 1.0, "Device pixels for a CSS pixel.")

    spellings = (Spelling(("dpr",), ("ratio",)),)
    examples = ("rs:fit:150:150/dpr:2", "rs:fit:500:500/dpr:2/pd:20")
