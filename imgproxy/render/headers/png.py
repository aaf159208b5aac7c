"""PNG: chunks, and what is packed in them (PNG 3rd edition §5, §11)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imgproxy.errors import BrokenImage, SourceTooExpensive
from imgproxy.render.headers import profile
from imgproxy.render.headers.base import DEFLATE_RATIO, Layout, inflated

if TYPE_CHECKING:
    from mmap import mmap

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PACKED = {b"iCCP", b"zTXt", b"iTXt"}
_MAX_UNPACKED = 4 << 20
"""A profile beyond 4 MB is dropped (``colour.py``); libvips would unpack 60 MB of each chunk before that."""
_MAX_CHUNKS = 2_000
"""Beside pixels; files have some dozens."""
_MAX_PIXEL_CHUNKS = 50_000
"""Walked for 15 ms; a 400 MB file in the usual chunks of 8 kB. What follows is taken on trust."""


def layout(data: mmap) -> Layout:
    """Raises ``BrokenImage`` if the file cannot hold its pixels, ``SourceTooExpensive`` for what unpacks too far."""
    width, height, depth, colour, interlaced = struct.unpack_from(">IIBBxxB", data, 16)
    row = -(-width * depth * _CHANNELS.get(colour, 1) // 8)
    packed = _packed_pixels(data)
    if (row + 1) * height > DEFLATE_RATIO * packed:
        raise BrokenImage(f"{packed} bytes of deflate cannot hold {width}x{height} pixels of a PNG")
    return Layout(whole=bool(interlaced))


def _packed_pixels(data: mmap) -> int:
    """The length of all IDAT chunks; the others are looked through."""
    at, pixels, counts, unpacked = 8, 0, [0, 0], 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        is_pixels = kind == b"IDAT"
        counts[is_pixels] += 1
        if counts[True] > _MAX_PIXEL_CHUNKS:
            return len(data)
        pixels += length if is_pixels else 0
        if kind in _PACKED:
            content = _unpacked(kind, data[at + 8 : at + 8 + length], _MAX_UNPACKED + 1 - unpacked)
            unpacked += len(content)
            if kind == b"iCCP":
                profile.check(content)
        if counts[False] > _MAX_CHUNKS or unpacked > _MAX_UNPACKED:
            raise SourceTooExpensive(
                f"a PNG with {counts[False]} chunks and {unpacked} bytes of packed text and profile"
            )
        if kind == b"IEND":
            break
        at += 12 + length
    return min(pixels, len(data))


def _unpacked(kind: bytes, chunk: bytes, limit: int) -> bytes:
    """What a chunk holds, up to ``limit``: keyword, NUL, and then (§11.3.2.3, §11.3.3)."""
    start = chunk.find(b"\0") + 2  # iCCP and zTXt: the compression method
    if kind == b"iTXt":
        if chunk[start - 1 : start] != b"\1":  # not packed
            return b""
        language = chunk.find(b"\0", start + 1)
        start = chunk.find(b"\0", language + 1) + 1
    return inflated(chunk[start:], limit)
