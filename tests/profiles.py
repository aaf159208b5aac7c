"""Colour profiles put together by hand (ICC.1:2022), and files that carry one."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pyvips

from tests.avifs import box, still

_WHITE = struct.pack(">iii", 63190, 65536, 54061)
_COLOURS = {b"rXYZ": (28573, 14579, 912), b"gXYZ": (25240, 46981, 6364), b"bXYZ": (9373, 3976, 46783)}


def profile(tags: dict[bytes, bytes]) -> bytes:
    """An RGB display profile of version 4 with these tags; equal ones lie in the same place."""
    text = b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, 2, 28) + b"\0a\0\0"
    curve = b"curv" + struct.pack(">IIHH", 0, 1, 0x0233, 0)
    all_tags = {b"desc": text, b"cprt": text, b"wtpt": b"XYZ " + bytes(4) + _WHITE}
    all_tags |= {name: b"XYZ " + bytes(4) + struct.pack(">iii", *xyz) for name, xyz in _COLOURS.items()}
    all_tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve) | tags
    body, table, places = BytesIO(), b"", dict[bytes, int]()
    for name, data in all_tags.items():
        if data not in places:
            places[data] = 132 + 12 * len(all_tags) + body.tell()
            body.write(data)
        table += name + struct.pack(">II", places[data], len(data))
    head = b"lcms\x04\x30\0\0mntrRGB XYZ ".ljust(28 + 4, b"\0") + b"acsp"
    head = (head.ljust(64, b"\0") + _WHITE).ljust(124, b"\0")
    whole = head + struct.pack(">I", len(all_tags)) + table + body.getvalue()
    return struct.pack(">I", len(whole) + 4) + whole


def steps(count: int) -> bytes:
    """A way through so many matrices, which are all the same one."""
    matrix = b"matf" + struct.pack(">IHH", 0, 3, 3) + struct.pack(">12f", 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    return b"mpet" + struct.pack(">IHHI", 0, 3, 3, count) + struct.pack(">II", 16 + 8 * count, 60) * count + matrix


def carried(icc: bytes, suffix: str) -> bytes:
    """A small picture with this profile."""
    grey = (pyvips.Image.black(16, 16, bands=3) + 99).cast("uchar").copy(interpretation="srgb")
    if suffix == ".avif":
        picture = still(properties=[box(b"colr", b"prof" + icc)])
        return bytes(picture)
    if suffix == ".webp":
        body: bytes = grey.webpsave_buffer(keep=0)
        chunk = b"ICCP" + struct.pack("<I", len(icc)) + icc + bytes(len(icc) % 2)
        head = b"VP8X" + struct.pack("<II", 10, 0x20) + struct.pack("<HBHB", 15, 0, 15, 0)
        chunks = b"WEBP" + head + chunk + body[12:]
        return b"RIFF" + struct.pack("<I", len(chunks)) + chunks
    if suffix == ".jpg":
        body = grey.jpegsave_buffer(keep=0)
        parts = [icc[at : at + 60_000] for at in range(0, len(icc), 60_000)]
        segments = [
            struct.pack(">BBH12sBB", 0xFF, 0xE2, len(part) + 16, b"ICC_PROFILE\0", n, len(parts)) + part
            for n, part in enumerate(parts, 1)
        ]
        return body[:2] + b"".join(segments) + body[2:]
    if suffix == ".png":
        body = grey.pngsave_buffer(keep=0)
        data = b"iCCPx\0\0" + zlib.compress(icc, 9)
        return body[:33] + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data)) + body[33:]
    tags = {256: (4, 16), 257: (4, 16), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 1), 278: (4, 16), 279: (4, 256)}
    pixels, at = bytes(256), 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = {tag: struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in tags.items()}
    entries |= {273: struct.pack("<HHII", 273, 4, 1, at), 34675: struct.pack("<HHII", 34675, 7, len(icc), at + 256)}
    rows = b"".join(entry for _, entry in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + bytes(4) + pixels + icc
