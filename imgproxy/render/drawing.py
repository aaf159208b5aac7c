"""What an SVG would cost librsvg, counted in two passes over its XML: no tree is built, nothing is drawn.

librsvg's own limits (a million elements, half a million references) let 4 s of work and 1.3 GB pass, and it cannot be
interrupted. The unit of cost is about 3 us of its time: an element, or a byte of path data. What grows with the picture
is counted in passes over it: one takes 0.2 s a megapixel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING
from xml.parsers import expat

from imgproxy.errors import BrokenImage, SourceTooExpensive
from imgproxy.formats import GIF, JPEG, PNG, SVG, WEBP, sniff
from imgproxy.render import embedded, styles
from imgproxy.render.canvas import Canvas, Surroundings
from imgproxy.render.headers.base import Layout
from imgproxy.render.references import Part, expanded

if TYPE_CHECKING:
    from typing import NoReturn

_USUAL = 512 << 10
"""The size of document that the other caps belong to, in bytes."""
_SEPARATOR = " "
_REFERRING = {"use", "pattern", "linearGradient", "radialGradient", "filter", "feImage", "mask", "clipPath", "marker"}
_UNDRAWN = _REFERRING - {"use", "feImage"} | {"symbol"}
"""Elements that are drawn where they are named, and nowhere else."""
_TEXTS = {"text", "tspan", "textPath", "tref", "title", "desc"}
_DATA = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
_TEXT_COST = 40
"""A character: 2,000 in one text take 0.26 s, and twice as many four times as long."""
_TOO_MUCH = "an SVG that draws {} units or more: elements, text, paths, and what is repeated"
_LONGER = "an SVG whose entities and defaults make it several times as long"
_DECLARATION = 0.02
"""55 ns of librsvg: 6,000 of a rule for 9,000 elements took 3 s."""
_DRAWN, _SURFACES, _FILTERING, _PRIMITIVE = 6, 16, 16, 8
"""Bytes a pixel: plainly, with masks or groups of their own opacity (13.4), and with filters (25.8 with two)."""
_EMBEDDED = 16
"""Bytes a pixel of an embedded image: as it is decoded, with 16 bits a channel at most, and as it is drawn."""


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
    declared: int = 200_000
    """What its style sheets say of its elements, each time."""
    cost: int = 450_000
    """Units, with everything that is drawn repeatedly."""
    dashes: int = 200_000
    pixels: int = 24_000_000
    """Of all images embedded."""

    @classmethod
    def of(cls, size: int) -> Caps:
        """The caps of documents of this size in bytes: those for 512 KiB, grown with it. Depth and runs stay."""
        factor = size / _USUAL
        growing = (each.name for each in fields(cls) if each.name not in {"depth", "run"})
        grown = {name: int(getattr(cls(), name) * factor) for name in growing}
        return cls(**grown) if factor > 1 else cls()


def check(svg: bytes, caps: Caps, *, drawn: bool = True, nested: bool = False) -> Layout:
    """What drawing takes for each pixel. Raises ``SourceTooExpensive`` beyond the caps, ``BrokenImage`` for no XML.

    One that is not to be drawn only keeps those on elements, depth and attributes.
    """
    reader = _Reader(caps, len(svg), drawn=drawn, nested=nested)
    reader.read(svg)
    return reader.judge() if reader.drawn else Layout()


def _sheets(svg: bytes, elements: int, characters: int) -> styles.Sheet:
    """All style sheets of a document, up to so many characters: one that stands at its end holds for all of it."""
    sheet, texts = styles.Sheet(), list[str]()

    def start(name: str, _: dict[str, str]) -> None:
        sheet.elements += 1
        if sheet.elements > elements:
            _refuse(f"an SVG of more than {elements} elements")
        if name.rpartition(_SEPARATOR)[2] == "style":
            parser.CharacterDataHandler = said

    def said(text: str) -> None:
        nonlocal characters
        characters -= len(text)
        if characters < 0:
            _refuse(_LONGER)
        texts.append(text)

    def end(name: str) -> None:
        if name.rpartition(_SEPARATOR)[2] == "style":
            sheet.read("".join(texts))
            texts.clear()
            parser.CharacterDataHandler = None

    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    parser.specified_attributes = True  # defaults are looked at in the second pass
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(svg, True)
    return sheet


class _Reader:
    """The pass: expat's handlers, and what they count."""

    def __init__(self, caps: Caps, size: int, *, drawn: bool, nested: bool) -> None:
        self.drawn = drawn
        """Or to be measured by drawing it, which librsvg does where it does not say its size."""
        self._caps = caps
        self._nested = nested
        # Entities and default attributes multiply what is written: old Illustrator files by less than two.
        self._most_characters = 4 * size + 4096
        self._characters = self._attributes = self._text = self._run = 0
        self._path = self._pixels = self._declared = 0
        self._over: str = ""
        self._sheet = styles.Sheet()
        self._open: list[tuple[str, bool]] = []
        self._document = Part()
        self._parts: dict[str, Part] = {}
        self._within: list[Part] = [self._document]
        self._canvas = Canvas()
        self._around: list[Surroundings] = [Surroundings()]

    def read(self, svg: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._said
        parser.ProcessingInstructionHandler = _check_instruction
        try:
            self._sheet = _sheets(svg, self._caps.elements, self._most_characters)
            if self._sheet.brings:
                _refuse("an SVG with a style sheet that imports data")
            parser.Parse(svg, True)
        except (expat.ExpatError, ValueError) as error:
            raise BrokenImage(f"not XML: {error}") from None

    def judge(self) -> Layout:
        """Hold what was counted against the caps that are about drawing, and say what it takes."""
        caps, canvas = self._caps, self._canvas
        for what, count, most in (
            ("characters of text", self._text, caps.text),
            ("characters of path data", self._path, caps.path),
            ("filter primitives", canvas.primitives, caps.filters),
            ("pixels in embedded images", self._pixels, caps.pixels),
            ("dashes", int(canvas.dashes), caps.dashes),
        ):
            if count > most:
                _refuse(f"an SVG with {count} {what}, {most} are allowed")
        if self._over or canvas.over:
            _refuse(self._over or canvas.over)
        price = expanded(self._document, self._parts, caps.cost)
        if price.cost > caps.cost:
            _refuse(_TOO_MUCH.format(caps.cost))
        surfaces = _SURFACES if canvas.layers else 0
        filters = _FILTERING + _PRIMITIVE * canvas.primitives_most if canvas.primitives_most else 0
        return Layout(
            held=self._pixels * _EMBEDDED, drawn=_DRAWN + surfaces + filters, passes=price.passes + price.painted
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(_SEPARATOR)[2]
        self._attributes += len(attributes)
        self._check_shape()
        if not self._open:
            self._begin(attributes)
        self._open_part(tag, attributes.get("id"))
        if tag == "text":
            self._run = 0
        for key, value in attributes.items():
            self._characters += len(value)
            if len(value) > 1:
                self._attribute(tag, key.rpartition(_SEPARATOR)[2], value)
        if self._characters > self._most_characters:
            _refuse(_LONGER)
        if self.drawn:
            self._draw(tag, attributes)

    def _begin(self, attributes: dict[str, str]) -> None:
        self.drawn |= "viewBox" not in attributes and not {"width", "height"} <= attributes.keys()
        if self.drawn and self._sheet.compared > self._caps.rules:
            _refuse(f"an SVG that compares {self._sheet.compared} times, {self._caps.rules} are allowed")

    def _draw(self, tag: str, attributes: dict[str, str]) -> None:
        part, rule = self._within[-1], self._sheet.matching(tag, attributes)
        part.own.cost += 1 + rule.count * _DECLARATION
        self._declared += len(rule.properties)
        around = self._canvas.entered(self._around[-1], part, tag, attributes, rule.properties)
        self._around[len(self._open) :] = [around]
        if part.own.cost > self._caps.cost:
            _refuse(_TOO_MUCH.format(self._caps.cost))
        if self._declared > self._caps.declared:
            _refuse(f"an SVG whose style sheets say more than {self._caps.declared} things of its elements")

    def _open_part(self, tag: str, own: str | None) -> None:
        # Only the first with an id is the one meant.
        is_part = own is not None and own not in self._parts
        if own is not None and is_part:
            self._parts[own] = Part(tag)
            if tag not in _UNDRAWN:
                self._within[-1].name(own)
            self._within.append(self._parts[own])
        self._open.append((tag, is_part))

    def _check_shape(self) -> None:
        caps = self._caps
        if self._attributes > caps.attributes:
            _refuse(f"an SVG of more than {caps.attributes} attributes")
        if len(self._open) >= caps.depth:
            _refuse(f"an SVG nested more than {caps.depth} deep")

    def _attribute(self, tag: str, key: str, value: str) -> None:
        if key in {"d", "points"}:
            self._path += len(value)
            self._within[-1].own.cost += len(value)
            if self.drawn and self._path > self._caps.path:
                _refuse(f"an SVG with more than {self._caps.path} characters of path data")
        elif key == "href":
            self._link(tag, value)

    def _link(self, tag: str, value: str) -> None:
        if value.startswith("#"):
            if tag in _REFERRING and tag != "use":
                self._within[-1].name(value[1:])
        elif match := _DATA.match(value):
            if tag == "include":  # of XInclude: what it brings would be read as if it had been written here
                _refuse("an SVG that includes others")
            self._embedded(match[1], value[match.end() :])

    def _embedded(self, kind: str, text: str) -> None:
        """An image in a data URL: its header is judged as that of a source."""
        data = embedded.decoded(kind, text)
        found = sniff(data)
        if found is SVG or (found is None and embedded.may_be_drawing(data)):
            self._nest(data)
        elif found in {PNG, JPEG, GIF, WEBP}:
            self._pixels += embedded.pixels(data, found)
        self._characters -= len(text)

    def _nest(self, data: bytes) -> None:
        """A drawing in the drawing."""
        if self._nested:
            _refuse("an SVG in an SVG in an SVG")
        try:
            inner = check(data, self._caps, nested=True)
        except BrokenImage:
            # What this parser cannot read, librsvg's perhaps can: packed, or in another encoding.
            _refuse("an SVG in an SVG that cannot be looked into")
        self._within[-1].own.cost += self._caps.cost // 2  # so that there is room for one
        self._within[-1].own.passes += inner.passes
        self._canvas.layers += 1

    def _said(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > self._most_characters:
            _refuse(_LONGER)
        tag = self._open[-1][0] if self._open else ""
        if tag in _TEXTS or any(opened == "text" for opened, _ in self._open):
            shown = len(text.strip())
            self._text += shown if tag not in {"title", "desc"} else 0
            self._run += shown if tag not in {"title", "desc"} else 0
            self._within[-1].own.cost += shown * _TEXT_COST
            if self._run > self._caps.run:
                self._over = f"an SVG with a text of more than {self._caps.run} characters"

    def _end(self, _: str) -> None:
        _, is_part = self._open.pop()
        del self._around[len(self._open) + 1 :]
        if is_part:
            self._within.pop()


def _check_instruction(target: str, text: str) -> None:
    """Refuse a style sheet in a data URL, plainly or by references to its characters."""
    if target == "xml-stylesheet" and ("&" in text or "data:" in text.lower()):
        _refuse("an SVG whose style sheet is data")


def _refuse(reason: str) -> NoReturn:
    raise SourceTooExpensive(reason)
