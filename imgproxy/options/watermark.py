"""The configured picture on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgproxy.geometry import Anchor
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import COMPASS, OFFSET, Choice, Number


@dataclass(frozen=True, slots=True)
class Watermark(Option):
    """Put the configured watermark over the image (`IMGPROXY_WATERMARK_DATA`, `_PATH` or `_URL`).

    The opacity is multiplied by `IMGPROXY_WATERMARK_OPACITY`. `re` repeats the mark over the image, with the
    offsets as gaps.
    """

    opacity: float = arg(Number(0, 1), 0.0, "How opaque the mark is; 0 switches it off.")
    anchor: Anchor = arg(Choice((*COMPASS, Anchor.REPLICATE)), Anchor.CENTER, "Where the mark lies.", "position")
    x: float = arg(
        OFFSET,
        0.0,
        "Horizontal offset: 1 or more is px (times dpr), below is a share of the image.",
    )
    y: float = arg(OFFSET, 0.0, "Vertical offset.")
    scale: float = arg(
        Number(0, open_low=True),
        0.0,
        "Fit the mark into this share of the image; its natural size if not given.",
    )

    spellings = (Spelling(("watermark", "wm"), ("opacity", "anchor", "x", "y", "scale")),)
    examples = (
        "wm:0.8",
        "wm:1:soea:10:10:0.3",
        "wm:0.5:re:20:20:0.2",
        "wm:1:no",
        "wm:1:so",
        "wm:1:ea",
        "wm:1:we",
        "wm:1:noea",
        "wm:1:nowe",
        "wm:1:sowe",
    )

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        # imgproxy takes seven arguments and uses five.
        return super(Watermark, cls).read(spelling, texts[:5] if len(texts) <= 7 else texts)
