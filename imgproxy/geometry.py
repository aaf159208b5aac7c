"""Source size and wishes → crop box, scale, canvas: imgproxy's arithmetic, pure.

The rules are those of imgproxy 4 (``prepare.go``, ``calc_position.go``), rounding included.

Two coordinate systems: *stored* (the pixels as they lie in the file) and *final* (after EXIF orientation and
the options ``rotate`` and ``flip``). ``solve`` works in the final one; ``Turn`` maps gravities back to the stored one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum


class Fit(StrEnum):
    """How the source is fitted into the box (option ``resizing_type``)."""

    FIT = "fit"
    FILL = "fill"
    FILL_DOWN = "fill-down"
    FORCE = "force"
    AUTO = "auto"


class Anchor(StrEnum):
    """What a crop or a placement holds on to (the type of a gravity)."""

    CENTER = "ce"
    NORTH = "no"
    SOUTH = "so"
    EAST = "ea"
    WEST = "we"
    NORTH_EAST = "noea"
    NORTH_WEST = "nowe"
    SOUTH_EAST = "soea"
    SOUTH_WEST = "sowe"
    SMART = "sm"
    FOCUS = "fp"
    REPLICATE = "re"


_NORTHERN = {Anchor.NORTH, Anchor.NORTH_EAST, Anchor.NORTH_WEST}
_SOUTHERN = {Anchor.SOUTH, Anchor.SOUTH_EAST, Anchor.SOUTH_WEST}
_EASTERN = {Anchor.EAST, Anchor.NORTH_EAST, Anchor.SOUTH_EAST}
_WESTERN = {Anchor.WEST, Anchor.NORTH_WEST, Anchor.SOUTH_WEST}


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels; 0 means "not given" where a size is a wish."""

    width: int
    height: int

    @property
    def swapped(self) -> Size:
        return Size(self.height, self.width)

    def within(self, other: Size) -> Size:
        """The size with no side longer than the other's."""
        return Size(min(self.width, other.width), min(self.height, other.height))


@dataclass(frozen=True, slots=True)
class Sides:
    """Padding in CSS order, pixels."""

    top: int = 0
    right: int = 0
    bottom: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class Gravity:
    """An anchor and its offsets: at least 1 in absolute value means pixels, below that a share of the image."""

    anchor: Anchor = Anchor.CENTER
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """How stored pixels become upright and then as asked: EXIF angle, EXIF mirror, asked angle, asked mirrors.

    Angles are clockwise degrees: 0, 90, 180 or 270. Mirrors follow their rotation.
    """

    exif_angle: int = 0
    exif_flip: bool = False
    angle: int = 0
    flip_horizontal: bool = False
    flip_vertical: bool = False

    @classmethod
    def exif(cls, orientation: int) -> Turn:
        """The turn that makes an image of this EXIF orientation (1-8; anything else counts as 1) upright."""
        angle = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}.get(orientation, 0)
        return cls(angle, orientation in {2, 4, 5, 7})

    @property
    def swaps(self) -> bool:
        """Whether width and height change places."""
        return (self.exif_angle + self.angle) % 180 == 90

    @property
    def nothing(self) -> bool:
        return self == Turn()

    def final(self, stored: Size) -> Size:
        return stored.swapped if self.swaps else stored

    def stored(self, gravity: Gravity) -> Gravity:
        """A gravity of the final image, as the stored image sees it: each step undone, last first."""
        if self.flip_vertical:
            # Upside down = turned by 180° and mirrored.
            gravity = _rotate_back(_mirror(gravity), 180)
        if self.flip_horizontal:
            gravity = _mirror(gravity)
        gravity = _rotate_back(gravity, self.angle)
        if self.exif_flip:
            gravity = _mirror(gravity)
        return _rotate_back(gravity, self.exif_angle)


_MIRRORED = {
    Anchor.EAST: Anchor.WEST,
    Anchor.WEST: Anchor.EAST,
    Anchor.NORTH_EAST: Anchor.NORTH_WEST,
    Anchor.NORTH_WEST: Anchor.NORTH_EAST,
    Anchor.SOUTH_EAST: Anchor.SOUTH_WEST,
    Anchor.SOUTH_WEST: Anchor.SOUTH_EAST,
}
# A quarter turn clockwise brings the left edge to the top: what is north in the turned image was west before.
_BEFORE_QUARTER = {
    Anchor.NORTH: Anchor.WEST,
    Anchor.EAST: Anchor.NORTH,
    Anchor.SOUTH: Anchor.EAST,
    Anchor.WEST: Anchor.SOUTH,
    Anchor.NORTH_WEST: Anchor.SOUTH_WEST,
    Anchor.NORTH_EAST: Anchor.NORTH_WEST,
    Anchor.SOUTH_WEST: Anchor.SOUTH_EAST,
    Anchor.SOUTH_EAST: Anchor.NORTH_EAST,
}


def _mirror(gravity: Gravity) -> Gravity:
    """The gravity in an image mirrored left to right. Offsets from a side push inwards, so they survive."""
    anchor = _MIRRORED.get(gravity.anchor, gravity.anchor)
    if anchor in {Anchor.CENTER, Anchor.NORTH, Anchor.SOUTH}:
        return Gravity(anchor, -gravity.x, gravity.y)
    if anchor is Anchor.FOCUS:
        return Gravity(anchor, 1.0 - gravity.x, gravity.y)
    return replace(gravity, anchor=anchor)


def _rotate_back(gravity: Gravity, angle: int) -> Gravity:
    """The gravity as it was before a clockwise rotation by ``angle``."""
    anchor, x, y = gravity.anchor, gravity.x, gravity.y
    for _ in range(angle // 90):
        anchor = _BEFORE_QUARTER.get(anchor, anchor)
    # Offsets along a side turn with it and change sign; offsets away from a side stay "inwards".
    match angle:
        case 90:
            if anchor in {Anchor.CENTER, Anchor.EAST, Anchor.WEST}:
                return Gravity(anchor, y, -x)
            return Gravity(anchor, y, 1.0 - x if anchor is Anchor.FOCUS else x)
        case 180:
            if anchor is Anchor.FOCUS:
                return Gravity(anchor, 1.0 - x, 1.0 - y)
            along_x = anchor in {Anchor.CENTER, Anchor.NORTH, Anchor.SOUTH}
            along_y = anchor in {Anchor.CENTER, Anchor.EAST, Anchor.WEST}
            return Gravity(anchor, -x if along_x else x, -y if along_y else y)
        case 270:
            if anchor in {Anchor.CENTER, Anchor.NORTH, Anchor.SOUTH}:
                return Gravity(anchor, -y, x)
            return Gravity(anchor, 1.0 - y if anchor is Anchor.FOCUS else y, x)
        case _:
            return gravity


def round_half_away(number: float) -> int:
    """Round as Go's ``math.Round``: Python's own ``round`` is half-to-even."""
    # Not floor(number + 0.5): that sum is 1.0 for the largest number below one half.
    whole = math.trunc(number)
    return whole + int(math.copysign(1, number)) if abs(number - whole) >= 0.5 else whole


def scale(length: int, factor: float) -> int:
    """``length * factor``, rounded half away from zero."""
    return round_half_away(length * factor)


def scale_to_even(length: float, factor: float) -> int:
    """``length * factor``, rounded half to even: offsets and padding."""
    return round(length * factor)


def min_non_zero(a: int, b: int) -> int:
    """The smaller of two lengths where 0 means "not given"."""
    return min(a, b) if a and b else a or b


@dataclass(frozen=True, slots=True)
class Wish:
    """What a URL asks of size and place; the defaults ask for nothing."""

    fit: Fit = Fit.FIT
    width: int = 0
    height: int = 0
    enlarge: bool = False
    min_width: int = 0
    min_height: int = 0
    zoom_x: float = 1.0
    zoom_y: float = 1.0
    dpr: float = 1.0
    crop_width: float = 0.0
    crop_height: float = 0.0
    """Crop sizes: 0 whole, below 1 a share of the image, else pixels."""
    extend: bool = False
    extend_ratio: bool = False
    padding: Sides = Sides()
    max_side: int = 0
    """Longest allowed side of the result; 0 for any."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Every size of one render, in the final orientation."""

    crop: Size
    """Cut from the source before scaling; 0 on an axis: all of it."""
    scaled: Size
    """What the crop is scaled to."""
    result_crop: Size
    """Cut from the scaled image; 0 on an axis: all of it."""
    extend: Size
    """The canvas of ``extend``; 0 on an axis: not extended there."""
    extend_ratio: Size
    padding: Sides
    dpr: float
    """The dpr that was reached: offsets and paddings use this one, not the one asked for."""

    @property
    def cropped(self) -> Size:
        """The scaled image after the result crop."""
        return Size(
            min_non_zero(self.result_crop.width, self.scaled.width),
            min_non_zero(self.result_crop.height, self.scaled.height),
        ).within(self.scaled)

    @property
    def canvas(self) -> Size:
        """The final size, before the format's own limits."""
        width, height = self.cropped.width, self.cropped.height
        for canvas in (self.extend, self.extend_ratio):
            width, height = max(width, canvas.width), max(height, canvas.height)
        return Size(
            width + self.padding.left + self.padding.right,
            height + self.padding.top + self.padding.bottom,
        )


def solve(source: Size, wish: Wish, *, vector: bool = False) -> Geometry:
    """All sizes for a source of this size (in the final orientation)."""
    crop = Size(_crop_length(source.width, wish.crop_width), _crop_length(source.height, wish.crop_height))
    box = Size(min_non_zero(crop.width, source.width), min_non_zero(crop.height, source.height))
    x, y, dpr = _scales(box, wish, vector=vector)
    geometry = _sizes(box, crop, x, y, dpr, wish)

    largest = max(geometry.canvas.width, geometry.canvas.height)
    if wish.max_side and largest > wish.max_side:
        down = wish.max_side / largest
        # Never below one pixel.
        x, y = max(x * down, 1.0 / box.width), max(y * down, 1.0 / box.height)
        geometry = _sizes(box, crop, x, y, dpr * down, wish)
    return geometry


def reduced(geometry: Geometry, longest: int) -> Geometry:
    """The same composition with at most about ``longest`` pixels a side; the one that is given if it has no more."""
    factor = longest / max(geometry.canvas.width, geometry.canvas.height)
    if factor >= 1:
        return geometry
    sides = geometry.padding
    return replace(
        geometry,
        scaled=_less(geometry.scaled, factor),
        result_crop=_less(geometry.result_crop, factor),
        extend=_less(geometry.extend, factor),
        extend_ratio=_less(geometry.extend_ratio, factor),
        padding=Sides(*(scale_to_even(side, factor) for side in (sides.top, sides.right, sides.bottom, sides.left))),
        dpr=geometry.dpr * factor,
    )


def _less(size: Size, factor: float) -> Size:
    return Size(_target(size.width, factor), _target(size.height, factor))


def _crop_length(length: int, crop: float) -> int:
    if crop == 0 or crop >= 1:
        return int(crop)
    return max(1, scale(length, crop))


def _scales(box: Size, wish: Wish, *, vector: bool) -> tuple[float, float, float]:
    """Horizontal scale, vertical scale and the dpr that can be reached."""
    x_shrink, y_shrink = _shrinks(box, wish)
    x_shrink /= wish.zoom_x
    y_shrink /= wish.zoom_y
    dpr = wish.dpr

    if not wish.enlarge and not vector:
        smallest = min(x_shrink, y_shrink)
        if smallest < 1:
            # The box cannot be reached: take the largest result without upscaling. What is missing is given to
            # the dpr, unless `extend` is to show the composition as it was meant.
            x_shrink /= smallest
            y_shrink /= smallest
            if not wish.extend:
                dpr /= smallest
        dpr = min(dpr, x_shrink, y_shrink)

    if wish.min_width and box.width / wish.min_width < x_shrink:
        y_shrink /= x_shrink / (box.width / wish.min_width)
        x_shrink = box.width / wish.min_width
    if wish.min_height and box.height / wish.min_height < y_shrink:
        x_shrink /= y_shrink / (box.height / wish.min_height)
        y_shrink = box.height / wish.min_height

    x_shrink = min(x_shrink / dpr, box.width)
    y_shrink = min(y_shrink / dpr, box.height)
    return 1.0 / x_shrink, 1.0 / y_shrink, dpr


def _shrinks(box: Size, wish: Wish) -> tuple[float, float]:
    """How much smaller the box is than the source, per axis, before zoom and dpr."""
    x = box.width / (wish.width or box.width)
    y = box.height / (wish.height or box.height)
    if wish.fit is Fit.FORCE or x == y:
        return x, y
    if not wish.width:
        return y, y
    if not wish.height:
        return x, x
    fit = wish.fit
    if fit is Fit.AUTO:
        same = (box.width >= box.height) == (wish.width >= wish.height)
        fit = Fit.FILL if same else Fit.FIT
    shrink = max(x, y) if fit is Fit.FIT else min(x, y)
    return shrink, shrink


def _sizes(box: Size, crop: Size, x: float, y: float, dpr: float, wish: Wish) -> Geometry:
    target = Size(_target(wish.width, dpr * wish.zoom_x), _target(wish.height, dpr * wish.zoom_y))
    scaled = Size(scale(box.width, x), scale(box.height, y))
    result_crop = target
    if wish.fit is Fit.FILL_DOWN and not wish.enlarge:
        result_crop = _ratio_inside(scaled, target)

    extend_ratio = Size(0, 0)
    if wish.extend_ratio and target.width and target.height:
        extend_ratio = _ratio_around(
            Size(
                min_non_zero(scaled.width, result_crop.width),
                min_non_zero(scaled.height, result_crop.height),
            ),
            target,
        )
    sides = wish.padding
    return Geometry(
        crop=crop,
        scaled=scaled,
        result_crop=result_crop,
        extend=target if wish.extend else Size(0, 0),
        extend_ratio=extend_ratio,
        padding=Sides(
            scale_to_even(sides.top, dpr),
            scale_to_even(sides.right, dpr),
            scale_to_even(sides.bottom, dpr),
            scale_to_even(sides.left, dpr),
        ),
        dpr=dpr,
    )


def _target(length: int, factor: float) -> int:
    """A side of the box, scaled; 0 if it is not given.

    At least 1: imgproxy lets a side round to 0, which then means "not given" and is not cropped at all, so that
    a slice of 3000 x 1 px goes past ``max_result_dimension`` by any length.
    """
    return max(1, scale(length, factor)) if length else 0


def _ratio_inside(scaled: Size, target: Size) -> Size:
    """Where the target exceeds the image: the axis that misses more kept whole, the other cut to the target's ratio."""
    x, y = target.width / scaled.width, target.height / scaled.height
    if x > y and x > 1:
        return Size(scaled.width, _target(scaled.width, target.height / target.width))
    if y > x and y > 1:
        return Size(_target(scaled.height, target.width / target.height), scaled.height)
    return target


def _ratio_around(image: Size, target: Size) -> Size:
    """The smallest canvas of the target's ratio that holds the image."""
    x, y = target.width / image.width, target.height / image.height
    if y > x:
        return Size(image.width, scale(image.width, target.height / target.width))
    if x > y:
        return Size(scale(image.height, target.width / target.height), image.height)
    return image


def place(outer: Size, inner: Size, gravity: Gravity, dpr: float = 1.0, *, overhang: bool = False) -> tuple[int, int]:
    """Left and top of ``inner`` in ``outer``.

    Absolute offsets are multiplied by ``dpr``. Always inside, except with ``overhang`` (watermarks), where one
    pixel on each axis must stay visible.
    """
    if gravity.anchor is Anchor.FOCUS:
        left = scale_to_even(outer.width, gravity.x) - inner.width // 2
        top = scale_to_even(outer.height, gravity.y) - inner.height // 2
    else:
        left, top = _anchored(outer, inner, gravity.anchor, offsets(outer, gravity, dpr))
    low_x, low_y = (1 - inner.width, 1 - inner.height) if overhang else (0, 0)
    high_x = outer.width - 1 if overhang else outer.width - inner.width
    high_y = outer.height - 1 if overhang else outer.height - inner.height
    return max(low_x, min(left, high_x)), max(low_y, min(top, high_y))


def offsets(outer: Size, gravity: Gravity, dpr: float = 1.0) -> tuple[int, int]:
    """The gravity's offsets in pixels of ``outer``."""
    return _offset(outer.width, gravity.x, dpr), _offset(outer.height, gravity.y, dpr)


def _offset(length: int, offset: float, dpr: float) -> int:
    return scale_to_even(offset, dpr) if abs(offset) >= 1 else scale_to_even(length, offset)


def _anchored(outer: Size, inner: Size, anchor: Anchor, offset: tuple[int, int]) -> tuple[int, int]:
    x, y = offset
    # The "+ 1" is imgproxy's: an odd remainder goes to the left and the top, half of the time.
    left = round((outer.width - inner.width + 1) / 2) + x
    top = round((outer.height - inner.height + 1) / 2) + y
    if anchor in _NORTHERN:
        top = y
    elif anchor in _SOUTHERN:
        top = outer.height - inner.height - y
    if anchor in _WESTERN:
        left = x
    elif anchor in _EASTERN:
        left = outer.width - inner.width - x
    return left, top
