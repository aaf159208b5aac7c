"""The pipeline proper, in order: the same list for a still and for each frame of an animation.

Each step takes and gives an image in sRGB or grey numbers, alpha not premultiplied. Pixels are cropped and scaled
as they are stored, before they are turned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgproxy.geometry import Gravity, Sides, Size, place
from imgproxy.options import EFFECTS, Background, Extend, ExtendAspectRatio
from imgproxy.options.base import as_effect
from imgproxy.render.crop import crop_result, crop_source
from imgproxy.render.resize import resize, resized, turn, with_alpha

if TYPE_CHECKING:
    import pyvips

    from imgproxy.render.scene import Scene


def frame(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    """The pipeline: one picture or frame, from decoded to ready."""
    for step in STEPS:
        image = step(image, scene)
    return image


def _effects(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    chosen = [option for kind in EFFECTS if (option := scene.plan.options[kind]) != kind()]
    if not chosen:
        return image
    format_, interpretation, alpha = image.format, image.interpretation, image.hasalpha()
    image = image.copy_memory()
    if alpha:
        image = image.premultiply().cast(format_)
    for option in chosen:
        image = as_effect(option).apply(image)
    if alpha:
        image = image.unpremultiply()
    return image.colourspace(interpretation).cast(format_)


def _extend(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    option = scene.plan.options[Extend]
    gravity = Gravity(option.anchor, option.x, option.y)
    return _on_canvas(image, scene.geometry.extend, gravity, scene.geometry.dpr)


def _extend_aspect_ratio(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    option = scene.plan.options[ExtendAspectRatio]
    gravity = Gravity(option.anchor, option.x, option.y)
    return _on_canvas(image, scene.geometry.extend_ratio, gravity, scene.geometry.dpr)


def _on_canvas(image: pyvips.Image, canvas: Size, gravity: Gravity, dpr: float) -> pyvips.Image:
    if canvas.width <= image.width and canvas.height <= image.height:
        return image
    outer = Size(max(canvas.width, image.width), max(canvas.height, image.height))
    left, top = place(outer, Size(image.width, image.height), gravity, dpr)
    return with_alpha(image).embed(left, top, outer.width, outer.height)


def _pad(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    sides = scene.geometry.padding
    if sides == Sides():
        return image
    width = image.width + sides.left + sides.right
    height = image.height + sides.top + sides.bottom
    return with_alpha(image).embed(sides.left, sides.top, width, height)


def _fit_format(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    """Scaled down uniformly, if the format cannot hold the size."""
    width, height = image.width, image.height
    factor = 1.0
    if scene.format.max_side:
        factor = min(factor, scene.format.max_side / max(width, height))
    if scene.format.max_pixels:
        factor = min(factor, (scene.format.max_pixels / (width * height)) ** 0.5)
    if factor == 1.0:
        return image
    # Down, so that the product of two rounded sides cannot exceed the limit on pixels either.
    return resized(image, Size(max(1, int(width * factor)), max(1, int(height * factor))))


def _flatten(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    colour = scene.plan.options[Background].color
    if not image.hasalpha() or (colour is None and scene.format.alpha):
        return image
    red, green, blue = colour or (255, 255, 255)
    grey = image.bands == 2
    if grey and not red == green == blue:
        image = image.colourspace("rgb16" if image.format == "ushort" else "srgb")
        grey = False
    full = 257.0 if image.format == "ushort" else 1.0
    background = [red * full] if grey else [red * full, green * full, blue * full]
    return image.flatten(background=background, max_alpha=255 * full).cast(image.format)


def _watermark(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    return scene.mark.over(image, scene.geometry.dpr) if scene.mark else image


STEPS = (
    crop_source,
    resize,
    turn,
    crop_result,
    _effects,
    _extend,
    _extend_aspect_ratio,
    _pad,
    _fit_format,
    _flatten,
    _watermark,
)
"""imgproxy's order (``processing.go``). Before them: trim, and shrinking on load."""
