"""A canvas of the box's size."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Spelling
from imgproxy.options.canvas import Canvas


@dataclass(frozen=True, slots=True)
class Extend(Canvas):
    """Place an image that is smaller than the box on a canvas of the box's size (times `dpr` and `zoom`).

    The canvas is transparent, or of the `background` colour; a dimension of the box that is 0 is not extended.
    """

    spellings = (Spelling(("extend", "ex"), ("enabled", "anchor", "x", "y")),)
    examples = (
        "rs:fit:400:400/ex:1",
        "rs:fit:400:400/ex:1:no:0:10/bg:ffcc00",
        "rs:fit:400:400/ex:1:fp:0.5:0.4/bg:ffcc00",
    )
