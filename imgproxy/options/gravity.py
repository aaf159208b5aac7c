"""What to keep when cropping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgproxy.geometry import Anchor
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import COMPASS, OFFSET, Choice, read_gravity

_ANCHORS = (*COMPASS, Anchor.SMART, Anchor.FOCUS)


@dataclass(frozen=True, slots=True)
class Gravity(Option):
    """Choose the part that a crop keeps: a compass point, the most interesting part (`sm`), or a point (`fp:x:y`).

    Offsets from a side push inwards. A new type keeps earlier offsets, except `sm`.
    """

    anchor: Anchor = arg(Choice(_ANCHORS), Anchor.CENTER, "What to hold on to.", "type")
    x: float = arg(
        OFFSET,
        0.0,
        "Horizontal offset: 1 or more is px (times dpr), below is a share of the image.",
    )
    y: float = arg(OFFSET, 0.0, "Vertical offset.")

    spellings = (Spelling(("gravity", "g"), ("anchor", "x", "y")),)
    examples = (
        "rs:fill:200:300/g:no",
        "rs:fill:200:300/g:so",
        "rs:fill:200:300/g:ea",
        "rs:fill:200:300/g:we:40",
        "rs:fill:300:100/g:noea:20:30",
        "rs:fill:300:100/g:nowe",
        "rs:fill:300:100/g:soea",
        "rs:fill:300:100/g:sowe:0:0.1",
        "rs:fill:200:300/g:ce:0.1",
        "rs:fill:200:200/g:sm",
        "rs:fill:200:200/g:fp:0.9:0.1",
    )

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:  # noqa: ARG003 - one spelling
        return Setting(cls, read_gravity(texts, _ANCHORS))

    def _keeps_defaults(self) -> bool:
        return self.anchor is Anchor.FOCUS
