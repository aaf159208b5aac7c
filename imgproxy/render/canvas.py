"""What an SVG's elements do to the picture: shapes, filters, masks and layers, in times that they go over all of it.

Measured with the librsvg of libvips 8.18.7 at 0.1 to 1 megapixel, as multiples of a Gaussian blur of the whole picture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import hypot, sqrt
from typing import TYPE_CHECKING

from imgproxy.render import strokes, styles
from imgproxy.render.references import PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgproxy.render.references import Part

_URL = re.compile(r"url\(\s*['\"]?#([^)'\"]*)", re.IGNORECASE)
_FUNCTION = re.compile(r"(?<![a-z-])(?!url\()[a-z-]++\(", re.IGNORECASE)
_SCALING = re.compile(r"(scale|matrix)\w*\(([^)]*)", re.IGNORECASE)
_TRANSFORM = re.compile(r"\s*(?:[a-zA-Z]+\s*\([-+\d\s.,eE]*\)[\s,]*)*")
_PAINT = re.compile(r"\s*(?:none|black|white|currentColor|#(?:[0-9a-f]{3}){1,2})\s*$|\s*url\(", re.IGNORECASE)
_FILTER_COST = 5_000
_FONT_COST = 600
"""The first text in a font of this size: 2 ms."""
_EXPLOSIVE = {"stdDeviation": 500, "order": 15, "radius": 50, "numOctaves": 16, "filterRes": 4_000}
"""Numbers of filter primitives whose cost grows with them, and how large they may be."""
_LAYERS = {"mask": (2_000, 0.1), "clip-path": (200, 0.002), "opacity": (100, 0.002), "mix-blend-mode": (100, 0.1)}
"""What elements need a surface of their own for: units of cost, and passes."""
_NOTHING = {"none", "1", "1.0", "normal", "100%", "inherit", "auto"}
_NAMING = {"filter", "mask", "clip-path"}
_COSTLY = {*_LAYERS, "filter"}
_MARKERS = ("marker", "marker-start", "marker-mid", "marker-end")
_MARKED = {"path", "line", "polyline", "polygon"}
_LASTING = {"fill", "stroke", "stroke-dasharray", "transform", *_MARKERS}
"""Properties that hold for what is inside as well."""
_ENLARGING = {"svg", "symbol", "marker", "pattern"}
_PASSES = {"feMorphology": 25.0, "feDisplacementMap": 7.0}
"""0.2 s a megapixel each; librsvg goes over a window of each pixel, whatever the radius is from ten on."""
_IMAGE = 0.02
"""Passes of an image that covers all: 2.7 ms a megapixel."""
_CROSSING = 0.5
"""Units of cost for the square of a path's length, in diagonals of the picture: each row sorts all that crosses it.
2,000 lines from one random point to the next took 0.75 s, 4,000 more than 2 s."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What holds where an element stands: what it inherits, and what its units mean."""

    fill: frozenset[str] = frozenset()
    stroke: frozenset[str] = frozenset()
    markers: frozenset[str] = frozenset()
    """Ids of what shapes are painted with, and of what is put on their corners."""
    dash: float = 0.0
    """How long a dash is; 0 for none."""
    area: float = 1.0
    """By how much all transforms together enlarge an area."""
    names: frozenset[str] = frozenset()
    """Ids of this element and those around it: nothing is painted with what it is in."""


class Canvas:
    """What all elements take together."""

    def __init__(self) -> None:
        self.layers = self.primitives = self.primitives_most = 0
        self.dashes = 0.0
        self.over = ""
        self._in_filter = 0
        self._width = self._height = 0.0
        """Of the picture, in its own units; as large as its largest shape if it does not say."""
        self._sized = False
        self._known: dict[tuple[int, int, tuple[tuple[str, str], ...]], tuple[Surroundings, Surroundings]] = {}
        self._fonts: set[frozenset[tuple[str, str]]] = set()

    def entered(
        self,
        outer: Surroundings,
        part: Part,
        tag: str,
        attributes: Mapping[str, str],
        maybe: Sequence[tuple[str, str]],
    ) -> Surroundings:
        """Count an element for ``part``; what holds within it. ``maybe``: what rules say of it, of which some hold."""
        declared = styles.declared(tag, attributes)
        inner = self._inherited(outer, declared, maybe, tag, attributes)
        every = (*declared, *maybe)
        for name, value in every:
            if name in _COSTLY:
                self._property(part, name, value)
        if fonts := frozenset(each for each in every if each[0] in styles.FONT) if every else None:
            part.own.cost += 0 if fonts in self._fonts else _FONT_COST
            self._fonts.add(fonts)
        if tag in strokes.SHAPES:
            self._shape(part, tag, attributes, inner)
        elif tag == "use":
            self._use(part, attributes, inner)
        elif tag == "filter":
            self._in_filter = 0
        elif tag.startswith("fe"):
            self._primitive(part, tag, attributes)
        return inner

    def _inherited(
        self,
        outer: Surroundings,
        declared: list[tuple[str, str]],
        maybe: Sequence[tuple[str, str]],
        tag: str,
        attributes: Mapping[str, str],
    ) -> Surroundings:
        own = attributes.get("id")
        names = outer.names | {own} if own else outer.names
        every = (*declared, *maybe)
        if tag not in _ENLARGING and all(name not in _LASTING for name, _ in every):
            return outer if names is outer.names else replace(outer, names=names)
        # Elements in a row often say the same. The key names objects that live as long as it does.
        key = (id(outer), id(maybe), tuple(declared))
        usual = own is None and tag not in _ENLARGING
        if usual and key in self._known:
            return self._known[key][1]
        # What is no paint is passed over, and so inherits; what is anything else than a usual one may be none.
        given = {name for name, value in declared if _PAINT.match(value)}
        fill, stroke, markers = (_named(every, names) for names in (("fill",), ("stroke",), _MARKERS))
        dashes = [strokes.period(value) for name, value in every if name == "stroke-dasharray"]
        inner = Surroundings(
            fill=fill if "fill" in given else fill | outer.fill,
            stroke=stroke if "stroke" in given else stroke | outer.stroke,
            markers=markers | outer.markers,
            dash=min((dash for dash in (*dashes, outer.dash) if dash), default=0.0),
            area=self._area(outer.area * _transformed(declared, maybe), tag, attributes),
            names=names,
        )
        if usual:
            self._known[key] = (outer, inner)
        return inner

    def _area(self, area: float, tag: str, attributes: Mapping[str, str]) -> float:
        if tag not in _ENLARGING:
            return min(area, 1e18)
        box = strokes.numbers(attributes.get("viewBox", ""))[2:4]
        inside = abs(box[0] * box[1]) if len(box) > 1 else 0.0
        across, down = (strokes.measure(attributes.get(name, ""), 0.0, 0.0) for name in ("width", "height"))
        if tag == "svg" and not self._width and not self._height:
            self._width, self._height = (abs(box[0]), abs(box[1])) if inside else (across, down)
            self._sized = bool(self._width and self._height)
        elif tag == "svg" and inside:
            area *= (across * down or self._width * self._height) / inside
        elif tag in {"symbol", "pattern"} and inside:
            # As if it filled the picture: `use` says what share of it.
            area = self._width * self._height / inside
        elif tag == "marker" and inside:
            sides = [strokes.measure(attributes.get(name, "3"), 3.0, 3.0) for name in ("markerWidth", "markerHeight")]
            area *= sides[0] * sides[1] / inside
        return min(area, 1e18)

    def _property(self, part: Part, name: str, value: str) -> None:
        if name in _LAYERS and value.strip() not in _NOTHING:
            cost, passes = _LAYERS[name]
            self.layers += 1
            part.own.cost += cost
            part.own.passes += passes
        if name in _NAMING:
            for each in _URL.findall(value):
                part.name(each)
        if name == "filter" and (functions := len(_FUNCTION.findall(value))):
            self.primitives += functions
            self.primitives_most = max(self.primitives_most, functions)
            part.own.cost += functions * _FILTER_COST
            part.own.passes += functions

    def _shape(self, part: Part, tag: str, attributes: Mapping[str, str], inner: Surroundings) -> None:
        view = hypot(self._width, self._height)
        shape = strokes.outline(tag, attributes, view)
        if not self._sized:
            self._width, self._height = max(self._width, shape.width), max(self._height, shape.height)
        scale = sqrt(inner.area)
        share = self._covered(shape, inner.area)
        for paint in (inner.fill | inner.stroke) - inner.names:
            part.paint(paint, share)
        for marker in inner.markers - inner.names:
            part.name(marker, shape.points if tag in _MARKED else 0)
        if inner.dash:
            dashes = shape.length / inner.dash
            self.dashes = min(self.dashes + dashes, 1e12)
            part.own.cost += dashes
        part.own.cost += self._crossings(shape, scale) if tag in {"path", "polyline", "polygon"} else 0.0
        weight = _IMAGE if tag == "image" else PLAIN
        part.own.painted += weight * share
        part.own.most += weight
        part.own.shapes += 1

    def _covered(self, shape: strokes.Outline, area: float) -> float:
        picture = self._width * self._height
        return min(1.0, shape.width * shape.height * area / picture) if picture else 1.0

    def _crossings(self, shape: strokes.Outline, scale: float) -> float:
        # What is smaller than the picture has fewer rows, but all of its way in them.
        across, view = hypot(shape.width, shape.height) * scale, hypot(self._width, self._height)
        if not across:
            return 0.0
        rows = min(1.0, across / view) if view else 1.0
        return min(_CROSSING * (shape.length * scale / across) ** 2 * rows, 1e12)

    def _use(self, part: Part, attributes: Mapping[str, str], inner: Surroundings) -> None:
        picture, view = self._width * self._height, hypot(self._width, self._height)
        share = 1.0
        if picture and ("width" in attributes or "height" in attributes):
            across, down = (strokes.measure(attributes.get(name, ""), view, view) for name in ("width", "height"))
            share = min(1.0, across * down * inner.area / picture)
        # Of two links, one in the old way, either may be the one that is followed.
        for target in [value[1:] for name, value in attributes.items() if name.endswith("href") and value[:1] == "#"]:
            part.name(target, enlarged=inner.area, share=share)
            for paint in (inner.fill | inner.stroke) - inner.names:
                part.paints[target, paint] += 1

    def _primitive(self, part: Part, tag: str, attributes: Mapping[str, str]) -> None:
        if tag.startswith(("feFunc", "fePoint", "feSpot", "feDistant")):
            return
        part.own.cost += _FILTER_COST
        part.own.passes += _passes(tag, attributes)
        self.primitives += tag != "feMergeNode"
        self._in_filter += 1
        self.primitives_most = max(self.primitives_most, self._in_filter)
        for key, most in _EXPLOSIVE.items():
            if any(abs(number) > most for number in strokes.numbers(attributes.get(key, ""))):
                self.over = f"an SVG with {key}={attributes[key][:20]} in a filter, {most} is allowed"


def _passes(tag: str, attributes: Mapping[str, str]) -> float:
    """How often a filter primitive goes over the picture."""
    if tag == "feConvolveMatrix":
        order = strokes.numbers(attributes.get("order", "")) or [3.0]
        return max(2.0, order[0] * order[-1] / 16)
    if tag == "feTurbulence":
        return 2 + 0.25 * max(strokes.numbers(attributes.get("numOctaves", "")), default=1.0)
    return _PASSES.get(tag, 1.0)


def _named(properties: tuple[tuple[str, str], ...], names: tuple[str, ...]) -> frozenset[str]:
    """The ids that properties of these names point to."""
    return frozenset(
        each for name, value in properties if name in names and "(" in value for each in _URL.findall(value)
    )


def _transformed(declared: Sequence[tuple[str, str]], maybe: Sequence[tuple[str, str]]) -> float:
    """By how much the transforms of an element enlarge it, at most."""
    own = [_enlarged(value) for name, value in declared if name == "transform"]
    return max(*(own or [1.0]), *(_enlarged(value) for name, value in maybe if name == "transform"), 0.0)


def _enlarged(transform: str) -> float:
    """By how much a transform enlarges an area; one that may not be valid does not make it smaller."""
    area = 1.0
    for kind, text in _SCALING.findall(transform):
        numbers = strokes.numbers(text)
        if kind.lower() == "scale" and numbers:
            area *= abs(numbers[0] * numbers[min(1, len(numbers) - 1)])
        elif len(numbers) > 3:
            area *= abs(numbers[0] * numbers[3] - numbers[1] * numbers[2])
    return area if _TRANSFORM.fullmatch(transform) else max(1.0, area)
