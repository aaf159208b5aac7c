"""JPEG: its segments, as far as they say how many blocks are held, and how often they are gone through (T.81 §B)."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.errors import BrokenImage, SourceTooExpensive
from imgproxy.render.headers import profile
from imgproxy.render.headers.base import Layout

if TYPE_CHECKING:
    from mmap import mmap

_MARKER = re.compile(rb"\xff([^\x00\xff\x01\xd0-\xd8])")
"""The next segment: neither a stuffed 0xFF, nor a restart, nor one without a length.

It begins with one fixed byte, which is found 35 times as fast as one or more of them.
"""
_EOI, _SOS = 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_HUFFMAN_DCT = {0xC0, 0xC1, 0xC2}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_APP2, _ICC = 0xE2, b"ICC_PROFILE\0"
_MAX_SEGMENTS = 4_000
MAX_SCANS = 100
"""libvips' own limit, which it checks while it decodes."""
MAX_SCANNED_PIXELS = 1 << 30
"""Pixels times scans: encoders write ten scans or so, a scan of 20 MP takes 20 ms at least."""
_LOOKED_THROUGH = 1 << 20
"""Of a file of a single scan, its end is looked for so far: enough bits for 130 MP."""


@dataclass(frozen=True, slots=True)
class _Frame:
    marker: int
    width: int
    height: int
    samplings: tuple[tuple[int, int], ...]

    @property
    def blocks(self) -> int:
        """How many blocks of 8x8 the components have together."""
        across, down = max(h for h, _ in self.samplings), max(v for _, v in self.samplings)
        return sum(
            math.ceil(self.width * h / across / 8) * math.ceil(self.height * v / down / 8) for h, v in self.samplings
        )


def layout(data: mmap) -> Layout:
    """Raises ``BrokenImage`` if the file cannot hold its pixels.

    And ``SourceTooExpensive`` for too many scans, or a costly profile.
    """
    frame, at, first_scan = _frame(data)
    blocks = frame.blocks
    several = frame.marker in _PROGRESSIVE or first_scan < len(frame.samplings)
    end, scans = len(data), 1
    if several or end - at <= _LOOKED_THROUGH:
        end, scans = _scans(data, at, MAX_SCANS)
    # A block has a Huffman code in its first scan, a bit at least.
    if frame.marker in _HUFFMAN_DCT and blocks > 8 * (end - at):
        raise BrokenImage(f"{end - at} bytes cannot hold {frame.width}x{frame.height} pixels of a JPEG")
    if scans > MAX_SCANS or scans * frame.width * frame.height > MAX_SCANNED_PIXELS:
        raise SourceTooExpensive(f"a JPEG of {frame.width}x{frame.height} in {scans} scans or more")
    # 64 coefficients of 2 bytes: 42 MP took 128 MB in 4:2:0, 250 MB in 4:4:4.
    return Layout(held=blocks * 128 if several else 0)


def _frame(data: mmap) -> tuple[_Frame, int, int]:
    """The frame header, where the first scan's data begin, and how many components it has."""
    frame, at, parts = None, 2, list[tuple[int, bytes]]()
    for _ in range(_MAX_SEGMENTS):
        marker, start, at = _segment(data, at)
        if marker == _APP2 and data[start : start + 12] == _ICC:
            parts.append((data[start + 12], data[start + 14 : at]))
        if marker in _FRAMES and frame is None:
            height, width, count = struct.unpack_from(">HHB", data, start + 1)
            samplings = tuple((data[start + 7 + 3 * n] >> 4, data[start + 7 + 3 * n] & 15) for n in range(count))
            if not samplings or not all(h and v for h, v in samplings):
                raise BrokenImage("a JPEG with components of no size")
            frame = _Frame(marker, width, height, samplings)
        if marker == _SOS:
            if frame is None:
                break
            profile.check_parts(parts)
            return frame, at, data[start]
    raise BrokenImage("a JPEG without a frame, or with thousands of segments before its pixels")


def scans_within(data: mmap, at: int, end: int) -> int:
    """How many scans a JPEG has that lies here in another file; counted up to one more than are allowed."""
    return _scans(data, at, MAX_SCANS, end, scans=0)[1]


def _scans(data: mmap, at: int, most: int, stop: int | None = None, scans: int = 1) -> tuple[int, int]:
    """Where the picture ends, and how many scans it has; counted up to one more than ``most``."""
    stop = len(data) if stop is None else stop
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, at, stop)
        if found is None or found[1][0] == _EOI or scans > most:
            return (found.start() if found else stop), scans
        scans += found[1][0] == _SOS
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    raise SourceTooExpensive("a JPEG with thousands of segments")


def _segment(data: mmap, at: int) -> tuple[int, int, int]:
    """The next marker, where its parameters begin, and where they end."""
    found = _MARKER.search(data, at)
    if found is None or found[1][0] == _EOI:
        raise BrokenImage("a JPEG without pixels")
    length = int.from_bytes(data[found.end() : found.end() + 2], "big")
    return found[1][0], found.end() + 2, found.end() + max(length, 2)


def size(data: mmap) -> tuple[int, int]:
    """Width and height. Raises ``BrokenImage``."""
    frame = _frame(data)[0]
    return frame.width, frame.height
