"""Images inside a drawing: how many pixels their headers promise."""

from __future__ import annotations

import mmap
import struct

from imgproxy.errors import BrokenImage
from imgproxy.formats import GIF, JPEG, PNG, Format
from imgproxy.render.headers import LAYOUTS, jpeg


def pixels(data: bytes, format_: Format) -> int:
    """Pixels of a PNG, JPEG, GIF or WebP. Raises ``BrokenImage`` and ``SourceTooExpensive`` as its layout does.

    One that no decoder could read has none: librsvg leaves it out.
    """
    with mmap.mmap(-1, max(1, len(data))) as file:
        file.write(data)
        try:
            LAYOUTS[format_](file)
            width, height = _size(file, format_)
        except (struct.error, LookupError, ValueError):
            return 0
    return width * height


def _size(file: mmap.mmap, format_: Format) -> tuple[int, int]:
    if format_ is PNG:
        return struct.unpack_from(">II", file, 16)
    if format_ is GIF:
        return struct.unpack_from("<HH", file, 6)
    if format_ is JPEG:
        return jpeg.size(file)
    kind = file[12:16]
    if kind == b"VP8X":
        return int.from_bytes(file[24:27], "little") + 1, int.from_bytes(file[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(file[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", file, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise BrokenImage("a WebP in a drawing that begins with no picture")
