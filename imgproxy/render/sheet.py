"""A contact sheet: a picture of many pictures, in rows with a title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import pyvips

from imgproxy.render.comparing import decoded

_CELL, _SIDE, _GAP, _MARGIN = 220, 230, 16, 24
"""Side of a picture, width of the titles, space between pictures, space around all: px."""
_CAPTION = 40
_PAPER, _INK, _FAINT, _LINE = (250, 250, 248), (28, 28, 30), (112, 112, 118), (222, 222, 218)
_RED = (176, 32, 32)
_SQUARE, _LIGHT, _DARK = 8, 255, 232
"""The squares that shine through where a picture is transparent: side in px, shades."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture and what is written below it; without one, what went wrong."""

    body: bytes
    caption: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Pictures of one kind."""

    title: str
    note: str
    cells: Sequence[Cell]


def contact_sheet(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    """The sheet as a PNG. Raises ``pyvips.Error`` for pictures that cannot be read."""
    width = 2 * _MARGIN + _SIDE + len(columns) * (_CELL + _GAP)
    sheet = _head(columns, width)
    for part in (*(_row(row, width) for row in rows), _flat(width, _MARGIN, _PAPER)):
        sheet = sheet.join(part, "vertical")
    return sheet.pngsave_buffer(compression=9)


def _head(columns: Sequence[str], width: int) -> pyvips.Image:
    strip = _flat(width, _MARGIN + 34, _PAPER)
    for place, name in enumerate(columns):
        strip = _write(strip, name, (_left(place), _MARGIN), _CELL, _INK, bold=True)
    return strip


def _row(row: Row, width: int) -> pyvips.Image:
    title = _text(row.title, _SIDE - _GAP, bold=True)
    note = _text(row.note, _SIDE - _GAP)
    pictures = [None if cell.failed else _shown(cell.body) for cell in row.cells]
    below = max((each.height for each in pictures if each), default=0)
    faults = [_text(cell.caption, _CELL).height for cell in row.cells if cell.failed]
    height = max(below + _CAPTION, title.height + note.height + 10, *faults) + 2 * _GAP
    strip = _flat(width, height, _PAPER).insert(_flat(width - 2 * _MARGIN, 1, _LINE), _MARGIN, 0)
    strip = _ink(strip, title, (_MARGIN, _GAP), _INK)
    strip = _ink(strip, note, (_MARGIN, _GAP + title.height + 10), _FAINT)
    for place, (cell, picture) in enumerate(zip(row.cells, pictures, strict=True)):
        left = _left(place)
        if picture is None:
            strip = _write(strip, cell.caption, (left, _GAP), _CELL, _RED)
            continue
        strip = strip.insert(picture, left, _GAP + below - picture.height)
        strip = _write(strip, cell.caption, (left, _GAP + below + 8), _CELL, _FAINT)
    return strip


def _left(place: int) -> int:
    return _MARGIN + _SIDE + place * (_CELL + _GAP)


def _shown(body: bytes) -> pyvips.Image:
    """The picture at its own size, or smaller; over squares where it is transparent."""
    image = pyvips.Image.new_from_buffer(body, "")
    if image.hasalpha():
        if image.interpretation != "srgb":
            image = image.colourspace("srgb")
        image = _squares(image.width, image.height).composite2(image.cast("uchar"), "over").flatten()
        image = image.cast("uchar")
    else:
        image = decoded(body)
    scale = min(1.0, _CELL / image.width, _CELL / image.height)
    return image.resize(scale) if scale < 1 else image


def _squares(width: int, height: int) -> pyvips.Image:
    places = pyvips.Image.xyz(width, height)
    odd = ((places[0] / _SQUARE).floor() + (places[1] / _SQUARE).floor()) % 2
    shade = (odd > 0).ifthenelse(_DARK, _LIGHT).cast("uchar")
    return shade.bandjoin([shade, shade]).copy(interpretation="srgb")


def _flat(width: int, height: int, colour: Colour) -> pyvips.Image:
    one = pyvips.Image.black(1, 1, bands=3).linear([1.0], [*colour], uchar=True).copy(interpretation="srgb")
    return one.embed(0, 0, width, height, extend="copy")


def _text(text: str, width: int, *, bold: bool = False) -> pyvips.Image:
    """The ink of a text, 0 to 255. An empty one has a pixel without."""
    if not text.strip():
        return pyvips.Image.black(1, 1)
    font = f"sans {'bold ' if bold else ''}9.5"
    return pyvips.Image.text(escape(text), font=font, dpi=96, width=width, wrap="word-char", spacing=3)


def _write(
    strip: pyvips.Image, text: str, place: tuple[int, int], width: int, colour: Colour, *, bold: bool = False
) -> pyvips.Image:
    return _ink(strip, _text(text, width, bold=bold), place, colour)


def _ink(strip: pyvips.Image, ink: pyvips.Image, place: tuple[int, int], colour: Colour) -> pyvips.Image:
    """The strip with a text on it."""
    left, top = place
    below = strip.crop(left, top, ink.width, ink.height)
    return strip.insert(ink.ifthenelse(_flat(ink.width, ink.height, colour), below, blend=True), left, top)
