"""TIFF and BigTIFF: directories, strips and tiles (TIFF 6.0 §2; libtiff's BigTIFF design)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imgproxy.errors import BrokenImage, SourceTooExpensive
from imgproxy.render.headers import jpeg, profile
from imgproxy.render.headers.base import DEFLATE_RATIO, LZW_RATIO, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_HEIGHT = (
    *(256, 257, 258, 259, 277, 278),
    *(322, 323),
)
_STRIPS, _STRIP_LENGTHS, _TILES, _TILE_LENGTHS, _PROFILE = 273, 279, 324, 325, 34675
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WIDTHS = dict(enumerate((0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)))
"""Bytes of a value, by kind."""
_JPEGS = {6, 7}
_RATIOS = {1: 1, 5: LZW_RATIO, 8: DEFLATE_RATIO, 32773: 64, 32946: DEFLATE_RATIO}
"""How far a file can expand, by compression; the others have no such bound. PackBits: 128 bytes from two."""
_MAX_DIRECTORIES = 1_000
"""Pages, of which one is decoded; libvips looks for all of them: 3,000 took 33 ms."""
_MAX_ENTRIES = 4_000
_MAX_ALL_ENTRIES = 40_000
_SPARE = 1 << 20
"""Bytes that entries may hold beside those of the file, each once: 3,900 that lie in each other took 3 s."""
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

    def entries(self, at: int) -> Iterator[tuple[int, int, int, int]]:
        """Tag, kind and count of each entry, and where its values are."""
        start, end = self.bounds(at)
        kind = f"{self._order}HH{self._offset}{self._offset}"
        held = struct.calcsize(f"={self._offset}")
        whole = (min(end, len(self._data)) - start) // self._entry * self._entry
        for number, (tag, code, count, place) in enumerate(struct.iter_unpack(kind, self._data[start : start + whole])):
            inside = count * _WIDTHS.get(code, 0) <= held
            yield tag, code, count, start + number * self._entry + self._entry - held if inside else place

    def numbers(self, at: int) -> dict[int, int]:
        """The first number of each entry, by tag, where it is a whole one."""
        found: dict[int, int] = {}
        for tag, kind, _, place in self.entries(at):
            code = _INTEGERS.get(kind)
            if code and place + struct.calcsize(f"={code}") <= len(self._data):
                found[tag] = self._number(code, place)
        return found

    def all_numbers(self, at: int, *tags: int) -> list[int]:
        """All numbers of the first entry with one of these tags, as far as they are in the file."""
        for tag, kind, count, place in self.entries(at):
            code = _INTEGERS.get(kind)
            if tag in tags and code:
                most = max(0, len(self._data) - place) // struct.calcsize(f"={code}")
                return list(struct.unpack_from(f"{self._order}{min(count, most)}{code}", self._data, place))
        return []


def layout(data: mmap) -> Layout:
    """Raises ``BrokenImage`` if the file cannot hold its pixels.

    And ``SourceTooExpensive`` for too many pages, scans or values, or a costly profile.
    """
    directories = _Directories(data)
    _count(directories, len(data))
    tags = directories.numbers(directories.first)
    _check_profile(data, directories)
    width, height = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
    bits = max(1, tags.get(_BITS, 1)) * max(1, tags.get(_SAMPLES, 1))
    ratio = _RATIOS.get(tags.get(_COMPRESSION, 1), 0)
    decoded = width * height * bits // 8
    if ratio and decoded > max(_HARMLESS, ratio * len(data)):
        raise BrokenImage(f"{len(data)} bytes cannot hold {width}x{height} pixels of a TIFF")
    if tags.get(_COMPRESSION) in _JPEGS:
        _check_scans(data, directories, tags)
    tile_width, tile_height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_HEIGHT, 0)
    if tile_width and tile_height:
        # A row of tiles and its copy, and a tile: 6000x4000 RGB in tiles of 4096x4096 took 148 MB.
        across = -(-width // tile_width)
        return Layout(held=(2 * across + 1) * tile_width * tile_height * bits // 8)
    # 6000x4000 RGB in one strip took 46 MB.
    return Layout(held=min(tags.get(_ROWS, height), height) * width * bits // 8)


def _count(directories: _Directories, size: int) -> None:
    """Walk along the directories as far as libtiff would: to the end, or back to where it was, or out of the file."""
    seen: set[int] = set()
    at, entries, held = directories.first, 0, 0
    while at and at not in seen:
        seen.add(at)
        if len(seen) > _MAX_DIRECTORIES:
            raise SourceTooExpensive(f"a TIFF of more than {_MAX_DIRECTORIES} pages")
        try:
            for _, kind, count, place in directories.entries(at):
                entries += 1
                held += min(count * _WIDTHS.get(kind, 0), max(0, size - place))
            at = directories.following(at)
        except struct.error:
            return
        if entries > _MAX_ALL_ENTRIES or held > 2 * size + _SPARE:
            raise SourceTooExpensive(f"a TIFF with {entries} entries, which hold {held} bytes of its {size}")


def _check_profile(data: mmap, directories: _Directories) -> None:
    for tag, _, count, place in directories.entries(directories.first):
        if tag == _PROFILE:
            profile.check_at(data, place, count)


def _check_scans(data: mmap, directories: _Directories, tags: dict[int, int]) -> None:
    """Raise ``SourceTooExpensive`` if its JPEGs have more scans than one JPEG may have."""
    offsets = directories.all_numbers(directories.first, _STRIPS, _TILES)
    lengths = directories.all_numbers(directories.first, _STRIP_LENGTHS, _TILE_LENGTHS)
    width, height = tags.get(_TILE_WIDTH, tags.get(_WIDTH, 0)), tags.get(_TILE_HEIGHT, tags.get(_ROWS, 1 << 32))
    pixels = width * min(height, tags.get(_HEIGHT, 0))
    known: dict[tuple[int, int], int] = {}
    total = 0
    for part in zip(offsets, lengths, strict=False):
        if part not in known:
            known[part] = jpeg.scans_within(data, part[0], min(len(data), sum(part)))
        total += known[part] * pixels
        if known[part] > jpeg.MAX_SCANS or total > jpeg.MAX_SCANNED_PIXELS:
            raise SourceTooExpensive(f"a TIFF with JPEGs of {known[part]} scans or more")
