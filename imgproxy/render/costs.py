"""The memory that a render takes, in bytes, foretold by header and plan: never less than was measured.

Measured as VmHWM over a process's start, in fresh processes of libvips 8.18.7 with one thread: 70 pictures of 1 to
42 MP, photographs, noise and solid colours, through every loader and saver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.errors import ResultTooLarge, SourceTooExpensive
from imgproxy.formats import AVIF, GIF, JPEG, JSON, PNG, TIFF, WEBP, Format

if TYPE_CHECKING:
    from imgproxy.geometry import Size
    from imgproxy.model import Encoding
    from imgproxy.render.budget import Budget
    from imgproxy.render.load import Picture

_ROWS, _FLOAT_ROWS = 1400, 720
"""Rows that resampling holds: 65000x760 RGB took 256 MB, 100000x480 RGBA 932 MB (premultiplied: 16 B a pixel)."""
_UNRETURNED = 64 << 20
"""Of what decoding took, so much at most stays with the allocator while the result is encoded, beside the rows:
glibc gives back blocks of 32 MB and more only. A WebP of 2500x2000 left 25 MB, a JPEG of 65000x760 its rows."""
_FEW_ROWS, _SPARE_ROWS = 4, 64
"""Of a flat picture, so many times its height and these: 786432x32 RGBA took 2.1 GB with 16 bits a channel."""
_FLOAT = 4
_LIGHT = 2
"""Linear light: 16 bits a channel, beside what was decoded."""
_GIF_CANVAS = 12
"""A frame, the canvas and the one before: 11.0 B a pixel of 3000x3000, interlaced."""
_AVIF_DEEP_ALPHA = 8
"""Beside ``avif.BYTES_A_PIXEL``: 26 B a pixel in 4:4:4 with alpha and 12 bits."""
_SPARE = 8 << 20
"""What no picture's size explains: Huffman tables, zlib's windows, rows of small pictures."""
_WEBP_LOADED = 9
"""7.5 B a pixel in RGB, 9.1 in RGBA, of those that are asked for; without loss 6 more of those that are stored."""
_WEBP_STORED = 6
_WEBP_FRAMES = 8
"""libwebp's two canvases, and all frames behind them: 30 frames of 800x500 took 85 MB."""


_FILTERED = 10_000_000
"""Pixels that drawing an SVG goes over: 2 s of librsvg."""


@dataclass(frozen=True, slots=True)
class Load:
    """What decoding takes, in bytes."""

    peak: int = 0
    left: int = 0
    """Of that, what the process still has while it encodes."""


@dataclass(frozen=True, slots=True)
class Result:
    """What is to be encoded."""

    format: Format
    size: Size
    """Of one frame."""
    frames: int
    bands: int
    alpha: bool
    sample: int
    """Bytes a channel."""
    drawn: bool = False
    """Whether it was drawn, from an SVG: its transparency has few edges."""

    @property
    def pixels(self) -> int:
        return self.size.width * self.size.height * self.frames

    @property
    def bytes(self) -> int:
        """What its pixels take."""
        return self.pixels * self.bands * self.sample

    def __str__(self) -> str:
        many = f" with {self.frames} frames" if self.frames > 1 else ""
        return f"{_name(self.format)} of {self.size.width}x{self.size.height}{many}"


def check_load(
    picture: Picture, loaded: Size, budget: Budget, *, frames: int = 1, copies: int = 0, light: bool = False
) -> Load:
    """What decoding takes, with ``copies`` of all that is loaded. Raises ``SourceTooExpensive``."""
    load = loading(picture, loaded, frames=frames, copies=copies, light=light)
    if load.peak > budget.allowed:
        source = f"{_name(picture.format)} of {picture.size.width}x{picture.size.height}"
        raise SourceTooExpensive(f"{source} takes about {_said(load.peak)}, {_said(budget.allowed)} are allowed")
    filtered = int(picture.layout.passes * loaded.width * loaded.height)
    if filtered > _FILTERED:
        raise SourceTooExpensive(f"an SVG whose drawing goes over {filtered} pixels, {_FILTERED} are allowed")
    return load


def check_result(result: Result, load: Load, encoding: Encoding, budget: Budget) -> None:
    """Raise ``ResultTooLarge`` if a result is too large to be held, after or beside what decoding takes."""
    estimate = rendering(result, load, encoding)
    if estimate > budget.allowed:
        takes = f"takes about {_said(estimate)}, {_said(budget.allowed)} are allowed"
        raise ResultTooLarge(f"{result} has {result.pixels} pixels and {takes}")


def rendering(result: Result, load: Load, encoding: Encoding) -> int:
    """What a render takes at its peak: while it decodes, or while it encodes."""
    # The frames of an animation are held one by one and joined.
    held = result.bytes * (2 if result.frames > 1 else 1)
    return held + max(load.peak, load.left + saving(result, encoding))


def loading(picture: Picture, loaded: Size, *, frames: int = 1, copies: int = 0, light: bool = False) -> Load:
    """What a picture takes while it is decoded at this size, beside the result."""
    area, pixel = loaded.width * loaded.height, picture.bands * picture.sample
    whole, rows = _decoder(picture, area, frames) + copies * area * pixel, _rows(picture, loaded, light=light)
    always = picture.source.size + _SPARE  # the file is mapped, or read into memory
    return Load(peak=whole + rows + always, left=min(whole, _UNRETURNED) + rows + always)


def _decoder(picture: Picture, area: int, frames: int) -> int:
    stored = picture.size.width * picture.size.height
    held = (
        picture.layout.held
        + picture.layout.drawn * area
        + (stored * picture.bands * picture.sample * 6 // 5 if picture.layout.whole else 0)
    )
    if picture.format is GIF:
        held += _GIF_CANVAS * stored
    elif picture.format is WEBP and frames > 1:
        held += (_WEBP_FRAMES * frames + _GIF_CANVAS) * stored
    elif picture.format is WEBP:
        held += _WEBP_LOADED * area + (_WEBP_STORED * stored if picture.layout.lossless else 0)
    elif picture.format is AVIF and picture.alpha and picture.sample > 1:
        held += _AVIF_DEEP_ALPHA * stored
    return held


def _rows(picture: Picture, loaded: Size, *, light: bool) -> int:
    """The rows between decoder and resampler: alpha is premultiplied in floats, other colours come as floats."""
    floats = picture.alpha or not picture.plain
    pixel = picture.bands * (_FLOAT if floats else picture.sample + _LIGHT * light)
    most = _FLOAT_ROWS if floats else _ROWS
    return loaded.width * min(most, _FEW_ROWS * loaded.height + _SPARE_ROWS) * pixel


def saving(result: Result, encoding: Encoding) -> int:
    """What an encoder takes beside the pixels that it is given, with the file that comes of it."""
    return _ENCODERS[result.format](result, encoding)


def _jpeg(result: Result, _: Encoding) -> int:
    # All coefficients, for the second pass of optimize_coding: 6.4 B a pixel in RGB, 4.1 in grey; CMYK 8.
    return result.pixels * {1: 5, 3: 7}.get(result.bands, 9)


def _png(result: Result, encoding: Encoding) -> int:
    if encoding.png_quantize:
        return result.pixels * 9  # RGBA, indices, the quantiser's own: 7.6 B a pixel of noise
    # Noise does not shrink; the file is held twice for a moment. Interlaced ones are held whole.
    return result.bytes * (33 if encoding.png_interlaced else 23) // 10


def _webp(result: Result, encoding: Encoding) -> int:
    alpha = 16 if result.drawn else 36
    each = (alpha if result.alpha else 7) + (4 if encoding.webp_effort > _QUICK_WEBP else 0)
    # RGB 5.4 B a pixel of noise, 8.5 at effort 6; RGBA 13.9 with an even alpha, 34 with one of noise.
    return _frames(result, each, 2)


def _gif(result: Result, _: Encoding) -> int:
    return _frames(result, 40, 3)  # 37.6 B a pixel of noise


def _frames(result: Result, each: int, file: int) -> int:
    """An encoder that holds one frame at a time, at ``each`` bytes a pixel, and the file."""
    pixels = result.pixels // result.frames
    return pixels * each + (result.pixels * file if result.frames > 1 else 0)


def _avif(result: Result, encoding: Encoding) -> int:
    # 21.7 B a pixel in RGB at speed 9, 24.1 at speed 5, 32 with alpha, 33.4 with 16 bits; grey 20.
    each = 22 + (11 if result.alpha else 0) + (13 if result.sample > 1 else 0)
    return result.pixels * (each + (3 if encoding.avif_speed < _QUICK_AVIF else 0))


def _tiff(result: Result, _: Encoding) -> int:
    if result.sample == 1 and not result.alpha:
        return result.pixels * 3  # JPEG in strips: 0.7 B a pixel of noise at quality 80
    return result.bytes * 23 // 10


def _json(result: Result, _: Encoding) -> int:
    return result.pixels * 16  # shrunk to a placeholder's size: premultiplied, in floats


_QUICK_WEBP, _QUICK_AVIF = 3, 9
_ENCODERS = {JPEG: _jpeg, PNG: _png, WEBP: _webp, GIF: _gif, AVIF: _avif, TIFF: _tiff, JSON: _json}


def _name(format_: Format) -> str:
    article = "an" if format_.name[0] in "aeiou" else "a"
    return f"{article} {format_.name.upper()}"


def _said(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
