"""AVIF: its boxes (ISO/IEC 14496-12, 23008-12), as far as they say how large what is coded in them is.

A picture's size stands in its ``ispe`` property, but the decoder obeys the AV1 sequence header: one that promises 64x64
and holds 8192x8192 takes a gigabyte before anybody compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgproxy.errors import SourceTooExpensive
from imgproxy.render.headers.base import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

BYTES_A_PIXEL = 20
"""What libheif and libaom take for a decoded pixel: 16.0 in 4:2:0, 18.5 with alpha, 19.2 in 4:4:4 or with 10 bits."""
_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0}
"""Boxes that are looked into, and what comes before their contents."""
_LEVEL_WITHOUT_TIER = 7
_HEADER = 96
"""Bytes of a sequence header up to its sizes, at most: 32 operating points of 18 bits, and 8 bytes."""
_MAX_BOXES = 2_000
_MAX_ITEMS = 256
"""A picture, its alpha, its thumbnail, its metadata, or a grid of tiles. libheif allows 1,000."""


def layout(data: mmap) -> Layout:
    """Raises ``SourceTooExpensive`` for too many items or boxes."""
    largest = items = 0
    for count, (kind, start, end) in enumerate(_boxes(data, 0, len(data))):
        if count > _MAX_BOXES:
            raise SourceTooExpensive(f"an AVIF of more than {_MAX_BOXES} boxes")
        if kind == b"iinf" and start + 8 <= end:
            width = 2 if data[start] == 0 else 4
            items = max(items, int.from_bytes(data[start + 4 : start + 4 + width], "big"))
        elif kind == b"ispe" and start + 12 <= end:
            width, height = (int.from_bytes(data[at : at + 4], "big") for at in (start + 4, start + 8))
            largest = max(largest, width * height)
    if items > _MAX_ITEMS:
        raise SourceTooExpensive(f"an AVIF of {items} items")
    largest = max(largest, *(width * height for width, height in _coded_sizes(data)), 0)
    return Layout(held=largest * BYTES_A_PIXEL)


def _boxes(data: mmap, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the contents of each box, outer ones first."""
    while at + 8 <= end:
        size, kind, start = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8]), at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        stop = at + size if size else end
        if stop < start or stop > end:
            return
        yield kind, start, stop
        if kind in _CONTAINERS:
            yield from _boxes(data, start + _CONTAINERS[kind], stop)
        at = stop


def _coded_sizes(data: mmap) -> Iterator[tuple[int, int]]:
    """The sizes that the sequence headers name: in ``av1C``, and where the coded pictures begin."""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"av1C":
            yield from _sequences(data[start + 4 : end])
        elif kind == b"iloc":
            for at in _extents(data, start, end):
                yield from _sequences(data[at : at + 2 * _HEADER])


def _extents(data: mmap, start: int, end: int) -> Iterator[int]:
    """Where the items of a file begin that are stored in it (``iloc``, 14496-12 §8.11.3)."""
    version, sizes = data[start], int.from_bytes(data[start + 4 : start + 6], "big")
    offset, length, base = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index = sizes & 15 if version else 0
    wide = 4 if version == 2 else 2
    at = start + 6
    count = int.from_bytes(data[at : at + wide], "big")
    at += wide
    for _ in range(min(count, _MAX_ITEMS)):
        at += wide + (2 if version else 0) + 2
        origin = int.from_bytes(data[at : at + base], "big")
        at += base
        extents = int.from_bytes(data[at : at + 2], "big")
        at += 2
        if at >= end:
            return
        yield origin + int.from_bytes(data[at + index : at + index + offset], "big")
        at += extents * (index + offset + length)


def _sequences(obus: bytes) -> Iterator[tuple[int, int]]:
    """The size in each sequence header among these units (AV1 §5.3, §5.5)."""
    at = 0
    while at < len(obus):
        head = obus[at]
        kind, extended, sized = head >> 3 & 15, head >> 2 & 1, head >> 1 & 1
        at += 1 + extended
        size, at = _leb128(obus, at) if sized else (len(obus) - at, at)
        if kind == 1:
            yield _sequence_size(obus[at : at + size])
        if kind not in {1, 2, 5, 15}:  # sequence, temporal delimiter, metadata, padding: what may come before pixels
            return
        at += size


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where it ends."""
    number = 0
    for n, byte in enumerate(data[at : at + 8]):
        number |= (byte & 127) << 7 * n
        if byte < 128:
            return number, at + n + 1
    return len(data), len(data)


def _sequence_size(header: bytes) -> tuple[int, int]:
    """The largest frame of a sequence: of a still picture, or of a film without the clocks of broadcasts."""
    bits = _Bits(header)
    bits.take(4)  # profile, still
    if bits.take(1):  # a reduced header
        bits.take(5)
    else:
        clocks, delays, more_points = bits.take(1), bits.take(1), bits.take(5)
        if clocks or delays:
            raise SourceTooExpensive("an AVIF that is timed like a broadcast")
        for _ in range(more_points + 1):
            bits.take(12)
            if bits.take(5) > _LEVEL_WITHOUT_TIER:
                bits.take(1)
    across, down = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(across) + 1, bits.take(down) + 1


class _Bits:
    """A number read bit by bit, the first one first; zeros behind its end."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data[:_HEADER].ljust(_HEADER, b"\0"), "big")
        self._left = 8 * _HEADER

    def take(self, count: int) -> int:
        self._left -= count
        return self._number >> self._left & ((1 << count) - 1)
