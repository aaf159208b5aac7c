"""The smallest size that a result may have."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Whole


@dataclass(frozen=True, slots=True)
class MinSize(Option):
    """Enlarge until the image is at least this wide and high, whatever `enlarge` says; the ratio is kept.

    Applied before `dpr`. A box of `resize` stays what it is and crops what is larger, with every type of resizing.
    """

    width: int = arg(Whole(unit="px"), 0, "Smallest width.")
    height: int = arg(Whole(unit="px"), 0, "Smallest height.")

    spellings = (
        Spelling(("min-width", "min_width", "mw"), ("width",)),
        Spelling(("min-height", "min_height", "mh"), ("height",)),
    )
    examples = ("mw:800", "h:100/mw:200", "rs:fit:100:100/mh:120")
