"""ThumbHash: a picture as some thirty bytes of cosines, with its shape and its transparency. Pure.

The format: https://evanw.github.io/thumbhash/. The same pixels give the same bytes as they do in the reference
encoders, but for what is neither here nor there: waves of nothing, where rounding decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.render.waves import shares, waves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgproxy.render.waves import Plane

_MOST_ACROSS, _MOST_ACROSS_WITH_ALPHA = 7, 5
_COLOUR, _ALPHA = 3, 5
"""Waves each way."""
_NOTHING = 1e-9
"""Flat colours have waves as strong as this, from rounding; a step of one pixel in a million is stronger."""


@dataclass(frozen=True, slots=True)
class _Channel:
    mean: float
    strongest: float
    waves: list[float]
    """From 0 to 1; 0.5 is none."""


def encode(pixels: bytes, width: int) -> bytes:
    """The hash of RGBA pixels, row by row; alpha is not premultiplied."""
    height = len(pixels) // (4 * width)
    red, green, blue, alpha = ([n / 255 for n in pixels[band::4]] for band in range(4))
    opaque = min(alpha) == 1.0
    if not opaque:
        red, green, blue = (_on_its_average(band, alpha) for band in (red, green, blue))
    colours = list(zip(red, green, blue, strict=True))

    longer, most = max(width, height), _MOST_ACROSS if opaque else _MOST_ACROSS_WITH_ALPHA
    across, down = max(1, _round(most * width / longer)), max(1, _round(most * height / longer))
    light = _channel(_rows([sum(each) / 3 for each in colours], width), max(3, across), max(3, down))
    yellow = _channel(_rows([(r + g) / 2 - b for r, g, b in colours], width), _COLOUR, _COLOUR)
    pink = _channel(_rows([r - g for r, g, _ in colours], width), _COLOUR, _COLOUR)
    channels = [light, yellow, pink]

    landscape = width > height
    head = (
        _round(63 * light.mean)
        | _round(31.5 + 31.5 * yellow.mean) << 6
        | _round(31.5 + 31.5 * pink.mean) << 12
        | _round(31 * light.strongest) << 18
        | (not opaque) << 23
    ).to_bytes(3, "little")
    head += (
        (down if landscape else across)
        | _round(63 * yellow.strongest) << 3
        | _round(63 * pink.strongest) << 9
        | landscape << 15
    ).to_bytes(2, "little")
    if not opaque:
        transparency = _channel(_rows(alpha, width), _ALPHA, _ALPHA)
        head += bytes([_round(15 * transparency.mean) | _round(15 * transparency.strongest) << 4])
        channels.append(transparency)
    return head + bytes(_in_pairs([_round(15 * wave) for each in channels for wave in each.waves]))


def _on_its_average(band: list[float], alpha: list[float]) -> list[float]:
    """A colour as it shows on its own average, which says nothing of what cannot be seen."""
    visible = sum(alpha)
    average = sum(map(float.__mul__, band, alpha)) / visible if visible else 0.0
    return [average * (1 - share) + n * share for n, share in zip(band, alpha, strict=True)]


def _channel(plane: Plane, across: int, down: int) -> _Channel:
    """Mean and waves of a plane; of the waves, the triangle of the slower ones."""
    found = shares(plane, waves(across, len(plane[0]), 0.5), waves(down, len(plane), 0.5))
    slower = [found[y][x] for y in range(down) for x in range(across) if x * down < across * (down - y)]
    mean, *rest = slower
    strongest = max(map(abs, rest))
    if strongest < _NOTHING:
        return _Channel(mean, 0.0, [0.5] * len(rest))
    return _Channel(mean, strongest, [0.5 + 0.5 * wave / strongest for wave in rest])


def _rows(band: list[float], width: int) -> Plane:
    return [band[at : at + width] for at in range(0, len(band), width)]


def _round(value: float) -> int:
    # As in JavaScript: half upwards.
    return math.floor(value + 0.5)


def _in_pairs(halves: list[int]) -> Iterator[int]:
    """Bytes of two halves, the lower first."""
    for at in range(0, len(halves), 2):
        low, high = (*halves[at : at + 2], 0)[:2]
        yield low | high << 4
