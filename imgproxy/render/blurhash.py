"""BlurHash: a picture as a few cosines in linear light, written in base 83. Pure.

The format: https://github.com/woltapp/blurhash/blob/master/Algorithm.md. Of large pictures the text is that of the
reference encoders; small ones, which those make lean to the left and the top, stay upright.
"""

from __future__ import annotations

import math
from itertools import chain

from imgproxy.render.waves import shares, waves

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_COMPONENTS = math.sqrt(12)
"""Each way, in a square: some 28 characters, as the format's authors advise."""
MOST = 9
_AC_UNIT = 166
_AC_MOST = 82
_STEPS = 9
"""Of an AC component, each way from zero."""

LIGHT = tuple(n / 255 / 12.92 if n / 255 <= 0.04045 else ((n / 255 + 0.055) / 1.055) ** 2.4 for n in range(256))
"""sRGB's numbers in proportion to light (IEC 61966-2-1)."""


def number(light: float) -> int:
    """The number from 0 to 255 that sRGB has for this share of full light."""
    light = min(max(light, 0.0), 1.0)
    return int(255 * (light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055) + 0.5)


def components(width: int, height: int) -> tuple[int, int]:
    """How many components across and down suit a picture of this shape: 4 and 3 for 4:3, 3 and 3 for a square."""
    ratio = math.sqrt(width / height)
    across, down = (min(MOST, max(1, round(_COMPONENTS * side))) for side in (ratio, 1 / ratio))
    return across, down


def encode(pixels: bytes, width: int, across: int, down: int, phase: float = 0.5) -> str:
    """The hash of RGB pixels, row by row, with components from 1 to ``MOST`` each way, and no more than pixels.

    ``phase``: where in a pixel waves are taken. The reference encoders take them where it begins (0), and then what
    is flat has waves: white on 32 pixels goes down to 240 at the right.
    """
    height = len(pixels) // (3 * width)
    horizontal, vertical = waves(across, width, phase), waves(down, height, phase)
    planes = ([[LIGHT[n] for n in row[colour::3]] for row in _rows(pixels, 3 * width)] for colour in range(3))
    found = [chain.from_iterable(shares(plane, horizontal, vertical)) for plane in planes]
    average, *rest = zip(*found, strict=True)
    waving = [[2 * share for share in each] for each in rest]
    strongest = max((abs(share) for each in waving for share in each), default=0.0)
    unit = min(_AC_MOST, max(0, math.floor(strongest * _AC_UNIT - 0.5)))
    red, green, blue = map(number, average)
    return (
        _digits(across - 1 + 9 * (down - 1), 1)
        + _digits(unit, 1)
        + _digits(red << 16 | green << 8 | blue, 4)
        + "".join(_digits(_wave(each, (unit + 1) / _AC_UNIT), 2) for each in waving)
    )


def _rows(pixels: bytes, length: int) -> list[bytes]:
    return [pixels[at : at + length] for at in range(0, len(pixels), length)]


def _wave(colours: list[float], unit: float) -> int:
    """One component's three colours, each as one of 19 steps: finer near zero."""
    code = 0
    for share in colours:
        root = math.copysign(math.sqrt(abs(share) / unit), share)
        code = 19 * code + min(2 * _STEPS, max(0, math.floor(root * _STEPS + _STEPS + 0.5)))
    return code


def _digits(value: int, length: int) -> str:
    return "".join(DIGITS[value // 83**place % 83] for place in reversed(range(length)))
