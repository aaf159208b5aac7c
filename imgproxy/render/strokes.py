"""The outlines of an SVG's shapes: how long they are, how much they cover, and how often they are dashed."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from math import hypot
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DIGITS = r"[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?+\d++)?+"
NUMBER = re.compile(_DIGITS)
_TOKEN = re.compile(rf"[Aa][^A-DF-Za-df-z]*|[A-DF-Za-df-z]|{_DIGITS}")
"""A path's commands, arcs with all of theirs, and numbers; an ``e`` belongs to a number."""
_STEP = {"M": 2, "L": 2, "T": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4}
"""How many numbers a command takes to its next point."""
_LENGTH = re.compile(rf"\s*({_DIGITS})\s*(%|[a-zA-Z]{{2}}|)\s*")
_FAR = 1e9
_UNITS = {"mm": 3.8, "cm": 38.0, "in": 96.0, "pt": 1.4, "pc": 16.0, "em": 16.0, "ex": 8.0}
SHAPES = frozenset({"path", "polyline", "polygon", "line", "rect", "circle", "ellipse", "image", "text", "tspan"})


@dataclass(frozen=True, slots=True)
class Outline:
    """A shape, in its own units."""

    length: float = 0.0
    width: float = 0.0
    height: float = 0.0
    """Of the box around it."""
    points: int = 0


def outline(tag: str, attributes: Mapping[str, str], view: float) -> Outline:
    """The outline of a shape; ``view``: what 100 % means."""
    if tag == "path":
        return _path(attributes.get("d", ""))
    if tag in {"polyline", "polygon"}:
        found = numbers(attributes.get("points", ""))
        return _around(list(zip(found[::2], found[1::2], strict=False)))
    sides = {name: measure(attributes.get(name, ""), view) for name in _SIDES.get(tag, ())}
    if tag == "line":
        return _around([(sides["x1"], sides["y1"]), (sides["x2"], sides["y2"])])
    if tag in {"circle", "ellipse"}:
        across, down = 2 * sides.get("rx", sides.get("r", 0.0)), 2 * sides.get("ry", sides.get("r", 0.0))
        return Outline(2 * (across + down), across, down, 4)
    across, down = sides.get("width", 0.0), sides.get("height", 0.0)
    return Outline(2 * (across + down), across, down, 4)


_SIDES = {
    "line": ("x1", "y1", "x2", "y2"),
    "rect": ("width", "height"),
    "image": ("width", "height"),
    "circle": ("r",),
    "ellipse": ("rx", "ry"),
}


def numbers(text: str) -> list[float]:
    """All numbers of a list, within what drawing can tell apart."""
    return list(map(_number, NUMBER.findall(text)))


def _number(text: str) -> float:
    number = float(text)
    return number if -_FAR < number < _FAR else _FAR


def measure(text: str, view: float, otherwise: float = 0.0) -> float:
    """A length in user units, without its sign; ``view``: what 100 % means. ``otherwise``: for what is none."""
    if text.isdecimal():
        return min(float(text), _FAR)
    found = _LENGTH.fullmatch(text)
    if found is None:
        return otherwise
    factor = view / 100 if found[2] == "%" else _UNITS.get(found[2].lower(), 1.0)
    return min(abs(float(found[1])) * factor, _FAR)


def period(text: str) -> float:
    """How long a pattern is until it repeats, in dashes of this mean length; 0 if there is none."""
    lengths = [measure(each, 100.0) for each in re.split(r"[\s,]+", text)]
    total = sum(lengths)
    return max(total / len(lengths), 1e-9) if total > 0 else 0.0


def _path(data: str) -> Outline:
    """A path by its points and those that bend it; its length is that of the way along the axes."""
    x = y = length = left = right = top = bottom = 0.0
    points = 0
    for new_x, new_y, bent in _points(data):
        if points:
            length += abs(new_x - x) + abs(new_y - y) + bent
            left, right = (new_x, right) if new_x < left else (left, new_x) if new_x > right else (left, right)
            top, bottom = (new_y, bottom) if new_y < top else (top, new_y) if new_y > bottom else (top, bottom)
        else:
            left, right, top, bottom = new_x, new_x, new_y, new_y
        x, y = new_x, new_y
        points += 1
    return Outline(length, right - left, bottom - top, points)


def _points(data: str) -> Iterator[tuple[float, float, float]]:
    """All points of a path, with what the way there is longer than straight. Where it is broken it ends."""
    x = y = 0.0
    step, relative, command = 0, False, ""
    tokens = iter(_TOKEN.findall(data))
    for token in tokens:
        if token[0].isalpha():
            command, relative = token[0].upper(), token[0].islower()
            step = _STEP.get(command, 0)
            for across, down, end_x, end_y in _arcs(token) if command == "A" else ():
                x, y = (x + end_x, y + end_y) if relative else (end_x, end_y)
                yield x, y, 3 * (abs(across) + abs(down))
        elif step == 1:
            number = _number(token)
            x, y = (number + x * relative, y) if command == "H" else (x, number + y * relative)
            yield x, y, 0.0
        elif step:
            part = [token, *islice(tokens, step - 1)]
            if len(part) < step or any(each[0].isalpha() for each in part):
                return
            numbers = list(map(_number, part))
            base_x, base_y = (x, y) if relative else (0.0, 0.0)
            for n in range(0, step, 2):
                x, y = base_x + numbers[n], base_y + numbers[n + 1]
                yield x, y, 0.0


def _arcs(text: str) -> Iterator[tuple[float, float, float, float]]:
    """Radii and ends. The two flags between them may touch what follows: ``a1 1 0 01.5.5``."""
    left = NUMBER.findall(text)[::-1]
    with suppress(IndexError, ValueError):
        while left:
            across, down = _number(left.pop()), _number(left.pop())
            left.pop()
            for _ in range(2):
                flag = left.pop()
                if len(flag) > 1:
                    left.append(flag[1:])
            yield across, down, _number(left.pop()), _number(left.pop())


def _around(points: list[tuple[float, float]]) -> Outline:
    if not points:
        return Outline()
    xs, ys = [x for x, _ in points], [y for _, y in points]
    length = sum(map(hypot, map(float.__sub__, xs[1:], xs), map(float.__sub__, ys[1:], ys)))
    return Outline(length, max(xs) - min(xs), max(ys) - min(ys), len(points))
