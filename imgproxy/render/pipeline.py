"""What happens to a picture, in order: the heart of a render process.

``run`` is the whole way of a job: read the header, choose the format, solve the geometry, load, go through
``steps.STEPS``, encode.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyvips

from imgproxy.errors import UnsupportedFormat
from imgproxy.formats import JSON, SVG, Format, writable_instead
from imgproxy.geometry import Anchor, Geometry, Sides, Size, Wish, reduced, solve
from imgproxy.model import Plan, Rendition, Report
from imgproxy.options import (
    EFFECTS,
    AutoRotate,
    Background,
    Crop,
    Dpr,
    EnforceThumbnail,
    Extend,
    ExtendAspectRatio,
    Flip,
    Gravity,
    MinSize,
    Options,
    Padding,
    Placeholder,
    PreserveHdr,
    QualityProfile,
    Resize,
    Rotate,
    SkipProcessing,
    StripColorProfile,
    Trim,
    Watermark,
    Zoom,
)
from imgproxy.render import mezzanine
from imgproxy.render.budget import Budget
from imgproxy.render.colour import to_result_space, to_working_space
from imgproxy.render.costs import Load, Result, check_load, check_result, rendering
from imgproxy.render.crop import with_smart_places
from imgproxy.render.fields import integer, integers
from imgproxy.render.load import Picture, read_all, read_header
from imgproxy.render.placeholders import document
from imgproxy.render.profiles import RULES
from imgproxy.render.save import encode
from imgproxy.render.scene import Scene
from imgproxy.render.steps import frame
from imgproxy.render.svg import sanitize
from imgproxy.render.trim import trimmed
from imgproxy.render.watermark import Mark

if TYPE_CHECKING:
    from imgproxy.model import Job, Raster

_INT = pyvips.GValue.gint_type
_INTS = pyvips.GValue.array_int_type
_BUDGET = Budget()
_GREY_BANDS = 2
_TRIM_COPIES = 2
"""Of the whole picture: itself, and what is left of finding its border (113 MB for 11 MP RGBA)."""
_MARK_BYTES = 8
"""A pixel of the layer that a watermark lies on, and of what it is laid out from."""
_SMALL = 128
"""Longest side that a placeholder is made from: its own is a quarter, so that rounding is not seen."""
_PAGES = ("page-height", "n-pages", "delay", "loop")
"""What a source said of its pages; a result says its own."""


def run(job: Job, budget: Budget = _BUDGET) -> Report:
    """The rendition that a job asks for, and what it took.

    Raises ``SourceError``, ``UnsupportedFormat`` and ``ResultTooLarge``; what the budget forbids, before it decodes.
    """
    start = time.monotonic()
    plan = job.plan
    options = plan.options
    picture = read_header(
        job.source,
        plan.limits,
        budget,
        auto_rotate=options[AutoRotate].enabled,
        thumbnail=options[EnforceThumbnail].enabled,
        drawn=not _passes_unprocessed(plan, SVG),
    )
    if _passes_unprocessed(plan, picture.format):
        return Report(_unprocessed(picture), load_s=time.monotonic() - start)

    frames = _frames_kept(plan, picture)
    format_ = plan.formats.choose(picture.format, animated=frames > 1, alpha=_needs_alpha(options, picture))
    if not format_.writable:
        raise UnsupportedFormat(f"{format_.name} cannot be made from {picture.format.name}")
    frames = frames if format_.animated_out else 1
    made = finished(job, picture, format_, frames, budget)
    image, size = made.image, made.size
    loaded = time.monotonic()

    if format_ is JSON:
        body = document(image, size, options[Placeholder])
    else:
        size = Size(image.width, image.height // frames)
        format_ = writable_instead(format_, size.width, size.height, alpha=image.hasalpha())
        body = encode(image, format_, plan, palette_bits=picture.palette_bits)
    rendition = Rendition(
        body=body,
        format=format_,
        width=size.width,
        height=size.height,
        source_width=picture.size.width,
        source_height=picture.size.height,
        frames=frames,
    )
    return Report(rendition, load_s=loaded - start, encode_s=time.monotonic() - loaded, raster=made.raster)


def _passes_unprocessed(plan: Plan, format_: Format) -> bool:
    """Whether the source's own bytes are the answer: listed formats, and SVG unless pixels are asked for."""
    requested = plan.formats.requested
    listed = format_.name in plan.options[SkipProcessing].formats
    if format_ is SVG and requested is None:
        return listed or not plan.formats.rasterize_svg
    return requested is format_ if format_ is SVG else listed and requested in {None, format_}


def _unprocessed(picture: Picture) -> Rendition:
    body = read_all(picture.source)
    width, height = picture.size.width, picture.size.height
    return Rendition(
        sanitize(body) if picture.format is SVG else body,
        picture.format,
        width,
        height,
        width,
        height,
        picture.pages if picture.format.animated_in else 1,
    )


def _frames_kept(plan: Plan, picture: Picture) -> int:
    """How many frames the result may have, as far as source and request decide it."""
    requested = plan.formats.requested
    animates = picture.format.animated_in and (requested is None or requested.animated_out)
    return min(picture.pages, plan.limits.frames) if animates else 1


def _needs_alpha(options: Options, picture: Picture) -> bool:
    adds = options[Padding] != Padding() or options[Extend].enabled
    return options[Background].color is None and (picture.alpha or adds)


def wish(plan: Plan) -> Wish:
    """What a plan asks of size and place."""
    options = plan.options
    resize, minimum, zoom, crop = options[Resize], options[MinSize], options[Zoom], options[Crop]
    padding = options[Padding]
    return Wish(
        fit=resize.fit,
        width=resize.width,
        height=resize.height,
        enlarge=resize.enlarge,
        min_width=minimum.width,
        min_height=minimum.height,
        zoom_x=zoom.x,
        zoom_y=zoom.y,
        dpr=options[Dpr].ratio,
        crop_width=crop.width,
        crop_height=crop.height,
        extend=options[Extend].enabled,
        extend_ratio=options[ExtendAspectRatio].enabled,
        padding=Sides(padding.top, padding.right, padding.bottom, padding.left),
        max_side=plan.limits.result_side,
    )


@dataclass(frozen=True, slots=True)
class Made:
    """Finished pixels in memory, several frames stacked."""

    image: pyvips.Image
    size: Size
    """That was asked for. A placeholder has fewer pixels, where the composition allows that."""
    raster: Raster | None = None
    """What was put into the job's mezzanine."""


def finished(job: Job, picture: Picture, format_: Format, frames: int, budget: Budget) -> Made:
    """The pixels of a job's result, ready to be encoded."""
    plan = job.plan
    flip = plan.options[Flip]
    turn = replace(
        picture.turn,
        angle=plan.options[Rotate].angle,
        flip_horizontal=flip.horizontal,
        flip_vertical=flip.vertical,
    )
    mark = Mark(job.watermark, plan.options[Watermark], plan.watermark_opacity, budget) if job.watermark else None
    deep = plan.options[PreserveHdr].enabled and format_.deep
    stored, trimmed_image, load = picture.size, None, Load()
    rules = RULES[plan.options[QualityProfile].profile]
    if plan.options[Trim].threshold is not None and frames == 1:
        load = check_load(picture, stored, budget, copies=_TRIM_COPIES)
        trimmed_image = trimmed(to_working_space(picture.load(), deep=deep), plan.options[Trim])
        stored = Size(trimmed_image.width, trimmed_image.height)
    geometry = solve(turn.final(stored), wish(plan), vector=picture.format is SVG)
    size = geometry.canvas
    if format_ is JSON and _shows_at_any_size(plan.options):
        geometry, rules = reduced(geometry, _SMALL), replace(rules, whole_pixels=0)
    needed = _needed_shrink(geometry, turn.final(stored)) if plan.shrink_on_load else 1.0
    loaded = picture.loaded_size(needed, rules) if trimmed_image is None else stored
    light = rules.in_light(stored, loaded)
    if trimmed_image is None:
        copies = 1 if frames > 1 else 2 * _looks_for_places(plan.options)
        load = check_load(picture, loaded, budget, frames=frames, copies=copies, light=light)
    if mark:
        layer = _MARK_BYTES * geometry.canvas.width * geometry.canvas.height
        load = Load(load.peak + layer, load.left + layer)
    result = _result(job, picture, format_, geometry, frames)
    check_result(result, load, plan.encoding, budget)
    scene = Scene(plan, format_, turn, geometry, stored, mark, light)
    if frames > 1:
        return Made(_animation(picture.load(pages=frames), scene, frames), size)
    raster, shared = None, job.mezzanine
    if trimmed_image is not None:
        image = trimmed_image
    elif (
        shared is not None
        and plan.shrink_on_load
        and mezzanine.serves(picture, shrink := picture.shrink(needed, rules))
        and rendering(result, mezzanine.loading(shared, picture, load), plan.encoding) <= budget.allowed
    ):
        image, raster = mezzanine.pixels(shared, picture, shrink)
    else:
        image = picture.load_at_least(needed, rules)
    return Made(_finished(frame(to_working_space(image, deep=deep), scene), scene), size, raster)


def _shows_at_any_size(options: Options) -> bool:
    """Whether all that is asked for scales with the result: effects and a mark of its natural size count pixels."""
    mark = options[Watermark]
    return not (mark.opacity and not mark.scale) and all(options[kind] == kind() for kind in EFFECTS)


def _looks_for_places(options: Options) -> bool:
    """Whether a crop is put where the picture is interesting, for which it is held in memory."""
    return Anchor.SMART in {options[Crop].anchor, options[Gravity].anchor}


def _result(job: Job, picture: Picture, format_: Format, geometry: Geometry, frames: int) -> Result:
    """What will be encoded, or a little more."""
    options = job.plan.options
    alpha = _needs_alpha(options, picture) and format_.alpha
    grey = picture.plain and picture.bands <= _GREY_BANDS and not (job.watermark or options[Background].color)
    deep = options[PreserveHdr].enabled and format_.deep and picture.sample > 1
    colours = 1 if grey else 3 if picture.plain else 4
    return Result(format_, geometry.canvas, frames, colours + alpha, alpha, 2 if deep else 1, picture.format is SVG)


def _animation(stack: pyvips.Image, scene: Scene, frames: int) -> pyvips.Image:
    """Each frame through the pipeline, then stacked again. No animated format has more than 8 bits."""
    size = scene.stored
    done: list[pyvips.Image] = []
    for n in range(frames):
        # Decoded in order, one frame after another: the source is read once.
        image = stack.crop(0, n * size.height, size.width, size.height).copy_memory()
        image = to_working_space(image, deep=False)
        if n == 0:
            scene = with_smart_places(image, scene)
        done.append(_finished(frame(image, scene), scene))
    # Missing delays: imgproxy's 40 ms.
    delays = [*integers(stack, "delay"), *[40] * frames][:frames]
    image = pyvips.Image.arrayjoin(done, across=1).copy_memory()
    for name, kind, value in (
        ("page-height", _INT, done[0].height),
        ("n-pages", _INT, frames),
        ("loop", _INT, integer(stack, "loop", 0)),
        ("delay", _INTS, delays),
    ):
        image.set_type(kind, name, value)
    return image


def _finished(image: pyvips.Image, scene: Scene) -> pyvips.Image:
    """The frame in its result's colour space, computed and held in memory: the encoder may need it twice."""
    keep = not scene.plan.options[StripColorProfile].enabled and scene.format.profile
    image = to_result_space(image, scene.format, keep_profile=keep).copy_memory()
    for name in _PAGES:
        image.remove(name)
    return image


def _needed_shrink(geometry: Geometry, source: Size) -> float:
    """By how much the source may be shrunk on load; below 1 for a vector that grows."""
    crop = geometry.crop
    width = min(crop.width or source.width, source.width)
    height = min(crop.height or source.height, source.height)
    return min(width / geometry.scaled.width, height / geometry.scaled.height)
