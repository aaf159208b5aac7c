"""A factor on the size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import Number


@dataclass(frozen=True, slots=True)
class Zoom(Option):
    """Multiply the result's size; unlike `dpr`, offsets and padding stay as they are. One number is for both axes."""

    x: float = arg(Number(0, open_low=True), 1.0, "Factor on the width.")
    y: float = arg(Number(0, open_low=True), 1.0, "Factor on the height; as x if not given.")

    spellings = (Spelling(("zoom", "z"), ("x", "y")),)
    examples = ("rs:fit:300:300/z:0.5", "rs:force:200:200/z:0.5:1.2")

    def _keeps_defaults(self) -> bool:
        return True  # a lone number would be for both axes

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        x, *y = texts
        return super(Zoom, cls).read(spelling, texts if any(y) else [x, x, *y[1:]])
