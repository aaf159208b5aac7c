"""Placeholders: a finished picture as a few bytes of JSON, shown until the picture itself is there."""

from __future__ import annotations

import base64
import json
import math
from collections import defaultdict
from operator import mul
from typing import Any

import pyvips

from imgproxy.geometry import Size
from imgproxy.options.placeholder import Placeholder, Sketch
from imgproxy.render import blurhash, thumbhash
from imgproxy.render.resize import resized, with_alpha

SIDE = 32
"""Longest side of what is encoded, in pixels: four times what the finest waves need."""
_WEBP: dict[str, Any] = {"Q": 40, "alpha_q": 20, "effort": 6, "preset": "icon", "keep": 0}
"""100 to 270 bytes for the samples. At this size the preset saves a tenth; transparency took half of a logo's bytes."""
_WHITE = [255.0, 255.0, 255.0]
_FULLY_TRANSPARENT = "#00000000"
_SEEN = 128
_ALIKE = 32
"""Colours are alike if their numbers are the same in these steps."""


def document(image: pyvips.Image, size: Size, asked: Placeholder) -> bytes:
    """The JSON of a finished picture, which may be smaller than the ``size`` it speaks of. In: sRGB or grey, 8 bits."""
    sketch = small(image, size)
    said = {
        "type": asked.kind,
        "value": _value(sketch, size, asked),
        "width": size.width,
        "height": size.height,
        "color": average(sketch),
    }
    return json.dumps(said, separators=(",", ":")).encode()


def picture(told: bytes) -> bytes:
    """What a placeholder's document looks like, as a WebP: the LQIP itself, of the others the colour."""
    said = json.loads(told)
    if said["type"] == Sketch.LQIP:
        return base64.b64decode(said["value"].partition(",")[2])
    colour = [float(each) for each in bytes.fromhex(said["color"][1:7])]
    shape = Size(said["width"], said["height"])
    flat = pyvips.Image.black(*_fitted(shape), bands=3).linear([1.0], colour, uchar=True)
    return flat.copy(interpretation="srgb").webpsave_buffer()


def _fitted(size: Size) -> tuple[int, int]:
    factor = SIDE / max(size.width, size.height, SIDE)
    return max(1, round(size.width * factor)), max(1, round(size.height * factor))


def small(image: pyvips.Image, size: Size) -> pyvips.Image:
    """RGBA with at most ``SIDE`` pixels a side, in the shape of ``size``; shrunk in linear light."""
    target = Size(*_fitted(size))
    image = resized(image.colourspace("srgb"), target.within(Size(image.width, image.height)), linear=True)
    return with_alpha(image).copy_memory()


def blurhash_of(sketch: pyvips.Image, across: int, down: int) -> str:
    """The BlurHash of a small RGBA picture, on white: it knows no transparency."""
    sketch = _roomy(sketch.flatten(background=_WHITE).cast("uchar"))
    return blurhash.encode(_pixels(sketch), sketch.width, across, down)


def thumbhash_of(sketch: pyvips.Image) -> str:
    """The ThumbHash of a small RGBA picture, in base64."""
    sketch = _roomy(sketch)
    return base64.b64encode(thumbhash.encode(_pixels(sketch), sketch.width)).decode()


def average(sketch: pyvips.Image) -> str:
    """The average of the light of a small RGBA picture, as CSS writes colours; of what can be seen of it."""
    pixels = _pixels(sketch)
    alpha = pixels[3::4]
    if not any(alpha):
        return _FULLY_TRANSPARENT
    bands = ([blurhash.LIGHT[n] for n in pixels[band::4]] for band in range(3))
    return "#" + bytes(blurhash.number(sum(map(mul, light, alpha)) / sum(alpha)) for light in bands).hex()


def dominant(sketch: pyvips.Image) -> str:
    """The colour that most of a small RGBA picture is about, as CSS writes colours."""
    pixels = _pixels(sketch)
    alike: defaultdict[tuple[int, ...], list[tuple[int, ...]]] = defaultdict(list)
    for at in range(0, len(pixels), 4):
        if pixels[at + 3] >= _SEEN:
            colour = tuple(pixels[at : at + 3])
            alike[tuple(number // _ALIKE for number in colour)].append(colour)
    if not alike:
        return _FULLY_TRANSPARENT
    most = max(alike.values(), key=len)
    return "#" + bytes(round(sum(band) / len(most)) for band in zip(*most, strict=True)).hex()


def _roomy(sketch: pyvips.Image) -> pyvips.Image:
    """A picture with at least as many pixels a side as there may be waves: in one pixel, all of them look alike."""
    times = math.ceil(blurhash.MOST / min(sketch.width, sketch.height))
    return sketch.zoom(times, times)


def _pixels(sketch: pyvips.Image) -> bytes:
    return bytes(sketch.write_to_memory())


def _value(sketch: pyvips.Image, size: Size, asked: Placeholder) -> str:
    match asked.kind:
        case Sketch.BLURHASH:
            across, down = (asked.x, asked.y) if asked.x else blurhash.components(size.width, size.height)
            return blurhash_of(sketch, across, down)
        case Sketch.THUMBHASH:
            return thumbhash_of(sketch)
        case _:
            return f"data:image/webp;base64,{base64.b64encode(_tiny(sketch)).decode()}"


def _tiny(sketch: pyvips.Image) -> bytes:
    opaque = sketch[3].min() == 255
    return (sketch[:3] if opaque else sketch).webpsave_buffer(**_WEBP)
