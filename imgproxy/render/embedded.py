"""Images inside a drawing: how many pixels their headers promise."""

from __future__ import annotations

import binascii
import mmap
import re
import struct
from urllib.parse import unquote_to_bytes

from imgproxy.errors import BrokenImage
from imgproxy.formats import GIF, JPEG, PNG, Format
from imgproxy.render.headers import LAYOUTS, jpeg

# "<" in UTF-8 and its like, in UTF-16 and 32 of either order with or without their marks, in EBCDIC; and gzip.
_XML_STARTS = re.compile(
    rb"(?:\xef\xbb\xbf)?[\t\n\r ]*<|\xff\xfe|\xfe\xff|\0{0,3}<|\0\0\xfe\xff|\x4c\x6f\xa7\x94|\x1f\x8b"
)


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


def decoded(kind: str, text: str) -> bytes:
    """What a data URL holds; ``kind`` is what stands before its comma."""
    if not kind.lower().rstrip().endswith("base64"):
        return unquote_to_bytes(text)
    digits = re.sub(rb"[^A-Za-z0-9+/]", b"", unquote_to_bytes(text))
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def may_be_drawing(data: bytes) -> bool:
    """Whether some reader of XML might take it for XML: by its first sign in any encoding, or packed."""
    return _XML_STARTS.match(data) is not None


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
