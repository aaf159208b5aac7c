"""From a source's bytes to an image: its header first, then its pixels, shrunk while they are decoded."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyvips

from imgproxy.errors import BrokenImage, SourceTooExpensive, SourceTooLarge, UnknownImageType
from imgproxy.formats import AVIF, GIF, JPEG, PNG, SNIFF_BYTES, SVG, TIFF, WEBP, Format, sniff
from imgproxy.geometry import Size, Turn
from imgproxy.render.budget import Budget
from imgproxy.render.fields import integer
from imgproxy.render.headers import layout
from imgproxy.render.headers.base import Layout
from imgproxy.render.markup import in_utf8
from imgproxy.render.profiles import BALANCED
from imgproxy.render.svg import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.model import Limits, Source
    from imgproxy.render.profiles import Rules

MOST_ROWS = 1_000_000
"""Each costs time, however short it is: 9,900,000 rows of one pixel, 39 kB of PNG, took 1.6 s. And libvips cannot
shrink by more. Only PNG and TIFF have room for as many."""

_BUDGET = Budget()
_PLAIN = Layout()
_BYTES = {"uchar": 1, "char": 1, "ushort": 2, "short": 2, "uint": 4, "int": 4, "float": 4, "double": 8, "complex": 8}
_NUMBERS = {"srgb", "rgb", "rgb16", "b-w", "grey16"}
"""Colour spaces whose numbers are worked on as they are."""

_OPENERS: dict[Format, Callable[..., pyvips.Image]] = {
    JPEG: pyvips.Image.jpegload_source,
    PNG: pyvips.Image.pngload_source,
    WEBP: pyvips.Image.webpload_source,
    GIF: pyvips.Image.gifload_source,
    TIFF: pyvips.Image.tiffload_source,
    AVIF: pyvips.Image.heifload_source,
    SVG: pyvips.Image.svgload_source,
}
_BUFFERED_SVG: Callable[..., pyvips.Image] = pyvips.Image.svgload_buffer


@dataclass(frozen=True, slots=True)
class Picture:
    """A source whose header was read."""

    source: Source
    header: pyvips.Image
    """As it was opened: no pixel of it is decoded yet, and each can be only once."""
    format: Format
    size: Size
    """Of one frame, as stored; of a vector, what it is rasterised to."""
    pages: int
    turn: Turn
    """What makes it upright."""
    alpha: bool
    bands: int = 3
    sample: int = 1
    """Bytes a channel, as it is decoded."""
    plain: bool = True
    """RGB or grey: nothing to be converted before it is worked on."""
    layout: Layout = _PLAIN
    palette_bits: int = 0
    """Depth of the palette; 0 without one."""
    scale: float = 1.0
    """What a vector is rasterised with to get ``size``."""
    thumbnail: bool = False
    """The embedded thumbnail is meant, not the main image."""

    def load(self, *, pages: int = 1, **arguments: object) -> pyvips.Image:
        """The pixels, decoded as they are asked for, top to bottom and once. Several pages are stacked."""
        if pages > 1:
            arguments["n"] = pages
        if self.format is SVG and self.scale != 1.0:
            arguments.setdefault("scale", self.scale)
        if self.thumbnail:
            arguments["thumbnail"] = True
        return _open(self.source, self.format, **arguments) if arguments else self.header

    def load_at_least(self, needed: float, rules: Rules = BALANCED) -> pyvips.Image:
        """The first page, shrunk on load as far as a further shrink by ``needed`` allows without harm."""
        if self.format is SVG:
            return self.load(scale=self.scale / needed)
        if self.format is AVIF and not self.thumbnail and needed > 1:
            return self._smaller_version(needed) or self.load()
        return self.shrunk(self.shrink(needed, rules))

    def shrunk(self, shrink: int) -> pyvips.Image:
        """The first page of a JPEG or WebP, shrunk by its decoder; of others as it is."""
        if shrink == 1:
            return self.load()
        return self.load(shrink=shrink) if self.format is JPEG else self.load(scale=1 / shrink)

    def loaded_size(self, needed: float, rules: Rules = BALANCED) -> Size:
        """What ``load_at_least`` decodes, or a little more."""
        shrink = needed if self.format is SVG else self.shrink(needed, rules)
        return Size(math.ceil(self.size.width / shrink), math.ceil(self.size.height / shrink))

    def shrink(self, needed: float, rules: Rules = BALANCED) -> int:
        """By how much the decoder shrinks a bitmap that has to be shrunk by ``needed``."""
        if self.size.width * self.size.height <= rules.whole_pixels:
            return 1
        if self.format is WEBP:
            return max(1, int(needed / rules.margin))
        return _jpeg_shrink(needed / rules.margin) if self.format is JPEG else 1

    def _smaller_version(self, needed: float) -> pyvips.Image | None:
        """The embedded thumbnail, if it is smaller than the image and still large enough."""
        thumbnail = self.load(thumbnail=True)
        ratio = self.size.width / thumbnail.width
        # Another shape than the image means another picture, or black bars around it.
        same_shape = abs(self.size.height / ratio - thumbnail.height) <= 1
        return thumbnail if 1 < ratio <= needed and same_shape else None


def read_all(source: Source) -> bytes:
    """The whole source."""
    return os.pread(source.fd, source.size, 0)


def read_header(
    source: Source,
    limits: Limits,
    budget: Budget = _BUDGET,
    *,
    auto_rotate: bool = True,
    thumbnail: bool = False,
    drawn: bool = True,
) -> Picture:
    """What the header says, within the limits; no pixel is decoded. ``drawn``: an SVG will be rasterised.

    Raises ``UnknownImageType``, ``BrokenImage``, ``SourceTooLarge`` and ``SourceTooExpensive``.
    """
    format_ = sniff(os.pread(source.fd, SNIFF_BYTES, 0))
    if format_ is None:
        raise UnknownImageType("the first bytes belong to no image format known here")
    if format_ not in _OPENERS:
        raise BrokenImage(f"{format_.name} cannot be read here")
    if format_ is SVG:
        if source.size > budget.svg_bytes:
            raise SourceTooExpensive(f"an SVG of {source.size} bytes, {budget.svg_bytes} are allowed")
        structure = check(read_all(source), budget.svg_bytes, drawn=drawn)
    else:
        structure = layout(source, format_)
    header = _open(source, format_, **({"thumbnail": True} if thumbnail and format_ is AVIF else {}))
    turn = Turn.exif(integer(header, "orientation", 1)) if auto_rotate else Turn()
    picture = Picture(
        source=source,
        header=header,
        format=format_,
        size=Size(header.width, integer(header, "page-height", header.height)),
        pages=integer(header, "n-pages", 1),
        turn=turn,
        alpha=header.hasalpha(),
        bands=header.bands,
        sample=_BYTES.get(str(header.format), 16),
        plain=header.interpretation in _NUMBERS and header.format in {"uchar", "ushort"},
        layout=structure,
        palette_bits=integer(header, "bits-per-sample", 8) if header.get_typeof("palette") else 0,
        thumbnail=thumbnail and format_ is AVIF,
    )
    return _rasterised_within(picture, limits) if format_ is SVG else _checked(picture, limits)


def _open(source: Source, format_: Format, **arguments: object) -> pyvips.Image:
    # "truncated": half a picture is an error, not a grey one that caches keep for a year.
    arguments = {"access": "sequential", "fail_on": "truncated", **arguments}
    if format_ is SVG and (text := in_utf8(body := read_all(source))) != body:
        return _BUFFERED_SVG(text, **arguments)
    # libvips maps the descriptor where it can; reading starts where the descriptor stands.
    os.lseek(source.fd, 0, os.SEEK_SET)
    return _OPENERS[format_](pyvips.Source.new_from_descriptor(source.fd), **arguments)


def _checked(picture: Picture, limits: Limits) -> Picture:
    """The picture, if it keeps the limits on rows and pixels: each frame's, or the sum of those that will be kept."""
    width, height = picture.size.width, picture.size.height
    if height > MOST_ROWS:
        raise SourceTooExpensive(f"a picture of {width}x{height}, {MOST_ROWS} rows are allowed")
    frames = min(picture.pages, limits.frames) if picture.format.animated_in else 1
    if frames > 1 and limits.frame_pixels:
        limit, pixels, what = limits.frame_pixels, width * height, "a frame of"
    else:
        limit, pixels, what = limits.source_pixels, width * height * frames, "the source of"
    if limit and pixels > limit:
        raise SourceTooLarge(f"{what} {width}x{height} with {frames} frames has {pixels} pixels, the limit is {limit}")
    return picture


def _rasterised_within(picture: Picture, limits: Limits) -> Picture:
    """A vector has no pixels of its own: it is rasterised down to the limit instead of being refused."""
    pixels = picture.size.width * picture.size.height
    if not limits.source_pixels or pixels <= limits.source_pixels:
        return picture
    scale = math.sqrt(limits.source_pixels / pixels)
    scaled = picture.load(scale=scale)
    return replace(picture, size=Size(scaled.width, scaled.height), scale=scale)


def _jpeg_shrink(most: float) -> int:
    """The largest of libjpeg's factors up to this."""
    return next((factor for factor in (8, 4, 2) if factor <= most), 1)
