"""Dashed lines of an SVG: how many dashes there would be. Tiny dashes on long paths are work without end."""

from __future__ import annotations

import re
from math import hypot
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DASHES = re.compile(r"stroke-dasharray\s*:\s*([^;}!]+)")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COMMAND = re.compile(r"([A-DF-Za-df-z])([^A-DF-Za-df-z]*)")
"""A path's command and its numbers; an ``e`` belongs to a number."""
_LENGTHS = {
    "line": ("x1", "y1", "x2", "y2"),
    "rect": ("width", "width", "height", "height"),
    "circle": ("r",) * 7,
    "ellipse": ("rx", "rx", "rx", "rx", "ry", "ry", "ry", "ry"),
}
"""Attributes that add up to the length of an outline at least."""


class Dashing:
    """The lengths of all outlines, and the patterns of dashes on them."""

    def __init__(self) -> None:
        self._shapes: list[tuple[str, str | list[str], float]] = []
        self._everywhere = 0.0
        """The shortest pattern that containers and style sheets give; 0 for none."""

    def shape(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Take note of an element."""
        text = attributes.get("stroke-dasharray", "")
        style = attributes.get("style", "")
        if "dasharray" in style:
            text = " ".join(_DASHES.findall(style))
        period = _period(text) if text else 0.0
        if tag in {"path", "polyline", "polygon"}:
            self._shapes.append((tag, attributes.get("d") or attributes.get("points", ""), period))
        elif tag in _LENGTHS:
            self._shapes.append((tag, [attributes.get(name, "") for name in _LENGTHS[tag]], period))
        elif period:
            self._spread(period)

    def style(self, css: str) -> None:
        """Take note of a part of a style sheet."""
        for text in _DASHES.findall(css):
            if period := _period(text):
                self._spread(period)

    def dashes(self) -> int:
        """How many dashes there are, or some more."""
        total = 0.0
        for tag, geometry, own in self._shapes:
            periods = [each for each in (own, self._everywhere) if each]
            if periods:
                total += _length(tag, geometry) / min(periods)
        return int(min(total, 1e12))

    def _spread(self, period: float) -> None:
        self._everywhere = min(self._everywhere or period, period)


def _period(text: str) -> float:
    """How long a pattern is until it repeats, in dashes of this mean length; 0 if there is none."""
    numbers = [abs(float(each)) for each in _NUMBER.findall(text)]
    total = sum(numbers)
    return max(total / len(numbers), 1e-9) if total > 0 else 0.0


def _length(tag: str, geometry: str | list[str]) -> float:
    if isinstance(geometry, list):
        return sum(abs(float(match[0])) for text in geometry if (match := _NUMBER.search(text)))
    if tag != "path":
        return _steps(_NUMBER.findall(geometry), 0.0, 0.0)
    length = x = y = 0.0
    for command, text in _COMMAND.findall(geometry):
        numbers = _NUMBER.findall(text)
        if command.islower() or command in "HVA":
            length += sum(abs(float(each)) for each in numbers)
        else:
            length += _steps(numbers, x, y)
        if len(numbers) > 1:
            x, y = float(numbers[-2]), float(numbers[-1])
    return length


def _steps(numbers: list[str], x: float, y: float) -> float:
    """The way from point to point."""
    length = 0.0
    pairs = zip(numbers[::2], numbers[1::2], strict=False)
    for next_x, next_y in ((float(a), float(b)) for a, b in pairs):
        length += hypot(next_x - x, next_y - y)
        x, y = next_x, next_y
    return length
