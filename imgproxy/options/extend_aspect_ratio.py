"""A canvas of the box's ratio."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Spelling
from imgproxy.options.canvas import Canvas


@dataclass(frozen=True, slots=True)
class ExtendAspectRatio(Canvas):
    """Place the image on the smallest canvas that has the box's ratio; the box needs both width and height."""

    spellings = (Spelling(("extend_aspect_ratio", "extend_ar", "exar"), ("enabled", "anchor", "x", "y")),)
    examples = ("rs:fit:900:900/exar:1/bg:ffcc00", "rs:fit:300:300/exar:1:so:0:20/bg:ffcc00")
