"""Uniform borders cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import Bool, Color, Number, Rgb


@dataclass(frozen=True, slots=True)
class Trim(Option):
    """Cut off a border of one colour, before anything else.

    The colour is that of the top left pixel unless one is given; transparency counts as magenta (`ff00ff`). An
    empty threshold switches trimming off. The whole source is decoded; animations are left as they are.
    """

    threshold: float | None = arg(Number(), None, "How far a pixel may be from the colour, 0 to 255.")
    color: Rgb | None = arg(Color(), None, "The border's colour; that of the top left pixel if not given.")
    equal_horizontal: bool = arg(Bool(), False, "Cut the same amount left and right.")
    equal_vertical: bool = arg(Bool(), False, "Cut the same amount at the top and the bottom.")

    spellings = (Spelling(("trim", "t"), ("threshold", "color", "equal_horizontal", "equal_vertical")),)
    examples = ("t:10", "t:10:ffffff", "t:10::1:1")

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        setting = super(Trim, cls).read(spelling, texts)
        # Each trim begins anew: imgproxy keeps neither colour nor threshold of an earlier one.
        start: dict[str, object] = {"threshold": None, "color": None}
        return Setting(cls, tuple((start | dict(setting.values)).items()))
