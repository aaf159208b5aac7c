"""Sources drawn in code: every picture a test needs, as bytes, by a function that says what it is.

No photographs, so no licence questions and a small repository; no fonts, so the pixels are the
same on every machine. Mistakes are meant to be visible: four colours, letters and an arrow for
orientation and gravity, a numbered grid for offsets, hidden colours under transparent pixels.
Every function is cached: treat what it returns as a constant.
"""

from __future__ import annotations

import colorsys
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pyvips

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Colour = tuple[int, int, int]

NORTH_WEST: Colour = (214, 69, 65)
NORTH_EAST: Colour = (63, 160, 90)
SOUTH_WEST: Colour = (52, 103, 201)
SOUTH_EAST: Colour = (235, 200, 70)
WHITE: Colour = (255, 255, 255)
INK: Colour = (20, 20, 20)

# Seven rows of five bits. Only what the charts write.
GLYPHS = {
    "0": (0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110),
    "1": (0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110),
    "2": (0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111),
    "3": (0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110),
    "4": (0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010),
    "5": (0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110),
    "6": (0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110),
    "7": (0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000),
    "8": (0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110),
    "9": (0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100),
    ",": (0b00000, 0b00000, 0b00000, 0b00000, 0b00110, 0b00100, 0b01000),
    "N": (0b10001, 0b11001, 0b10101, 0b10011, 0b10001, 0b10001, 0b10001),
    "S": (0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110),
    "E": (0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111),
    "W": (0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b10101, 0b01010),
    "↑": (0b00100, 0b01110, 0b10101, 0b00100, 0b00100, 0b00100, 0b00100),
}
GLYPH_WIDTH, GLYPH_HEIGHT, ADVANCE = 5, 7, 6


class Canvas:
    """A picture of 8-bit RGB that can be drawn on; whatever falls outside is not drawn."""

    def __init__(self, width: int, height: int, pixels: bytes | Colour) -> None:
        self.width = width
        self.height = height
        self._pixels = bytearray(pixels if isinstance(pixels, bytes) else bytes(pixels) * (width * height))

    def fill(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        left, right = max(left, 0), min(left + width, self.width)
        if left >= right:
            return
        run = bytes(colour) * (right - left)
        for y in range(max(top, 0), min(top + height, self.height)):
            start = 3 * (y * self.width + left)
            self._pixels[start : start + len(run)] = run

    def write(self, left: int, top: int, text: str, scale: int, colour: Colour) -> None:
        """Write text with its upper left corner at a place; a letter is 5 x 7 times the scale."""
        for place, letter in enumerate(text):
            for row, bits in enumerate(GLYPHS[letter]):
                for column in range(GLYPH_WIDTH):
                    if bits >> (GLYPH_WIDTH - 1 - column) & 1:
                        x = left + (place * ADVANCE + column) * scale
                        self.fill(x, top + row * scale, scale, scale, colour)

    def centre(self, x: int, y: int, text: str, scale: int, colour: Colour) -> None:
        left = x - (len(text) * ADVANCE - 1) * scale // 2
        self.write(left, y - GLYPH_HEIGHT * scale // 2, text, scale, colour)

    @property
    def image(self) -> pyvips.Image:
        pixels = bytes(self._pixels)
        image = pyvips.Image.new_from_memory(pixels, self.width, self.height, 3, "uchar")
        return image.copy(interpretation="srgb")


@cache
def quadrants(width: int = 600, height: int = 400, suffix: str = ".png", **save: Any) -> bytes:
    """Four coloured quadrants named after their corners, with arrows pointing up, on a grid.

    A thin line every 10 px and a bright one every 100 px, starting at 0; each crossing of bright
    lines says where it is ("200,100"), so that an offset can be read off a result to the pixel.
    """
    return _encoded(_quadrants(width, height), suffix, **save)


@cache
def gradient(width: int = 512, height: int = 256, suffix: str = ".png", **save: Any) -> bytes:
    """Red grows to the right, green downwards, blue stays: banding and colour shifts show."""
    return _encoded(_ramps(width, height, 255).cast("uchar"), suffix, **save)


@cache
def alpha_disc(side: int = 300, suffix: str = ".png", **save: Any) -> bytes:
    """An orange disc that fades to full transparency over 40 px, with magenta hidden outside.

    Magenta in a result means that someone resized or blurred without premultiplying.
    """
    place = pyvips.Image.xyz(side, side) - (side - 1) / 2
    radius = (place[0] ** 2 + place[1] ** 2) ** 0.5
    alpha = ((side / 2 - 10 - radius) * (255 / 40)).cast("uchar")  # a cast clips to 0..255
    colour = (alpha > 0).ifthenelse([240, 140, 20], [255, 0, 255])
    image = colour.cast("uchar").bandjoin(alpha).copy(interpretation="srgb")
    return _encoded(image, suffix, **save)


@cache
def oriented(n: int, fmt: str = ".jpg") -> bytes:
    """The 300 x 200 quadrants, stored so that EXIF orientation ``n`` (1 to 8) puts them upright."""
    upright = _quadrants(300, 200)
    stored = {
        1: upright,
        2: upright.fliphor(),
        3: upright.rot180(),
        4: upright.flipver(),
        5: upright.rot90().fliphor(),
        6: upright.rot270(),
        7: upright.rot90().flipver(),
        8: upright.rot90(),
    }[n].copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", n)
    return _encoded(stored, fmt, **_faithful(fmt))


@cache
def counter(frames: int = 5, suffix: str = ".gif", delay: int = 100, loop: int = 0) -> bytes:
    """An animation of 160 x 120: every frame has its own colour and its number, from 1.

    ``delay`` is in milliseconds, the same for all frames; ``loop`` 0 is for ever.
    """
    width, height = 160, 120
    pages: list[pyvips.Image] = []
    for frame in range(frames):
        red, green, blue = colorsys.hsv_to_rgb(frame / frames, 0.55, 0.9)
        canvas = Canvas(width, height, (int(red * 255), int(green * 255), int(blue * 255)))
        canvas.centre(width // 2, height // 2, str(frame + 1), 10 if frame < 99 else 7, INK)
        pages.append(canvas.image)
    strip = pyvips.Image.arrayjoin(pages, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", height)
    strip.set_type(pyvips.GValue.array_int_type, "delay", [delay] * frames)
    strip.set_type(pyvips.GValue.gint_type, "loop", loop)
    return _encoded(strip, suffix, **_faithful(suffix))


@cache
def deep(bands: int = 3, width: int = 512, height: int = 128) -> bytes:
    """A 16-bit PNG: ``bands`` 3 is the gradient in RGB, 1 a grey ramp from left to right."""
    ramps = _ramps(width, height, 65535).cast("ushort")
    if bands == 1:
        return _encoded(ramps[0].copy(interpretation="grey16"), ".png")
    return _encoded(ramps.copy(interpretation="rgb16"), ".png")


@cache
def cmyk(width: int = 300, height: int = 200) -> bytes:
    """The quadrants as a CMYK JPEG with a CMYK profile (libvips' own; it takes 960 kB)."""
    inks = _quadrants(width, height).icc_transform("cmyk", input_profile="srgb")
    return _encoded(inks, ".jpg", Q=95)


@cache
def p3(suffix: str = ".jpg") -> bytes:
    """Fields of 150 x 100 in the primaries of Display P3 and yellow: beyond what sRGB can show."""
    canvas = Canvas(300, 200, (255, 0, 0))
    canvas.fill(150, 0, 150, 100, (0, 255, 0))
    canvas.fill(0, 100, 150, 100, (0, 0, 255))
    canvas.fill(150, 100, 150, 100, (255, 255, 0))
    image = canvas.image.copy()
    # The stubs of pyvips 3.2 forget that a blob is made of bytes.
    profile: Any = pyvips.Image.profile_load("p3")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return _encoded(image, suffix, **_faithful(suffix))


@cache
def wide(width: int = 300, height: int = 200) -> bytes:
    """The quadrants with their numbers meant in Display P3: all within sRGB, where they are other numbers."""
    image = _quadrants(width, height).copy()
    profile: Any = pyvips.Image.profile_load("p3")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return _encoded(image, ".png")


@cache
def mark() -> bytes:
    """A watermark of 120 x 48: a half transparent plate with opaque letters, magenta hidden outside a border of 4."""
    canvas = Canvas(112, 40, INK)
    canvas.centre(56, 20, "↑NE", 4, WHITE)
    alpha = (canvas.image[0] > 128).ifthenelse(255, 128).cast("uchar")
    plate = canvas.image.embed(4, 4, 120, 48, extend="background", background=[255, 0, 255])
    return _encoded(plate.bandjoin(alpha.embed(4, 4, 120, 48)).copy(interpretation="srgb"), ".png")


@cache
def grey(width: int = 300, height: int = 200, suffix: str = ".png", **save: Any) -> bytes:
    """The quadrants in one band of 8 bits."""
    return _encoded(_quadrants(width, height).colourspace("b-w"), suffix, **save)


@cache
def palette(width: int = 300, height: int = 200) -> bytes:
    """The quadrants as a PNG of indexed colours; no more than 16, so that nothing is lost."""
    return _encoded(_quadrants(width, height), ".png", palette=True, colours=16, dither=0)


@cache
def svg(width: int = 300, height: int = 200) -> bytes:
    """The four quadrants and an arrow pointing up, as a drawing without text."""
    x, y = width / 2, height / 2
    fields = "".join(
        f'<rect x="{left:g}" y="{top:g}" width="{x:g}" height="{y:g}" fill="rgb{colour}"/>'
        for left, top, colour in (
            (0, 0, NORTH_WEST),
            (x, 0, NORTH_EAST),
            (0, y, SOUTH_WEST),
            (x, y, SOUTH_EAST),
        )
    )
    tip = f"M{x:g} {y / 2:g} L{x * 1.3:g} {y:g} H{x * 0.7:g} Z"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{fields}<path d="{tip}" fill="#fff"/></svg>'
    ).encode()


@cache
def framed(
    left: int = 20,
    top: int = 30,
    right: int = 40,
    bottom: int = 50,
    colour: Colour = WHITE,
    suffix: str = ".png",
) -> bytes:
    """A picture of 200 x 120 within a border of one colour, of a different width on each side."""
    canvas = Canvas(200, 120, NORTH_WEST)
    canvas.fill(8, 8, 184, 104, SOUTH_WEST)
    canvas.centre(100, 60, "↑NE", 6, SOUTH_EAST)
    size = (left + 200 + right, top + 120 + bottom)
    image = canvas.image.embed(left, top, *size, extend="background", background=list(colour))
    return _encoded(image, suffix, **_faithful(suffix))


@cache
def tiny(n: int = 1, suffix: str = ".png") -> bytes:
    """A square of ``n`` pixels a side, no two neighbours alike."""
    x, y = range(n), range(n)
    colours = (NORTH_WEST, NORTH_EAST, SOUTH_WEST, SOUTH_EAST)
    pixels = b"".join(bytes(colours[column % 2 + 2 * (row % 2)]) for row in y for column in x)
    return _encoded(Canvas(n, n, pixels).image, suffix, **_faithful(suffix))


SOURCES: Mapping[str, Callable[[], bytes]] = {
    "quadrants.png": quadrants,
    "quadrants.jpg": partial(quadrants, suffix=".jpg", Q=90),
    "quadrants.webp": partial(quadrants, suffix=".webp", lossless=True),
    "gradient.png": gradient,
    "gradient.jpg": partial(gradient, suffix=".jpg", Q=90),
    "alpha.png": alpha_disc,
    "alpha.webp": partial(alpha_disc, suffix=".webp", lossless=True),
    **{f"orientation-{n}.jpg": partial(oriented, n) for n in range(1, 9)},
    "counter.gif": counter,
    "counter.webp": partial(counter, suffix=".webp"),
    "deep.png": deep,
    "deep-grey.png": partial(deep, 1),
    "cmyk.jpg": cmyk,
    "p3.jpg": p3,
    "p3.png": partial(p3, ".png"),
    "wide.png": wide,
    "mark.png": mark,
    "grey.png": grey,
    "grey.jpg": partial(grey, suffix=".jpg", Q=90),
    "palette.png": palette,
    "drawing.svg": svg,
    "framed.png": framed,
    "tiny-1.png": tiny,
    "tiny-3.png": partial(tiny, 3),
}
"""Every kind of source by a file name, for tests that go through all and for origins to serve."""


def _quadrants(width: int, height: int) -> pyvips.Image:
    middle = (width // 2, height // 2)
    rows = {
        (south, step): _row(width, middle[0], south=south, step=step)
        for south in (False, True)
        for step in (1, 10, 100)
    }
    pixels = b"".join(rows[y >= middle[1], _step(y)] for y in range(height))
    canvas = Canvas(width, height, pixels)
    scale = min(middle[0] // 24, middle[1] // 12)
    for x, y, text in (
        (middle[0] // 2, middle[1] // 2, "↑NW"),
        ((width + middle[0]) // 2, middle[1] // 2, "↑NE"),
        (middle[0] // 2, (height + middle[1]) // 2, "↑SW"),
        ((width + middle[0]) // 2, (height + middle[1]) // 2, "↑SE"),
    ):
        canvas.centre(x, y, text, min(scale, 12), INK)
    for y in range(0, height, 100):
        for x in range(0, width, 100):
            place = f"{x},{y}"
            canvas.fill(x + 1, y + 1, len(place) * ADVANCE + 1, GLYPH_HEIGHT + 2, INK)
            canvas.write(x + 2, y + 2, place, 1, WHITE)
    return canvas.image


def _step(place: int) -> int:
    """The coarsest grid that has a line at a place."""
    return 100 if place % 100 == 0 else 10 if place % 10 == 0 else 1


def _row(width: int, middle: int, *, south: bool, step: int) -> bytes:
    """One row of the quadrants; ``step`` is the grid that has a line on this row."""
    west, east = (SOUTH_WEST, SOUTH_EAST) if south else (NORTH_WEST, NORTH_EAST)
    row = bytearray()
    for x in range(width):
        colour = west if x < middle else east
        line = max(step, _step(x))
        if line == 10:
            colour = tuple(part * 4 // 5 for part in colour)
        elif line == 100:
            colour = tuple((part + 255) // 2 for part in colour)
        row += bytes(colour)
    return bytes(row)


def _ramps(width: int, height: int, top: int) -> pyvips.Image:
    place = pyvips.Image.xyz(width, height)
    red = place[0] * (top / (width - 1))
    green = place[1] * (top / (height - 1))
    blue = pyvips.Image.black(width, height) + top // 2
    return red.bandjoin([green, blue]).rint().copy(interpretation="srgb")


def _faithful(suffix: str) -> dict[str, Any]:
    """Saver options that lose as little as the format can."""
    return {
        ".webp": {"lossless": True},
        ".jpg": {"Q": 95, "subsample_mode": "off"},
        ".gif": {"dither": 0},
    }.get(suffix, {})


def _encoded(image: pyvips.Image, suffix: str, **save: Any) -> bytes:
    return image.write_to_buffer(suffix, **save)
