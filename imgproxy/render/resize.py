"""Resampling and turning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgproxy.options import QualityProfile
from imgproxy.render.light import from_light, to_light
from imgproxy.render.profiles import RULES

if TYPE_CHECKING:
    import pyvips

    from imgproxy.geometry import Size
    from imgproxy.render.scene import Scene


def resized(image: pyvips.Image, size: Size, *, linear: bool = False, kernel: str = "lanczos3") -> pyvips.Image:
    """The image at exactly this size, resampled on premultiplied alpha, in linear light if asked for."""
    x, y = size.width / image.width, size.height / image.height
    if x == y == 1:
        return image
    if not linear:
        return _scaled(image, x, y, "lanczos3")
    if image.format == "uchar":
        return from_light(_scaled(to_light(image), x, y, kernel))
    # 16 bits of light hold too little of 16-bit shadows.
    format_, interpretation = image.format, image.interpretation
    return _scaled(image.colourspace("scrgb"), x, y, kernel).colourspace(interpretation).cast(format_)


def _scaled(image: pyvips.Image, x: float, y: float, kernel: str) -> pyvips.Image:
    format_ = image.format
    if not image.hasalpha():
        return image.resize(x, vscale=y, kernel=kernel)
    return image.premultiply().resize(x, vscale=y, kernel=kernel).unpremultiply().cast(format_)


def with_alpha(image: pyvips.Image) -> pyvips.Image:
    """The image with an alpha band: its own, or an opaque one."""
    return image if image.hasalpha() else image.addalpha()


def resize(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    scaled = scene.geometry.scaled.swapped if scene.turn.swaps else scene.geometry.scaled
    # Enlarged in linear light, edges get dark halos; those who configured it want it nevertheless.
    smaller = scaled.width <= image.width and scaled.height <= image.height
    if scene.light and smaller:
        kernel = RULES[scene.plan.options[QualityProfile].profile].kernel
        return resized(image, scaled, linear=True, kernel=kernel)
    return resized(image, scaled, linear=scene.plan.linear_light)


def turn(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    way = scene.turn
    if way.nothing:
        return image
    # Turning reads pixels out of order; by now they are few.
    image = image.copy_memory()
    image = _rotated(image, way.exif_angle)
    image = image.fliphor() if way.exif_flip else image
    image = _rotated(image, way.angle)
    image = image.fliphor() if way.flip_horizontal else image
    return image.flipver() if way.flip_vertical else image


def _rotated(image: pyvips.Image, angle: int) -> pyvips.Image:
    return image.rot(f"d{angle}") if angle else image
