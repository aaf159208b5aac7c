"""Decoders of BlurHash and ThumbHash, from the descriptions of the formats; and placeholders as pictures."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Any

import pyvips

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
WIDE = 120
"""Pixels of the longer side of a placeholder that is shown."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """RGBA pixels, 8 bits, row by row."""

    width: int
    height: int
    pixels: bytes

    @property
    def rgb(self) -> bytes:
        return bytes(number for place, number in enumerate(self.pixels) if place % 4 < 3)

    @property
    def landmarks(self) -> list[list[int]]:
        """The pixels in the corners and in the middle."""
        right, bottom = self.width - 1, self.height - 1
        places = ((0, 0), (right, 0), (self.width // 2, self.height // 2), (0, bottom), (right, bottom))
        starts = [4 * (y * self.width + x) for x, y in places]
        return [list(self.pixels[at : at + 4]) for at in starts]

    def picture(self) -> pyvips.Image:
        image = pyvips.Image.new_from_memory(self.pixels, self.width, self.height, 4, "uchar")
        return image.copy(interpretation="srgb")


def shown(body: bytes) -> bytes:
    """A placeholder as a page would show it: over the image's place, in PNG."""
    said = json.loads(body)
    image = picture_of(said)
    width, height = said["width"], said["height"]
    scale = WIDE / max(width, height)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    image = image.premultiply().resize(width / image.width, vscale=height / image.height, kernel="cubic")
    png: bytes = image.unpremultiply().cast("uchar").copy(interpretation="srgb").pngsave_buffer(keep=0)
    return png


def picture_of(said: dict[str, Any]) -> pyvips.Image:
    """What a placeholder's value says, small, in RGBA."""
    value = said["value"]
    match said["type"]:
        case "blurhash":
            scale = 32 / max(said["width"], said["height"])
            size = max(1, round(said["width"] * scale)), max(1, round(said["height"] * scale))
            return from_blurhash(value, *size).picture()
        case "thumbhash":
            return from_thumbhash(base64.b64decode(value)).picture()
        case _:
            head, _, data = value.partition(",")
            assert head == "data:image/webp;base64"
            image = pyvips.Image.new_from_buffer(base64.b64decode(data), "")
            return image if image.hasalpha() else image.addalpha()


def from_blurhash(text: str, width: int, height: int) -> Decoded:
    """https://github.com/woltapp/blurhash/blob/master/Algorithm.md."""
    across, down = _from_83(text[0]) % 9 + 1, _from_83(text[0]) // 9 + 1
    assert len(text) == 4 + 2 * across * down
    unit = (_from_83(text[1]) + 1) / 166
    average = _from_83(text[2:6])
    parts = [tuple(_to_light(average >> shift & 255) for shift in (16, 8, 0))]
    for at in range(6, len(text), 2):
        code = _from_83(text[at : at + 2])
        steps = ((code // 361 - 9) / 9, (code // 19 % 19 - 9) / 9, (code % 19 - 9) / 9)
        parts.append(tuple(math.copysign(step * step, step) * unit for step in steps))
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            waves = [
                math.cos(math.pi * x * i / width) * math.cos(math.pi * y * j / height)
                for j in range(down)
                for i in range(across)
            ]
            light = (sum(part[band] * wave for part, wave in zip(parts, waves, strict=True)) for band in range(3))
            pixels += bytes([*map(_to_number, light), 255])
    return Decoded(width, height, bytes(pixels))


def from_thumbhash(code: bytes, size: int = 32) -> Decoded:
    """https://evanw.github.io/thumbhash/. The shape is what the hash remembers of it."""
    head, small = int.from_bytes(code[:3], "little"), int.from_bytes(code[3:5], "little")
    alpha, landscape = bool(head >> 23), bool(small >> 15)
    most, side = 5 if alpha else 7, small & 7
    ratio = most / side if landscape else side / most
    across, down = (max(3, most), max(3, side)) if landscape else (max(3, side), max(3, most))
    at = 6 if alpha else 5
    nibbles = iter([half for byte in code[at:] for half in (byte & 15, byte >> 4)])

    light = (head & 63) / 63, _waves(across, down, (head >> 18 & 31) / 31, nibbles)
    yellow = (head >> 6 & 63) / 31.5 - 1, _waves(3, 3, (small >> 3 & 63) / 63 * 1.25, nibbles)
    pink = (head >> 12 & 63) / 31.5 - 1, _waves(3, 3, (small >> 9 & 63) / 63 * 1.25, nibbles)
    opacity = (code[5] & 15) / 15 if alpha else 1.0, _waves(5, 5, (code[5] >> 4) / 15, nibbles) if alpha else []

    width, height = (size, max(1, round(size / ratio))) if ratio > 1 else (max(1, round(size * ratio)), size)
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            place = (x + 0.5) / width, (y + 0.5) / height
            l, p, q, a = (_at(*channel, *place) for channel in (light, yellow, pink, opacity))  # noqa: E741
            blue = l - 2 / 3 * p
            red = (3 * l - blue + q) / 2
            pixels += bytes(round(255 * min(max(each, 0.0), 1.0)) for each in (red, red - q, blue, a))
    return Decoded(width, height, bytes(pixels))


_Waves = list[tuple[int, int, float]]


def _waves(across: int, down: int, scale: float, nibbles: Any) -> _Waves:
    places = [(x, y) for y in range(down) for x in range(across) if (x or y) and x * down < across * (down - y)]
    return [(x, y, (next(nibbles) / 7.5 - 1) * scale) for x, y in places]


def _at(mean: float, waves: _Waves, x: float, y: float) -> float:
    # Twice each wave, as the reference decoders have it: half of what those that go both ways were.
    return mean + sum(2 * share * math.cos(math.pi * i * x) * math.cos(math.pi * j * y) for i, j, share in waves)


def _from_83(text: str) -> int:
    value = 0
    for digit in text:
        value = 83 * value + ALPHABET.index(digit)
    return value


def _to_light(number: int) -> float:
    share = number / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def _to_number(light: float) -> int:
    light = min(max(light, 0.0), 1.0)
    return round(255 * (light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


def drawn(pattern: str, width: int, height: int) -> Decoded:
    """A picture that any program can draw: "hash" is noise, "ramps" is smooth, "veil" is in parts transparent."""
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            match pattern:
                case "hash":
                    colours = [(x * 37 + y * 91 + x * y * 5 + band * 53) % 256 for band in range(3)]
                    pixels += bytes([*colours, 255])
                case "ramps":
                    third = 90 + 60 * ((x * 3 + y) % 11) // 10
                    pixels += bytes([255 * x // max(1, width - 1), 255 * y // max(1, height - 1), third, 255])
                case _:
                    alpha = (x * x * 3 + y * 29 + x * 11) % 256
                    pixels += bytes([20 + 200 * x // width, 240 - 9 * ((x + 2 * y) % 21), 60 + 7 * (y % 17), alpha])
    return Decoded(width, height, bytes(pixels))
