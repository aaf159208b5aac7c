"""The box that the image is fitted into, and how."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.geometry import Fit
from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Bool, Choice, Whole


@dataclass(frozen=True, slots=True)
class Resize(Option):
    """Fit the image into a box.

    `fit` keeps the ratio inside the box; `fill` covers the box and crops the rest by gravity; `fill-down` is
    `fill` that never enlarges and keeps the box's ratio instead of its size; `force` ignores the ratio; `auto`
    is `fill` when source and box have the same orientation, else `fit`. Without `enlarge` a raster image never
    grows.
    """

    fit: Fit = arg(Choice(tuple(Fit)), Fit.FIT, "How the image goes into the box.", "type")
    width: int = arg(Whole(unit="px"), 0, "Width of the box; 0 keeps the ratio.")
    height: int = arg(Whole(unit="px"), 0, "Height of the box; 0 keeps the ratio.")
    enlarge: bool = arg(Bool(), False, "Also enlarge an image that is smaller than the box.")

    spellings = (
        Spelling(("resize", "rs"), ("fit", "width", "height", "enlarge"), rest="extend"),
        Spelling(("size", "s"), ("width", "height", "enlarge"), rest="extend"),
        Spelling(("resizing_type", "rt"), ("fit",)),
        Spelling(("width", "w"), ("width",)),
        Spelling(("height", "h"), ("height",)),
        Spelling(("enlarge", "el"), ("enlarge",)),
    )
    examples = (
        "rs:fit:300:300",
        "rs:fill:300:300",
        "rs:fill-down:900:700",
        "rs:force:300:300",
        "rs:auto:300:200",
        "w:300",
        "h:150",
        "rs:fit:900:900:1",
        "s:240:160",
    )
