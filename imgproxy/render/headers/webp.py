"""WebP: its chunks (RFC 9649 §2), which say how many frames there are and how they are packed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imgproxy.errors import SourceTooExpensive
from imgproxy.render.headers import profile
from imgproxy.render.headers.base import Layout

if TYPE_CHECKING:
    from mmap import mmap

_MAX_CHUNKS = 10_000


def layout(data: mmap) -> Layout:
    """Raises ``SourceTooExpensive`` for too many frames, or a costly profile."""
    at, lossless = 12, False
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            return Layout(lossless=lossless)
        kind, length = struct.unpack_from("<4sI", data, at)
        # A frame's own chunks follow 16 bytes that place it.
        inner = data[at + 24 : at + 28] if kind == b"ANMF" else kind
        lossless |= inner in {b"VP8L", b"ALPH"}
        if kind == b"ICCP":
            profile.check_at(data, at + 8, length)
        at += 8 + length + length % 2
    raise SourceTooExpensive(f"a WebP of more than {_MAX_CHUNKS} chunks")
