"""TIFF and BigTIFF: directories, strips and tiles (TIFF 6.0 §2; libtiff's BigTIFF design)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imgproxy.errors import BrokenImage, SourceTooExpensive
from imgproxy.render.headers.base import DEFLATE_RATIO, LZW_RATIO, Layout

if TYPE_CHECKING:
    from mmap import mmap

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_HEIGHT = (
    *(256, 257, 258, 259, 277, 278),
    *(322, 323),
)
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_RATIOS = {1: 1, 5: LZW_RATIO, 8: DEFLATE_RATIO, 32773: 64, 32946: DEFLATE_RATIO}
"""How far a file can expand, by compression; the others have no such bound. PackBits: 128 bytes from two."""
_MAX_DIRECTORIES = 1_000
"""Pages, of which one is decoded; libvips looks for all of them: 3,000 took 33 ms."""
_MAX_ENTRIES = 4_000
_HARMLESS = 16 << 20
"""Bytes of pixels that may be missing, where libtiff fills them in: half-broken scans are shown as far as they go."""


class _Directories:
    """The directories of a file, and how its numbers are written."""

    def __init__(self, data: mmap) -> None:
        self._data = data
        self._order = "<" if data[0:2] == b"II" else ">"
        self._big = struct.unpack_from(f"{self._order}H", data, 2)[0] == 43
        self._count, self._offset = ("Q", "Q") if self._big else ("H", "I")
        self._entry = 20 if self._big else 12
        self.first = self._number(self._offset, 8 if self._big else 4)

    def _number(self, kind: str, at: int) -> int:
        (number,) = struct.unpack_from(f"{self._order}{kind}", self._data, at)
        return number

    def bounds(self, at: int) -> tuple[int, int]:
        """Where the entries of the directory at this place begin, and end."""
        start = at + struct.calcsize(f"={self._count}")
        count = self._number(self._count, at)
        if count > _MAX_ENTRIES:
            raise SourceTooExpensive(f"a TIFF directory of {count} entries")
        return start, start + count * self._entry

    def following(self, at: int) -> int:
        """Where the next directory is; 0 after the last."""
        end = self.bounds(at)[1]
        return self._number(self._offset, end) if end + struct.calcsize(f"={self._offset}") <= len(self._data) else 0

    def numbers(self, at: int) -> dict[int, int]:
        """The first number of each entry, by tag, where it is a whole one."""
        found: dict[int, int] = {}
        start, end = self.bounds(at)
        for entry in range(start, end, self._entry):
            tag, kind = self._number("H", entry), self._number("H", entry + 2)
            code = _INTEGERS.get(kind)
            if code is None:
                continue
            count = self._number(self._offset, entry + 4)
            place = entry + (12 if self._big else 8)
            if count * struct.calcsize(f"={code}") > struct.calcsize(f"={self._offset}"):
                place = self._number(self._offset, place)
            if place + struct.calcsize(f"={code}") <= len(self._data):
                found[tag] = self._number(code, place)
        return found


def layout(data: mmap) -> Layout:
    """Raises ``BrokenImage`` if the file cannot hold its pixels, ``SourceTooExpensive`` for too many pages."""
    directories = _Directories(data)
    _count(directories)
    tags = directories.numbers(directories.first)
    width, height = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
    bits = max(1, tags.get(_BITS, 1)) * max(1, tags.get(_SAMPLES, 1))
    ratio = _RATIOS.get(tags.get(_COMPRESSION, 1), 0)
    decoded = width * height * bits // 8
    if ratio and decoded > max(_HARMLESS, ratio * len(data)):
        raise BrokenImage(f"{len(data)} bytes cannot hold {width}x{height} pixels of a TIFF")
    tile_width, tile_height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_HEIGHT, 0)
    if tile_width and tile_height:
        # A row of tiles and its copy, and a tile: 6000x4000 RGB in tiles of 4096x4096 took 148 MB.
        across = -(-width // tile_width)
        return Layout(held=(2 * across + 1) * tile_width * tile_height * bits // 8)
    # 6000x4000 RGB in one strip took 46 MB.
    return Layout(held=min(tags.get(_ROWS, height), height) * width * bits // 8)


def _count(directories: _Directories) -> None:
    """Walk along the directories as far as libtiff would: to the end, or back to where it was, or out of the file."""
    seen: set[int] = set()
    at = directories.first
    while at and at not in seen:
        seen.add(at)
        if len(seen) > _MAX_DIRECTORIES:
            raise SourceTooExpensive(f"a TIFF of more than {_MAX_DIRECTORIES} pages")
        try:
            at = directories.following(at)
        except struct.error:
            return
