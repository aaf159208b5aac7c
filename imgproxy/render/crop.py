"""Crops: of the source before it is scaled, and of the result; at a side, a point, or where it is interesting."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imgproxy.geometry import Anchor, Gravity, Size, place, scale
from imgproxy.options import Crop
from imgproxy.options import Gravity as GravityOption
from imgproxy.render.resize import resize, turn

if TYPE_CHECKING:
    import pyvips

    from imgproxy.options import Options
    from imgproxy.render.scene import Scene


def crop_source(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    box = _source_box(image, scene)
    if box is None:
        return image
    size, gravity = box
    return _cut(image, size, gravity, 1.0, scene.crop_at)


def _source_box(image: pyvips.Image, scene: Scene) -> tuple[Size, Gravity] | None:
    """Size and gravity of the source crop on the image as it was loaded: shrunk, and not yet turned."""
    wanted = scene.geometry.crop.swapped if scene.turn.swaps else scene.geometry.crop
    if not (wanted.width or wanted.height):
        return None
    x, y = scene.stored.width / image.width, scene.stored.height / image.height
    gravity = scene.turn.stored(_crop_gravity(scene.plan.options))
    if gravity.anchor is not Anchor.FOCUS:
        # Absolute offsets are pixels of the source.
        gravity = Gravity(
            gravity.anchor,
            gravity.x / x if abs(gravity.x) >= 1 else gravity.x,
            gravity.y / y if abs(gravity.y) >= 1 else gravity.y,
        )
    width = max(1, scale(wanted.width, 1 / x)) if wanted.width else image.width
    height = max(1, scale(wanted.height, 1 / y)) if wanted.height else image.height
    return Size(width, height), gravity


def _crop_gravity(options: Options) -> Gravity:
    crop = options[Crop]
    if crop.anchor is not None:
        return Gravity(crop.anchor, crop.x, crop.y)
    return _result_gravity(options)


def _result_gravity(options: Options) -> Gravity:
    gravity = options[GravityOption]
    return Gravity(gravity.anchor, gravity.x, gravity.y)


def _cut(
    image: pyvips.Image, size: Size, gravity: Gravity, dpr: float, smart_place: tuple[int, int] | None
) -> pyvips.Image:
    inner = _inner(image, size)
    if inner == Size(image.width, image.height):
        return image
    if gravity.anchor is Anchor.SMART:
        image = image.copy_memory()
        left, top = smart_place or _smart_place(image, size) or (0, 0)
    else:
        left, top = place(Size(image.width, image.height), inner, gravity, dpr)
    return image.crop(left, top, inner.width, inner.height)


def _inner(image: pyvips.Image, size: Size) -> Size:
    """A crop's size on this image: 0 is all of an axis, and no more than all can be had."""
    whole = Size(image.width, image.height)
    return Size(size.width or whole.width, size.height or whole.height).within(whole)


def crop_result(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    geometry = scene.geometry
    gravity = _result_gravity(scene.plan.options)
    return _cut(image, geometry.result_crop, gravity, geometry.dpr, scene.result_crop_at)


def with_smart_places(first: pyvips.Image, scene: Scene) -> Scene:
    """The scene with the places of its smart crops, as the first frame of an animation has them."""
    box = _source_box(first, scene)
    if box is not None and box[1].anchor is Anchor.SMART:
        scene = replace(scene, crop_at=_smart_place(first, box[0]))
    if _result_gravity(scene.plan.options).anchor is not Anchor.SMART:
        return scene
    turned = turn(resize(crop_source(first, scene), scene), scene)
    return replace(scene, result_crop_at=_smart_place(turned, scene.geometry.result_crop))


def _smart_place(image: pyvips.Image, size: Size) -> tuple[int, int] | None:
    """Left and top of the most interesting part of this size; None if that is the whole."""
    inner = _inner(image, size)
    if inner == Size(image.width, image.height):
        return None
    part = image.copy_memory().smartcrop(inner.width, inner.height, interesting="attention")
    return -part.xoffset, -part.yoffset
