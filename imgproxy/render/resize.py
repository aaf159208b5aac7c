"""Resampling and turning."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyvips

    from imgproxy.geometry import Size
    from imgproxy.render.scene import Scene


def resized(image: pyvips.Image, size: Size, *, linear: bool = False) -> pyvips.Image:
    """The image at exactly this size: Lanczos 3, on premultiplied alpha, in linear light if asked for."""
    x, y = size.width / image.width, size.height / image.height
    if x == y == 1:
        return image
    format_, interpretation = image.format, image.interpretation
    if linear:
        image = image.colourspace("scrgb")
    alpha = image.hasalpha()
    if alpha:
        image = image.premultiply()
    image = image.resize(x, vscale=y)
    if alpha:
        image = image.unpremultiply()
    if linear:
        image = image.colourspace(interpretation)
    return image.cast(format_)


def with_alpha(image: pyvips.Image) -> pyvips.Image:
    """The image with an alpha band: its own, or an opaque one."""
    return image if image.hasalpha() else image.addalpha()


def resize(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    scaled = scene.geometry.scaled.swapped if scene.turn.swaps else scene.geometry.scaled
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
