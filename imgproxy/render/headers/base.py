"""What a file's own structure says of the price of its pixels, and what no decoder need see to refuse it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

DEFLATE_RATIO = 1033
"""Deflate writes 258 bytes with two bits at best: 1032 to 1, and a little for the first block."""
LZW_RATIO = 2731
"""A code of 12 bits stands for 4,095 bytes at most."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file lays its pixels out, as far as that decides what decoding takes."""

    held: int = 0
    """Bytes that the decoder holds beside rows of pixels, at any scale."""
    whole: bool = False
    """The decoder holds all pixels, because they do not come row by row."""
    lossless: bool = False
    """WebP: the decoder holds all pixels as they are stored, however small they are asked for."""
    drawn: int = 0
    """SVG: bytes for each pixel that it is rasterised to."""
    passes: float = 0
    """SVG: how often drawing goes over all pixels, in times of a blur."""


def inflated(packed: bytes | memoryview, limit: int) -> bytes:
    """What zlib data unpack to, up to ``limit`` bytes; of broken data, what comes before the break."""
    unpacker, parts, length, rest = zlib.decompressobj(), list[bytes](), 0, bytes(packed)
    try:
        while rest and length < limit and not unpacker.eof:
            parts.append(unpacker.decompress(rest, min(1 << 20, limit - length)))
            length += len(parts[-1])
            rest = unpacker.unconsumed_tail
    except zlib.error:
        pass
    return b"".join(parts)
