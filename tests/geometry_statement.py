"""What the URL language says about sizes, restated naively from its text alone (spec §1.8).

Written before `imgproxy.geometry` was read, and sharing nothing with it: one long sequence of
steps in the order of the text, decimal rounding instead of float tricks, and turning done by
moving pixels instead of by a table. `test_geometry.py` compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal


def away(number: float) -> int:
    """The nearest integer, halves away from zero: sizes."""
    return int(Decimal(number).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def even(number: float) -> int:
    """The nearest integer, halves to the even one: offsets and padding."""
    return int(Decimal(number).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def smaller(one: int, other: int) -> int:
    """The smaller of two sizes, where 0 means "not given"."""
    return min(one, other) if one and other else one or other


# Which way each anchor points: x to the east, y to the south.
COMPASS = {
    "ce": (0, 0), "no": (0, -1), "so": (0, 1), "ea": (1, 0), "we": (-1, 0),
    "noea": (1, -1), "nowe": (-1, -1), "soea": (1, 1), "sowe": (-1, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """One question: a stored image and everything in a URL that decides sizes."""

    stored: tuple[int, int]
    exif: int = 1
    rotate: int = 0
    flip: tuple[bool, bool] = (False, False)
    vector: bool = False
    fit: str = "fit"
    width: int = 0
    height: int = 0
    min_width: int = 0
    min_height: int = 0
    zoom: tuple[float, float] = (1.0, 1.0)
    dpr: float = 1.0
    enlarge: bool = False
    extend: bool = False
    extend_ratio: bool = False
    crop: tuple[float, float] = (0.0, 0.0)
    gravity: tuple[str, float, float] = ("ce", 0.0, 0.0)  # of the crop
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, right, bottom, left
    max_side: int = 0


@dataclass(frozen=True)
class Stated:
    """The answer: every size on the way, in the final orientation but for `box`."""

    source: tuple[int, int]
    crop: tuple[int, int]
    scaled: tuple[int, int]
    target: tuple[int, int]
    result_crop: tuple[int, int]
    canvas: tuple[int, int]
    dpr: float
    box: tuple[int, int, int, int] | None  # left, top, width, height in the stored image


def turn(  # noqa: C901 - one line of the standard, one branch
    x: int, y: int, width: int, height: int, exif: int, rotate: int, flip: tuple[bool, bool]
) -> tuple[int, int]:
    """Where the stored pixel (x, y) of a stored image of `width` by `height` pixels is finally seen."""
    # EXIF 2.3, tag 0x0112: which side the 0th row and the 0th column are on.
    if exif == 2:
        x = width - 1 - x
    if exif == 3:
        x, y = width - 1 - x, height - 1 - y
    if exif == 4:
        y = height - 1 - y
    if exif == 5:
        x, y = y, x
    if exif == 6:
        x, y = height - 1 - y, x
    if exif == 7:
        x, y = height - 1 - y, width - 1 - x
    if exif == 8:
        x, y = y, width - 1 - x
    if exif >= 5:
        width, height = height, width
    for _ in range(rotate // 90 % 4):  # a quarter turn clockwise: the top row becomes the right column
        x, y = height - 1 - y, x
        width, height = height, width
    if flip[0]:
        x = width - 1 - x
    if flip[1]:
        y = height - 1 - y
    return x, y


def quarter(exif: int, rotate: int) -> bool:
    """Whether width and height change places."""
    return (exif >= 5) != (rotate % 180 == 90)


def seen(stored: tuple[int, int], exif: int, rotate: int) -> tuple[int, int]:
    """The size of the image as it is finally seen."""
    return (stored[1], stored[0]) if quarter(exif, rotate) else stored


def seen_box(box: tuple[int, int, int, int], asked: Asked) -> tuple[int, int, int, int]:
    """Where a box of the stored image is finally seen: its corner pixels, moved."""
    left, top, width, height = box
    one = turn(left, top, *asked.stored, asked.exif, asked.rotate, asked.flip)
    other = turn(left + width - 1, top + height - 1, *asked.stored, asked.exif, asked.rotate, asked.flip)
    x, y = min(one[0], other[0]), min(one[1], other[1])
    return x, y, max(one[0], other[0]) - x + 1, max(one[1], other[1]) - y + 1


def stored_vector(vector: tuple[float, float], asked: Asked) -> tuple[float, float]:
    """A direction of the final image as a direction in the stored one."""
    origin = turn(0, 0, *asked.stored, asked.exif, asked.rotate, asked.flip)
    found = []
    for step in ((1, 0), (0, 1)):  # where one pixel to the right, and one down, lead in the final image
        end = turn(*step, *asked.stored, asked.exif, asked.rotate, asked.flip)
        found.append((end[0] - origin[0]) * vector[0] + (end[1] - origin[1]) * vector[1])
    return found[0], found[1]


def position(outer: int, inner: int, direction: int, shift: int) -> int:
    """Where the inner length starts within the outer; a positive shift goes right or down."""
    if direction < 0:
        start = shift
    elif direction > 0:
        start = outer - inner + shift
    else:
        start = even((outer - inner + 1) / 2) + shift
    return max(0, min(start, outer - inner))


def stored_box(crop: tuple[int, int], asked: Asked) -> tuple[int, int, int, int] | None:
    """The crop box in the stored image, from what the gravity means in the final one; None where content decides."""
    width, height = asked.stored
    final = seen(asked.stored, asked.exif, asked.rotate)
    wanted = min(crop[0] or final[0], final[0]), min(crop[1] or final[1], final[1])
    if quarter(asked.exif, asked.rotate):
        wanted = wanted[1], wanted[0]
    if wanted == (width, height):
        return 0, 0, width, height
    name, x, y = asked.gravity
    if name == "sm":
        return None
    if name == "fp":
        # The point relative to the middle turns as a direction does.
        dx, dy = stored_vector((x - 0.5, y - 0.5), asked)
        left, top = even(width * (dx + 0.5)) - wanted[0] // 2, even(height * (dy + 0.5)) - wanted[1] // 2
        left, top = max(0, min(left, width - wanted[0])), max(0, min(top, height - wanted[1]))
        return left, top, *wanted
    direction = COMPASS[name]
    # "For east/south types offsets push inwards": from here on plain movement to the right and down.
    moved = (-x if direction[0] > 0 else x), (-y if direction[1] > 0 else y)
    direction, moved = stored_vector(direction, asked), stored_vector(moved, asked)
    shifts = [even(m if abs(m) >= 1 else side * m) for m, side in zip(moved, (width, height), strict=True)]
    left = position(width, wanted[0], int(direction[0]), shifts[0])
    top = position(height, wanted[1], int(direction[1]), shifts[1])
    return left, top, *wanted


def state(asked: Asked) -> Stated:  # noqa: C901 - the text is one sequence, and so is this
    """Every size of the answer, step by step."""
    source = seen(asked.stored, asked.exif, asked.rotate)

    # The text: "cropW = 0 -> none; >=1 -> int; <1 -> max(1, round(src*v)). Box to scale = min-non-zero(crop, src)."
    crop = [0, 0]
    for axis in (0, 1):
        value = asked.crop[axis]
        if value >= 1:
            crop[axis] = int(value)
        elif value > 0:
            crop[axis] = max(1, away(source[axis] * value))
    box = smaller(crop[0], source[0]), smaller(crop[1], source[1])

    # The text: "wshrink = srcW/dstW, hshrink = srcH/dstH with a missing dst treated as src (shrink 1)."
    wanted = asked.width or box[0], asked.height or box[1]
    wshrink, hshrink = box[0] / wanted[0], box[1] / wanted[1]
    fit = asked.fit
    if fit == "auto":
        fit = "fill" if (box[0] >= box[1]) == (wanted[0] >= wanted[1]) else "fit"
    # The text: "Missing width copies hshrink and vice versa (not for force)."
    if fit != "force":
        if not asked.width:
            wshrink = hshrink
        elif not asked.height:
            hshrink = wshrink
        elif fit == "fit":
            wshrink = hshrink = max(wshrink, hshrink)
        else:
            wshrink = hshrink = min(wshrink, hshrink)
    wshrink, hshrink = wshrink / asked.zoom[0], hshrink / asked.zoom[1]

    # The enlarge rule.
    dpr = asked.dpr
    if not asked.enlarge and not asked.vector:
        least = min(wshrink, hshrink)
        if least < 1:
            wshrink, hshrink = wshrink / least, hshrink / least
            if not asked.extend:
                dpr = dpr / least
        dpr = min(dpr, wshrink, hshrink)

    # The text: "Then min-width: if srcW/minW < wshrink, scale both up to it; same for min-height."
    if asked.min_width and box[0] / asked.min_width < wshrink:
        hshrink = hshrink / (wshrink / (box[0] / asked.min_width))
        wshrink = box[0] / asked.min_width
    if asked.min_height and box[1] / asked.min_height < hshrink:
        wshrink = wshrink / (hshrink / (box[1] / asked.min_height))
        hshrink = box[1] / asked.min_height

    # "Then both are divided by dprScale; never below 1 px."
    wscale = 1 / min(wshrink / dpr, box[0])
    hscale = 1 / min(hshrink / dpr, box[1])

    def sizes() -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Scaled, target, result crop and canvas for the scales as they now are."""
        scaled = away(box[0] * wscale), away(box[1] * hscale)
        target = asked.width * (dpr * asked.zoom[0]), asked.height * (dpr * asked.zoom[1])
        # "min 1 px": what is asked for never becomes 0, which would mean that nothing is asked for.
        target = away(target[0]) or int(asked.width > 0), away(target[1]) or int(asked.height > 0)
        result = target
        if asked.fit == "fill-down" and not asked.enlarge:
            over = target[0] / scaled[0], target[1] / scaled[1]
            if over[0] > over[1] and over[0] > 1:
                result = scaled[0], max(1, away(scaled[0] * (target[1] / target[0])))
            elif over[1] > over[0] and over[1] > 1:
                result = max(1, away(scaled[1] * (target[0] / target[1]))), scaled[1]
        out = smaller(scaled[0], result[0]), smaller(scaled[1], result[1])
        canvas = out
        if asked.extend:
            canvas = max(canvas[0], target[0]), max(canvas[1], target[1])
        if asked.extend_ratio and target[0] and target[1]:
            over = target[0] / out[0], target[1] / out[1]
            if over[0] > over[1]:
                canvas = max(canvas[0], away(out[1] * (target[0] / target[1]))), max(canvas[1], out[1])
            elif over[1] > over[0]:
                canvas = max(canvas[0], out[0]), max(canvas[1], away(out[0] * (target[1] / target[0])))
        top, right, bottom, left = (even(side * dpr) for side in asked.padding)
        return scaled, target, result, (canvas[0] + left + right, canvas[1] + top + bottom)

    scaled, target, result, canvas = sizes()
    if asked.max_side and max(canvas) > asked.max_side:
        down = asked.max_side / max(canvas)
        wscale, hscale, dpr = max(wscale * down, 1 / box[0]), max(hscale * down, 1 / box[1]), dpr * down
        scaled, target, result, canvas = sizes()
    return Stated(
        source, (crop[0], crop[1]), scaled, target, result, canvas, dpr, stored_box((crop[0], crop[1]), asked)
    )
