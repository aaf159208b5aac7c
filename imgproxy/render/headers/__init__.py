"""The structure of files, read without a decoder: in Python, bounded, before libvips opens them."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

from imgproxy.errors import BrokenImage
from imgproxy.formats import AVIF, GIF, JPEG, PNG, TIFF, WEBP, Format
from imgproxy.render.headers import avif, gif, jpeg, png, tiff, webp
from imgproxy.render.headers.base import Layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.model import Source

LAYOUTS: dict[Format, Callable[[mmap.mmap], Layout]] = {
    JPEG: jpeg.layout,
    PNG: png.layout,
    WEBP: webp.layout,
    GIF: gif.layout,
    TIFF: tiff.layout,
    AVIF: avif.layout,
}


def layout(source: Source, format_: Format) -> Layout:
    """How a source lays its pixels out. Raises ``BrokenImage`` and ``SourceTooExpensive``."""
    with mmap.mmap(source.fd, source.size, access=mmap.ACCESS_READ) as data:
        try:
            return LAYOUTS[format_](data)
        except (struct.error, LookupError, OverflowError, ValueError) as error:
            raise BrokenImage(f"the structure of this {format_.name} leads out of the file: {error}") from None
