"""The parts of an SVG, and how they name each other: what is drawn again and again is paid for as often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from imgproxy.errors import SourceTooExpensive

_FITTED = {"symbol", "svg"}
_PAINTED = {"linearGradient": 0.045, "radialGradient": 0.06, "pattern": 0.01}
"""Passes of what covers the whole picture with it: 9 and 13 ms a megapixel, and 1.3 beside the pattern's own."""
PLAIN = 0.002
"""And of what covers it with a colour: 0.35 ms."""


@dataclass(slots=True)
class Price:
    """What drawing takes."""

    cost: float = 0.0
    """Units of 3 us, whatever size it is drawn at."""
    passes: float = 0.0
    """How often it goes over the whole picture."""
    painted: float = 0.0
    """How often it would, by what its shapes cover."""
    most: float = 0.0
    """And if each covered all of it."""
    shapes: int = 0

    def add(self, other: Price, times: int = 1, scale: float = 1.0) -> None:
        self.cost += other.cost * times
        self.passes += other.passes * times
        self.painted += min(other.painted * scale, other.most) * times
        self.most += other.most * times
        self.shapes += other.shapes * times


@dataclass(slots=True)
class Part:
    """An element with an id, or the document: what it takes without the parts that it names, and which it names."""

    tag: str = ""
    own: Price = field(default_factory=Price)
    names: Counter[tuple[str, float, float]] = field(default_factory=Counter)
    """How often each is drawn, how much its area is enlarged, and what share of the picture it gets if it is a symbol:
    what covers the picture in a symbol covers that share."""
    paints: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often all shapes of a part are painted with another one."""
    covered: dict[str, tuple[float, int]] = field(default_factory=dict)
    """How much of the picture is painted with a part, and by how many shapes."""

    def paint(self, part: str, share: float) -> None:
        """A shape that covers this share of the picture is painted with a part."""
        self.name(part)
        covered, shapes = self.covered.get(part, (0.0, 0))
        self.covered[part] = covered + share, shapes + 1

    def name(self, part: str, times: int = 1, *, enlarged: float = 1.0, share: float = 1.0) -> None:
        self.names[part, enlarged, share] += times


def expanded(document: Part, parts: dict[str, Part], limit: float) -> Price:
    """The price of a document with everything that it names, again and again; beyond ``limit`` it is cut.

    Raises ``SourceTooExpensive`` for parts that contain themselves.
    """
    known: dict[int, Price] = {}
    under_way: set[int] = set()
    stack = [document]
    while stack:
        part = stack[-1]
        if id(part) in known:
            stack.pop()
            continue
        named = {name for name, _, _ in part.names} | {name for pair in part.paints for name in pair}
        unknown = [parts[name] for name in named if name in parts and id(parts[name]) not in known]
        if unknown:
            under_way.add(id(part))
            if any(id(other) in under_way for other in unknown):
                raise SourceTooExpensive("an SVG with a part that contains itself")
            stack += unknown
            continue
        known[id(part)] = _summed(part, parts, known, limit)
        under_way.discard(id(part))
        stack.pop()
    return known[id(document)]


def _summed(part: Part, parts: dict[str, Part], known: dict[int, Price], limit: float) -> Price:
    total = Price()
    total.add(part.own)
    for (name, enlarged, share), times in part.names.items():
        if name in parts:
            total.add(known[id(parts[name])], times, share if parts[name].tag in _FITTED else enlarged)
    for name, (covered, shapes) in part.covered.items():
        weight = _PAINTED.get(parts[name].tag, 0.0) if name in parts else 0.0
        total.painted += weight * covered
        total.most += weight * shapes
    for (name, paint), times in part.paints.items():
        if name in parts and paint in parts:
            painted, weight = known[id(parts[name])], _PAINTED.get(parts[paint].tag, 0.0) / PLAIN
            total.add(known[id(parts[paint])], times * painted.shapes)
            total.painted += painted.painted * times * weight
            total.most += painted.most * times * weight
    total.cost, total.passes = min(total.cost, limit + 1), min(total.passes, limit + 1)
    total.most, total.shapes = min(total.most, limit + 1), min(total.shapes, int(limit) + 1)
    total.painted = min(total.painted, total.most)
    return total
