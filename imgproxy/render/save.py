"""From pixels to a file: one function for each format, the search for ``max_bytes``, and what metadata stays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from imgproxy.formats import AVIF, GIF, JPEG, PNG, TIFF, WEBP, Format
from imgproxy.geometry import scale
from imgproxy.options import KeepCopyright, MaxBytes, StripColorProfile, StripMetadata
from imgproxy.render.fields import names
from imgproxy.render.metadata import strip, with_bare_iptc

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyvips

    from imgproxy.model import Encoding, Plan

_LOWEST_QUALITY = 10
_PNG_ALL_FILTERS = 0xF8
_KINDS = {b"exif-": 1, b"xmp-data": 2, b"iptc-data": 4, b"icc-profile-data": 8, b"png-comment-": 16}
"""libvips' VipsForeignKeep, by the fields that each kind is made of."""


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a saver is to save."""

    quality: int
    encoding: Encoding
    palette_bits: int
    keep: int


def encode(image: pyvips.Image, format_: Format, plan: Plan, *, palette_bits: int = 0) -> bytes:
    """The image, in memory, as a file of this format. ``palette_bits``: depth of the source's palette, or 0."""
    options = plan.options
    keep_profile = not options[StripColorProfile].enabled and format_.profile
    if options[StripMetadata].enabled:
        image = strip(image, keep_copyright=options[KeepCopyright].enabled, keep_profile=keep_profile)
    else:
        image = _upright(image)
    quality = dict(plan.encoding.quality).get(format_.name, 0)
    manner = _Manner(quality, plan.encoding, palette_bits, _kept(image))
    save = partial(_SAVERS[format_], image)
    budget = options[MaxBytes].limit
    return _within(budget, manner, save) if budget and format_.quality else save(manner)


def _upright(image: pyvips.Image) -> pyvips.Image:
    """The image without its orientation tag, which its pixels have already obeyed, or were told not to."""
    image = image.copy()
    for name in ("orientation", "exif-ifd0-Orientation"):
        image.remove(name)
    return image


def _kept(image: pyvips.Image) -> int:
    """What the saver should write: the kinds that the image has. Asked for EXIF, libvips makes some up."""
    found = names(image)
    return sum(flag for prefix, flag in _KINDS.items() if any(name.startswith(prefix) for name in found))


def _within(budget: int, manner: _Manner, save: Callable[[_Manner], bytes]) -> bytes:
    """The first attempt within the budget, or the one at the lowest quality (imgproxy: ``saveImageToFitBytes``)."""
    while True:
        body = save(manner)
        if len(body) <= budget or manner.quality <= _LOWEST_QUALITY:
            return body
        excess = len(body) / budget
        factor = 0.25 if excess > 3 else 0.5 if excess > 1.5 else 0.75
        lower = max(1, min(manner.quality - 1, scale(manner.quality, factor)))
        manner = replace(manner, quality=lower)


def _jpeg(image: pyvips.Image, manner: _Manner) -> bytes:
    return image.jpegsave_buffer(
        Q=max(1, manner.quality),
        optimize_coding=True,
        interlace=manner.encoding.jpeg_progressive,
        quant_table=manner.encoding.jpeg_table,
        keep=manner.keep,
    )


def _png(image: pyvips.Image, manner: _Manner) -> bytes:
    interlace = manner.encoding.png_interlaced
    if (manner.palette_bits or manner.encoding.png_quantize) and image.format == "uchar":
        # The smallest depth that holds the colours: as configured, or of the source's palette.
        colours = manner.encoding.png_colors if manner.encoding.png_quantize else 2**manner.palette_bits
        depth = next(depth for depth in (1, 2, 4, 8) if colours <= 2**depth)
        return image.pngsave_buffer(palette=True, bitdepth=depth, interlace=interlace, keep=manner.keep)
    return image.pngsave_buffer(filter=_PNG_ALL_FILTERS, interlace=interlace, keep=manner.keep)


def _webp(image: pyvips.Image, manner: _Manner) -> bytes:
    encoding = manner.encoding
    return image.webpsave_buffer(
        Q=manner.quality, effort=encoding.webp_effort, preset=encoding.webp_preset, keep=manner.keep
    )


def _gif(image: pyvips.Image, manner: _Manner) -> bytes:
    return image.gifsave_buffer(bitdepth=manner.palette_bits or 8, keep=manner.keep)


def _avif(image: pyvips.Image, manner: _Manner) -> bytes:
    return image.heifsave_buffer(
        Q=max(1, manner.quality),
        compression="av1",
        effort=9 - manner.encoding.avif_speed,
        bitdepth=12 if image.format == "ushort" else 8,
        keep=manner.keep,
    )


def _tiff(image: pyvips.Image, manner: _Manner) -> bytes:
    image = with_bare_iptc(image)
    # JPEG in TIFF knows neither alpha nor 16 bits; without it the quality would mean nothing.
    if image.format == "uchar" and not image.hasalpha():
        return image.tiffsave_buffer(compression="jpeg", Q=max(1, manner.quality), keep=manner.keep)
    return image.tiffsave_buffer(compression="deflate", predictor="horizontal", keep=manner.keep)


_SAVERS = {JPEG: _jpeg, PNG: _png, WEBP: _webp, GIF: _gif, AVIF: _avif, TIFF: _tiff}
