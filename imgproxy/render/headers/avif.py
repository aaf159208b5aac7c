"""AVIF: its boxes (ISO/IEC 14496-12, 23008-12), as far as they say how large what is coded in them is.

A picture's size stands in its ``ispe`` property, but the decoder obeys the AV1 sequence header: one that promises 64x64
and holds 8192x8192 takes a gigabyte before anybody compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgproxy.errors import SourceTooExpensive
from imgproxy.render.headers import profile
from imgproxy.render.headers.base import Layout
from imgproxy.render.headers.boxes import Numbers, stored, walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

    from imgproxy.render.headers.boxes import Box

BYTES_A_PIXEL = 20
"""What libheif and libaom take for a decoded pixel: 16.0 in 4:2:0, 18.5 with alpha, 19.2 in 4:4:4 or with 10 bits."""
_LEVEL_WITHOUT_TIER = 7
_HEADER = 96
"""Bytes of a sequence header up to its sizes, at most: 32 operating points of 18 bits, and 8 bytes."""
_MAX_ITEMS = 256
"""A picture, its alpha, its thumbnail, its metadata, or a grid of tiles. libheif allows 1,000."""
_MAX_SAMPLES = 100_000
"""Of a film, an hour: libheif makes lists of them to open a file, 10 million took 610 MB and 0.3 s. None is decoded."""
_MAX_DERIVED = 64 << 20
"""Pixels in all tiles of a picture: a grid that is cut off to 64x64 is decoded whole, 268 MP took 2.2 s."""
_MAX_DERIVATIONS = 4
"""A picture of a rotated picture of a grid."""
_MAX_UNITS = 20_000


def layout(data: mmap) -> Layout:
    """Raises ``SourceTooExpensive`` for too many items, tiles, samples or boxes."""
    found = list(walk(data))
    promised = [0, *(_area(data, box.start + 4) for box in found if box.kind == b"ispe" and box.start + 12 <= box.end)]
    for box in found:
        if box.kind == b"iinf":
            items = int.from_bytes(data[box.start + 4 : box.start + (6 if data[box.start] == 0 else 8)], "big")
            if items > _MAX_ITEMS:
                raise SourceTooExpensive(f"an AVIF of {items} items")
        elif box.kind == b"colr" and data[box.start : box.start + 4] in {b"prof", b"rICC"}:
            profile.check_at(data, box.start + 4, box.end - box.start - 4)
        elif box.kind in {b"stsz", b"stz2"} and (samples := _number(data, box.start + 8)) > _MAX_SAMPLES:
            raise SourceTooExpensive(f"an AVIF of {samples} frames")
    configured = [size for box in found if box.kind == b"av1C" for size in _sequences(data[box.start + 4 : box.end])]
    always = max((width * height for width, height in configured), default=0)
    coded = _coded(data, found)
    tiles, pixels = _derived(_derivations(data, found), coded, always)
    if pixels > _MAX_DERIVED:
        raise SourceTooExpensive(f"an AVIF of {tiles} tiles with {pixels} pixels, {_MAX_DERIVED} are allowed")
    # Tiles are decoded one at a time: two of 13 MP took 239 MB.
    return Layout(held=max(*promised, always, *coded.values()) * BYTES_A_PIXEL)


def _area(data: mmap, at: int) -> int:
    return _number(data, at) * _number(data, at + 4)


def _number(data: mmap, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _coded(data: mmap, found: list[Box]) -> dict[int, int]:
    """How many pixels each item of AV1 has, by the largest of its sequence headers."""
    pictures = set(_pictures(data, found))
    idat = max((box.start for box in found if box.kind == b"idat"), default=0)
    places: dict[int, list[tuple[int, int]]] = {}
    for box in found:
        if box.kind == b"iloc":
            places |= stored(data, box, idat, _MAX_ITEMS)
    sizes: dict[int, int] = {}
    taken = 0
    for item in pictures & places.keys():
        parts = [(at, length or len(data)) for at, length in places[item]]
        taken += sum(min(length, len(data)) for _, length in parts)
        if taken > 2 * len(data):
            raise SourceTooExpensive("an AVIF whose items lie in each other")
        obus = b"".join(data[at : at + length] for at, length in parts)
        sizes[item] = max((width * height for width, height in _sequences(obus)), default=0)
    return sizes


def _pictures(data: mmap, found: list[Box]) -> Iterator[int]:
    """The numbers of the items that are coded in AV1 (``infe``, 14496-12 §8.11.6)."""
    for box in found:
        if box.kind == b"infe" and data[box.start] > 1:  # older ones have no kind
            wide = 4 if data[box.start] > 2 else 2
            if data[box.start + 6 + wide : box.start + 10 + wide] == b"av01":
                yield int.from_bytes(data[box.start + 4 : box.start + 4 + wide], "big")


def _derivations(data: mmap, found: list[Box]) -> dict[int, list[int]]:
    """Which items each item is made from: tiles of a grid, layers (``dimg``, 14496-12 §8.11.12; 23008-12 §6.6)."""
    sources: dict[int, list[int]] = {}
    wide = 2
    for box in found:
        if box.kind == b"iref":
            wide = 4 if data[box.start] else 2
        elif box.kind == b"dimg":
            reader = Numbers(data, box.start)
            item, count = reader.take(wide), reader.take(2)
            count = min(count, (box.end - reader.at) // wide)
            sources.setdefault(item, []).extend(reader.take(wide) for _ in range(count))
    return sources


def _derived(sources: dict[int, list[int]], coded: dict[int, int], otherwise: int) -> tuple[int, int]:
    """How many coded pictures the largest derived one is made from, and of how many pixels; each time it is named."""
    known: dict[int, tuple[int, int]] = {}

    def made(item: int, depth: int) -> tuple[int, int]:
        if depth > _MAX_DERIVATIONS:
            raise SourceTooExpensive(f"an AVIF derived from what is derived, {_MAX_DERIVATIONS} times and more")
        if item not in known:
            parts = [made(each, depth + 1) for each in sources.get(item, ())]
            own = (0, 0) if parts else (1, coded.get(item) or otherwise)
            known[item] = own[0] + sum(n for n, _ in parts), own[1] + sum(pixels for _, pixels in parts)
        return known[item]

    each = [made(item, 0) for item in sources]
    return max((n for n, _ in each), default=0), max((pixels for _, pixels in each), default=0)


def _sequences(obus: bytes) -> Iterator[tuple[int, int]]:
    """The size in each sequence header among these units (AV1 §5.3, §5.5): a decoder obeys the last one."""
    at = 0
    for _ in range(_MAX_UNITS):
        if at >= len(obus):
            return
        head = obus[at]
        kind, extended, sized = head >> 3 & 15, head >> 2 & 1, head >> 1 & 1
        at += 1 + extended
        size, at = _leb128(obus, at) if sized else (len(obus) - at, at)
        if kind == 1:
            yield _sequence_size(obus[at : at + size])
        at += size
    raise SourceTooExpensive(f"an AVIF of more than {_MAX_UNITS} units")


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
