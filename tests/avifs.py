"""AVIF files put together by hand, box by box (ISO/IEC 14496-12, 23008-12): what no encoder writes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cache

import pyvips


def box(kind: bytes, data: bytes, version: int | None = None) -> bytes:
    head = b"" if version is None else struct.pack(">I", version << 24)
    return struct.pack(">I4s", 8 + len(head) + len(data), kind) + head + data


@cache
def coded(width: int, height: int) -> tuple[bytes, bytes]:
    """The ``av1C`` box and the units of a grey picture."""
    grey = (pyvips.Image.black(width, height, bands=3) + 99).cast("uchar").copy(interpretation="srgb")
    body: bytes = grey.heifsave_buffer(compression="av1", effort=0, Q=20, keep=0)
    at = body.index(b"av1C") - 4
    return body[at : at + int.from_bytes(body[at : at + 4], "big")], body[body.index(b"mdat") + 4 :]


def ispe(width: int, height: int) -> bytes:
    return box(b"ispe", struct.pack(">II", width, height), 0)


@dataclass
class Avif:
    """A file of items; the first one is the picture."""

    items: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Kind and contents, numbered from 1."""
    made_from: dict[int, list[int]] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """What ``ispe`` says."""
    config: bytes = b""
    """``av1C``, of all items of AV1."""
    properties: list[bytes] = field(default_factory=list)
    """Of the first item, beside those."""
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Where items lie among ``media``, if not in a row."""
    media: bytes = b""
    film: bytes = b""
    more: bytes = b""
    """What follows."""

    def __bytes__(self) -> bytes:
        start = len(self._head(0)) + 8
        return self._head(start) + box(b"mdat", b"".join(data for _, data in self.items) + self.media) + self.more

    def _head(self, start: int) -> bytes:
        brands = b"avis" if self.film else b"avif"
        meta = box(b"hdlr", struct.pack(">I4s12xB", 0, b"pict", 0), 0) + box(b"pitm", struct.pack(">H", 1), 0)
        meta += self._places(start) + self._kinds() + self._references() + self._properties()
        return box(b"ftyp", brands + bytes(4) + b"mif1miafavif") + box(b"meta", meta, 0) + self.film

    def _places(self, start: int) -> bytes:
        rows, at = b"", start
        behind = start + sum(len(data) for _, data in self.items)
        for number, (_, data) in enumerate(self.items, 1):
            parts = [(behind + place, length) for place, length in self.extents.get(number, [])] or [(at, len(data))]
            at += len(data)
            rows += struct.pack(">HHHH", number, 0, 0, len(parts))
            rows += b"".join(struct.pack(">II", *part) for part in parts)
        return box(b"iloc", struct.pack(">HH", 0x4400, len(self.items)) + rows, 1)

    def _kinds(self) -> bytes:
        entries = (box(b"infe", struct.pack(">HH4sB", n, 0, kind, 0), 2) for n, (kind, _) in enumerate(self.items, 1))
        return box(b"iinf", struct.pack(">H", len(self.items)) + b"".join(entries), 0)

    def _references(self) -> bytes:
        boxes = [
            box(b"dimg", struct.pack(f">HH{len(sources)}H", item, len(sources), *sources))
            for item, sources in self.made_from.items()
        ]
        return box(b"iref", b"".join(boxes), 0) if boxes else b""

    def _properties(self) -> bytes:
        sizes = [self.sizes.get(n, (64, 64)) for n in range(1, len(self.items) + 1)]
        pixels = box(b"pixi", bytes((3, 8, 8, 8)), 0)
        contained = [self.config, pixels, *(ispe(*size) for size in sizes), *self.properties]
        rows = b""
        for n, (kind, _) in enumerate(self.items, 1):
            own = [n + 2, 2, *([0x81] if kind == b"av01" else [])]
            own += range(len(sizes) + 3, min(len(contained), 120) + 1) if n == 1 else []
            rows += struct.pack(">HB", n, len(own)) + bytes(own)
        ipma = box(b"ipma", struct.pack(">I", len(self.items)) + rows, 0)
        return box(b"iprp", box(b"ipco", b"".join(contained)) + ipma)


def still(width: int = 64, height: int = 64, **more: object) -> Avif:
    config, data = coded(width, height)
    return Avif([(b"av01", data)], sizes={1: (width, height)}, config=config, **more)  # type: ignore[arg-type]


def grid(across: int, down: int, width: int, height: int, tile: int) -> Avif:
    """Tiles that are all the same one, cut off to this size."""
    config, data = coded(tile, tile)
    shape = struct.pack(">BBBBII", 0, 1, down - 1, across - 1, width, height)
    sizes = {1: (width, height), 2: (tile, tile)}
    return Avif([(b"grid", shape), (b"av01", data)], {1: [2] * across * down}, sizes, config)


def nested(levels: int, many: int, kind: bytes = b"grid") -> Avif:
    """A grid, or an overlay, of ``many`` of ``many``, and so on."""
    config, data = coded(64, 64)
    if kind == b"grid":
        shape = struct.pack(">BBBBII", 0, 1, 0, many - 1, 64, 64)
    else:
        shape = struct.pack(">BB4HII", 0, 1, 0, 0, 0, 65535, 64, 64) + bytes(8 * many)
    made_from = {n: [n + 1] * many for n in range(1, levels + 1)}
    return Avif([(kind, shape)] * levels + [(b"av01", data)], made_from, config=config)


def film(samples: int) -> bytes:
    """A film whose tables speak of so many samples, all of the same length."""
    config, _ = coded(64, 64)
    sides = struct.pack(">HHIIIH32sHh", 64, 64, 72 << 16, 72 << 16, 0, 1, b"", 24, -1)
    entry = box(b"av01", bytes(6) + struct.pack(">H16x", 1) + sides + config)
    tables = box(b"stsd", struct.pack(">I", 1) + entry, 0)
    tables += box(b"stts", struct.pack(">III", 1, samples, 1), 0)
    tables += box(b"stsc", struct.pack(">IIII", 1, 1, samples, 1), 0)
    tables += box(b"stsz", struct.pack(">II", 9, samples), 0)
    tables += box(b"stco", struct.pack(">II", 1, 99), 0)
    here = box(b"dinf", box(b"dref", struct.pack(">I", 1) + box(b"url ", b"\0\0\0\1"), 0))
    media = box(b"mdhd", struct.pack(">IIIIHH", 0, 0, 1, samples, 0x55C4, 0), 0)
    media += box(b"hdlr", struct.pack(">I4s12xB", 0, b"pict", 0), 0)
    media += box(b"minf", box(b"vmhd", bytes(8), 0) + here + box(b"stbl", tables))
    matrix = struct.pack(">9I", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    track = struct.pack(">5I8x4H", 0, 0, 1, 0, samples, 0, 0, 0, 0) + matrix + struct.pack(">II", 64 << 16, 64 << 16)
    track = box(b"tkhd", b"\0\0\0\3" + track) + box(b"mdia", media)
    return box(b"moov", box(b"mvhd", struct.pack(">IIII80x", 0, 0, 1, samples), 0) + box(b"trak", track))


def deep(kind: bytes, levels: int) -> bytes:
    """Boxes in boxes."""
    inner = b""
    for _ in range(levels):
        inner = box(kind, inner, 0 if kind == b"meta" else None)
    return inner
