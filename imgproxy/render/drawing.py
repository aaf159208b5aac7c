"""What an SVG would cost librsvg, counted in one pass over its XML: no tree is built, nothing is drawn.

librsvg's own limits (a million elements, half a million references) let 4 s of work and 1.3 GB pass, and it cannot be
interrupted. The unit of cost is about 3 us of its time: an element, or a byte of path data.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from imgproxy.errors import BrokenImage, SourceTooExpensive
from imgproxy.formats import GIF, JPEG, PNG, SVG, WEBP, sniff
from imgproxy.render import embedded, strokes
from imgproxy.render.headers.base import Layout

if TYPE_CHECKING:
    from typing import NoReturn

_USUAL = 512 << 10
"""The size of document that the other caps belong to, in bytes."""
_SEPARATOR = " "
_REFERRING = {"use", "pattern", "linearGradient", "radialGradient", "filter", "feImage", "mask", "clipPath", "marker"}
_TEXTS = {"text", "tspan", "textPath", "tref", "title", "desc"}
_URL = re.compile(r"url\(\s*['\"]?#([^)'\"]*)")
_DATA = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
_LAYER = {"mask": 2_000, "clip-path": 200, "opacity": 100}
"""What elements need a surface of their own for."""
_TEXT_COST, _FILTER_COST = 40, 5_000
"""A character (2,000 in one text take 0.26 s, and twice as many four times as long); a primitive over a megapixel."""
_EXPLOSIVE = {"stdDeviation": 500, "order": 15, "radius": 50, "numOctaves": 16, "filterRes": 4_000}
"""Numbers of filter primitives whose cost grows with them, and how large they may be."""
_PASSES = {"feMorphology": 15, "feTurbulence": 4, "feConvolveMatrix": 4, "feGaussianBlur": 1}
"""How often a primitive goes through all pixels, in times of a blur: 0.2 s a megapixel."""
_DRAWN, _SURFACES, _FILTERING, _PRIMITIVE = 6, 16, 16, 8
"""Bytes a pixel: plainly, with masks or groups of their own opacity (13.4), and with filters (25.8 with two)."""
_EMBEDDED = 16
"""Bytes a pixel of an embedded image: as it is decoded, with 16 bits a channel at most, and as it is drawn."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Caps:
    """How much of each thing a drawing may have."""

    elements: int = 20_000
    depth: int = 100
    attributes: int = 100_000
    text: int = 10_000
    """Characters, of all texts."""
    run: int = 2_000
    """Characters of one text: its cost grows with their square."""
    path: int = 256 << 10
    """Characters of path data."""
    filters: int = 50
    """Primitives."""
    rules: int = 5_000_000
    """Rules of its style sheets, times its elements: each is compared with each."""
    cost: int = 600_000
    """Units, with everything that is drawn repeatedly."""
    dashes: int = 200_000
    pixels: int = 24_000_000
    """Of all images embedded."""

    @classmethod
    def of(cls, size: int) -> Caps:
        """The caps of documents of this size in bytes: those for 512 KiB, grown with it. Depth and runs stay."""
        factor = size / _USUAL
        grown = {
            name: int(getattr(cls(), name) * factor)
            for name in ("elements", "attributes", "text", "path", "filters", "rules", "cost", "dashes", "pixels")
        }
        return cls(**grown) if factor > 1 else cls()


@dataclass(slots=True)
class _Part:
    """An element with an id, or the document: what it costs without the parts that it names, and which it names."""

    cost: int = 0
    passes: int = 0
    """Of filters over the whole picture."""
    names: dict[str, int] = field(default_factory=dict)
    """How often each is drawn."""


def check(svg: bytes, caps: Caps, *, drawn: bool = True, nested: bool = False) -> Layout:
    """What drawing takes for each pixel. Raises ``SourceTooExpensive`` beyond the caps, ``BrokenImage`` for no XML.

    One that is not to be drawn only keeps those on elements, depth and attributes.
    """
    reader = _Reader(caps, len(svg), nested=nested)
    reader.read(svg)
    if drawn or not reader.sized:  # without a size, librsvg draws to find it
        return reader.judge()
    return Layout()


class _Reader:
    """The pass: expat's handlers, and what they count."""

    def __init__(self, caps: Caps, size: int, *, nested: bool) -> None:
        self.sized = False
        self._caps = caps
        self._nested = nested
        # Entities and default attributes multiply what is written: old Illustrator files by less than two.
        self._most_characters = 4 * size + 4096
        self._characters = self._elements = self._attributes = self._text = self._run = 0
        self._layers = self._primitives = self._primitives_most = 0
        self._path = self._filters = self._rules = self._pixels = 0
        self._over: str = ""
        self._dashing = strokes.Dashing()
        self._open: list[tuple[str, bool]] = []
        self._document = _Part()
        self._parts: dict[str, _Part] = {}
        self._within: list[_Part] = [self._document]

    def read(self, svg: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._said
        try:
            parser.Parse(svg, True)
        except (expat.ExpatError, ValueError) as error:
            raise BrokenImage(f"not XML: {error}") from None

    def judge(self) -> Layout:
        """Hold what was counted against the caps that are about drawing, and say what it takes."""
        caps = self._caps
        for what, count, most in (
            ("characters of text", self._text, caps.text),
            ("characters of path data", self._path, caps.path),
            ("filter primitives", self._filters, caps.filters),
            ("style rules times elements", self._rules * self._elements, caps.rules),
            ("pixels in embedded images", self._pixels, caps.pixels),
            ("dashes", self._dashing.dashes(), caps.dashes),
        ):
            if count > most:
                _refuse(f"an SVG with {count} {what}, {most} are allowed")
        if self._over:
            _refuse(self._over)
        cost, passes = _expanded(self._document, self._parts, caps.cost)
        if cost > caps.cost:
            _refuse(f"an SVG that draws {caps.cost} units or more: elements, text, paths, and what is repeated")
        surfaces = _SURFACES if self._layers else 0
        filters = _FILTERING + _PRIMITIVE * self._primitives_most if self._primitives_most else 0
        return Layout(held=self._pixels * _EMBEDDED, drawn=_DRAWN + surfaces + filters, passes=passes)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(_SEPARATOR)[2]
        self._elements += 1
        self._attributes += len(attributes)
        self._check_shape()
        if not self._open:
            self.sized = "viewBox" in attributes or {"width", "height"} <= attributes.keys()
        self._open_part(tag, attributes.get("id"))
        self._within[-1].cost += 1
        if tag == "text":
            self._run = 0
        elif tag == "filter":
            self._primitives = 0
        if tag.startswith("fe"):
            self._filter(tag, attributes)
        self._dashing.shape(tag, attributes)
        for key, value in attributes.items():
            self._characters += len(value)
            if len(value) > 1:
                self._attribute(tag, key.rpartition(_SEPARATOR)[2], value)
        if self._characters > self._most_characters:
            _refuse("an SVG whose entities and defaults make it several times as long")

    def _open_part(self, tag: str, own: str | None) -> None:
        # Only the first with an id is the one meant.
        is_part = own is not None and own not in self._parts
        if own is not None and is_part:
            self._parts[own] = _Part()
            self._name(own, 1)
            self._within.append(self._parts[own])
        self._open.append((tag, is_part))

    def _check_shape(self) -> None:
        caps = self._caps
        if self._elements > caps.elements or self._attributes > caps.attributes:
            _refuse(f"an SVG of more than {caps.elements} elements or {caps.attributes} attributes")
        if len(self._open) >= caps.depth:
            _refuse(f"an SVG nested more than {caps.depth} deep")

    def _attribute(self, tag: str, key: str, value: str) -> None:
        if key in {"d", "points"}:
            self._path += len(value)
            self._within[-1].cost += len(value)
        elif key == "href":
            self._link(tag, value)
        elif key in _LAYER:
            self._layers += 1
            self._within[-1].cost += _LAYER[key]
        if "(" in value:
            for part in _URL.findall(value):
                self._name(part, 1)
            if "marker" in key or "marker" in value:
                # Drawn at each vertex; a vertex is written with four characters at least.
                self._within[-1].cost += self._path // 4

    def _link(self, tag: str, value: str) -> None:
        if value.startswith("#"):
            if tag in _REFERRING:
                self._name(value[1:], 1)
        elif match := _DATA.match(value):
            self._embedded(match[1], value[match.end() :])

    def _name(self, part: str, times: int) -> None:
        names = self._within[-1].names
        names[part] = names.get(part, 0) + times

    def _filter(self, tag: str, attributes: dict[str, str]) -> None:
        self._filters += not tag.startswith(("feMergeNode", "feFunc", "fePoint", "feSpot", "feDistant"))
        self._within[-1].cost += _FILTER_COST
        self._within[-1].passes += _PASSES.get(tag, 1)
        self._primitives += 1
        self._primitives_most = max(self._primitives_most, self._primitives)
        for key, most in _EXPLOSIVE.items():
            if any(abs(float(number)) > most for number in _NUMBER.findall(attributes.get(key, ""))):
                self._over = f"an SVG with {key}={attributes[key][:20]} in a filter, {most} is allowed"

    def _embedded(self, kind: str, text: str) -> None:
        """An image in a data URL: its header is judged as that of a source."""
        data = _decoded(kind, text)
        found = sniff(data)
        if found is SVG:
            if self._nested:
                _refuse("an SVG in an SVG in an SVG")
            check(data, self._caps, nested=True)
            self._within[-1].cost += self._caps.cost // 2  # so that there is room for one
        elif found in {PNG, JPEG, GIF, WEBP}:
            self._pixels += embedded.pixels(data, found)
        self._characters -= len(text)

    def _said(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > self._most_characters:
            _refuse("an SVG whose entities make it several times as long")
        tag = self._open[-1][0] if self._open else ""
        if tag == "style":
            self._rules += text.count("{") + text.count(",")
            self._dashing.style(text)
        elif tag in _TEXTS or any(opened == "text" for opened, _ in self._open):
            shown = len(text.strip())
            self._text += shown if tag not in {"title", "desc"} else 0
            self._run += shown if tag not in {"title", "desc"} else 0
            self._within[-1].cost += shown * _TEXT_COST
            if self._run > self._caps.run:
                self._over = f"an SVG with a text of more than {self._caps.run} characters"

    def _end(self, _: str) -> None:
        _, is_part = self._open.pop()
        if is_part:
            self._within.pop()


def _expanded(document: _Part, parts: dict[str, _Part], limit: int) -> tuple[int, int]:
    """Cost and passes of a document with everything that it names, again and again; beyond ``limit`` they are cut.

    Raises ``SourceTooExpensive`` for parts that contain themselves.
    """
    known: dict[int, tuple[int, int]] = {}
    under_way: set[int] = set()
    stack = [document]
    while stack:
        part = stack[-1]
        named = [(parts[name], times) for name, times in part.names.items() if name in parts]
        unknown = [other for other, _ in named if id(other) not in known]
        if unknown and id(part) not in known:
            under_way.add(id(part))
            if any(id(other) in under_way for other in unknown):
                _refuse("an SVG with a part that contains itself")
            stack += unknown
            continue
        cost = part.cost + sum(known[id(other)][0] * times for other, times in named)
        passes = part.passes + sum(known[id(other)][1] * times for other, times in named)
        known[id(part)] = min(cost, limit + 1), min(passes, limit + 1)
        under_way.discard(id(part))
        stack.pop()
    return known[id(document)]


def _decoded(kind: str, text: str) -> bytes:
    if not kind.lower().rstrip().endswith("base64"):
        return unquote_to_bytes(text)
    digits = re.sub(rb"[^A-Za-z0-9+/]", b"", unquote_to_bytes(text))
    return binascii.a2b_base64(digits[: len(digits) // 4 * 4])


def _refuse(reason: str) -> NoReturn:
    raise SourceTooExpensive(reason)
