"""The boxes of a media file (ISO/IEC 14496-12 §4.2), and what its ``iloc`` says of where items are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.errors import SourceTooExpensive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

_CONTAINERS = {
    **dict.fromkeys((b"meta", b"iref"), 4),
    **dict.fromkeys((b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl"), 0),
}
"""Boxes that are looked into, and what comes before their contents. In ``iinf`` that is a number as well."""
_MAX_BOXES = 2_000
_MAX_DEPTH = 12
"""Tables of a film lie in the sixth; libheif follows 20."""
_MAX_EXTENTS = 4_000


@dataclass(frozen=True, slots=True)
class Box:
    """Where the contents of a box begin and end."""

    kind: bytes
    start: int
    end: int


def walk(data: mmap) -> Iterator[Box]:
    """Each box, outer ones first. Raises ``SourceTooExpensive`` for too many, or nested too deep."""
    # A stack and not recursion: a file must not decide how deep Python's calls go.
    ends, at, count = [len(data)], 0, 0
    while ends:
        if at + 8 > ends[-1]:
            at = ends.pop()
            continue
        size, kind, start = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8]), at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        stop = at + size if size else ends[-1]
        if stop < start or stop > ends[-1]:
            at = ends.pop()
            continue
        count += 1
        if count > _MAX_BOXES or len(ends) > _MAX_DEPTH:
            raise SourceTooExpensive(f"an AVIF of more than {_MAX_BOXES} boxes, or nested more than {_MAX_DEPTH} deep")
        yield Box(kind, start, stop)
        at = stop
        if kind in _CONTAINERS or kind == b"iinf":
            ends.append(stop)
            at = start + (_CONTAINERS[kind] if kind in _CONTAINERS else 8 if data[start] else 6)


def stored(data: mmap, iloc: Box, idat: int, most: int) -> dict[int, list[tuple[int, int]]]:
    """Where the parts of each item begin in the file, and how long they are, by its number (§8.11.3).

    ``idat``: where the contents of that box begin. Raises ``SourceTooExpensive`` for parts of parts.
    """
    at, end = iloc.start, iloc.end
    version, sizes = data[at], int.from_bytes(data[at + 4 : at + 6], "big")
    offset, length, base, index = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15 if version else 0
    wide = 4 if version == 2 else 2
    reader = Numbers(data, at + 6)
    found: dict[int, list[tuple[int, int]]] = {}
    extents = 0
    for _ in range(min(reader.take(wide), most)):
        number = reader.take(wide)
        method = reader.take(2) & 15 if version else 0
        reader.take(2)
        origin = reader.take(base) + (idat if method == 1 else 0)
        count = reader.take(2)
        extents += count
        if extents > _MAX_EXTENTS:
            raise SourceTooExpensive(f"an AVIF whose items lie in more than {_MAX_EXTENTS} parts")
        parts: list[tuple[int, int]] = []
        for _ in range(count):
            reader.take(index)
            parts.append((origin + reader.take(offset), reader.take(length)))
        if reader.at > end:
            break
        if method > 1:
            raise SourceTooExpensive("an AVIF whose items are stored in each other")
        found[number] = parts
    return found


class Numbers:
    """Whole numbers, one after the other; zeros behind the end."""

    def __init__(self, data: mmap, at: int) -> None:
        self._data = data
        self.at = at

    def take(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self._data[self.at - size : self.at], "big")
