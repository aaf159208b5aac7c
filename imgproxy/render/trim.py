"""Uniform borders cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyvips

    from imgproxy.options import Trim

_SMALLEST = 3
"""libvips looks for the border behind a median of 3 x 3 pixels, and refuses what is smaller."""


def trimmed(image: pyvips.Image, trim: Trim) -> pyvips.Image:
    """The image without its border. Transparency counts as magenta, as in imgproxy."""
    if min(image.width, image.height) < _SMALLEST:
        return image
    image = image.copy_memory()
    flat = image.colourspace("srgb").cast("uchar")
    flat = flat.flatten(background=[255, 0, 255]) if flat.hasalpha() else flat
    colour = [float(channel) for channel in trim.color or flat.getpoint(0, 0)]
    left, top, width, height = flat.find_trim(threshold=max(0.0, trim.threshold or 0.0), background=colour)
    if width == 0 or height == 0:
        return image
    right, bottom = image.width - left - width, image.height - top - height
    if trim.equal_horizontal:
        left = right = min(left, right)
    if trim.equal_vertical:
        top = bottom = min(top, bottom)
    return image.crop(left, top, image.width - left - right, image.height - top - bottom)
