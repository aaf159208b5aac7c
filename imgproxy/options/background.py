"""What shines through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgproxy.errors import BadOption
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import Color, Rgb, Whole


@dataclass(frozen=True, slots=True)
class Background(Option):
    """Fill transparency with a colour: hexadecimal, or red, green and blue. Empty removes an earlier colour.

    Without it, formats without transparency are filled with white.
    """

    color: Rgb | None = arg(Color(), None, "The colour, as `ffcc00`, `fc0` or `255:204:0`.")

    spellings = (Spelling(("background", "bg"), ("color",)),)
    examples = ("bg:ffcc00", "bg:fc0", "bg:20:120:220")

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        if len(texts) == 1 and not texts[0]:
            return Setting(cls, (("color", None),))
        if len(texts) == 1:
            return super(Background, cls).read(spelling, texts)
        if len(texts) == 3:
            channel = Whole(0, 255)
            return Setting(cls, (("color", tuple(channel.parse(text) for text in texts)),))
        raise BadOption(f"expected a hexadecimal colour or red:green:blue, got {len(texts)} arguments")
