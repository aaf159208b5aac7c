"""What a making will cost: seconds of a render process, guessed before its source is fetched and again when it is here.

No guess needs to be good. Guesses add up to how long the queue is, and tell monsters from thumbnails; what renders
really took corrects them, by result format, for the speed of this machine. Pure, but for what it has learned.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from imgproxy.formats import AVIF, GIF, JPEG, JSON, PNG, SNIFF_BYTES, SVG, TIFF, WEBP, Format, sniff
from imgproxy.options import Crop, Dpr, Resize, Trim, Zoom

if TYPE_CHECKING:
    from imgproxy.model import Encoding, Plan, Report, Source

_MP = 1_000_000

# Seconds a megapixel, measured on one core: decoding as it is needed for a shrink to 512 px, and encoding.
_DECODING = {JPEG: 0.006, PNG: 0.02, WEBP: 0.015, GIF: 0.02, TIFF: 0.01, AVIF: 0.03, SVG: 0.1}
_ENCODING = {JPEG: 0.014, PNG: 0.1, GIF: 0.15, TIFF: 0.02, SVG: 0.0, JSON: 0.0}
_WEBP_BY_EFFORT = (0.04, 0.05, 0.063, 0.09, 0.13, 0.19, 0.25)
_AVIF_BY_SPEED = (20.0, 14.0, 10.0, 8.0, 6.0, 4.2, 2.5, 1.0, 0.31, 0.1)
_RESIZING = 0.02
"""Everything between decoder and encoder, by megapixel of the result."""
_PIXELS_A_BYTE = {JPEG: 4.0, PNG: 0.7, WEBP: 7.0, GIF: 2.0, TIFF: 0.3, AVIF: 12.0}
"""Of pictures as people make them; the worker judges the others by their header."""

_UNKNOWN_PIXELS = 4 * _MP
_HEAVY_S = 0.5
"""From here on a making is a monster: ten times what usual ones take."""
_MOST_KNOWN = 20_000
_TELLING_S = 0.01
"""What takes less says nothing of a machine's speed: most of it is not pixels."""
_WEIGHT = 0.05
_FASTEST, _SLOWEST = 0.1, 10.0


class Lane(Enum):
    """Makings of a kind that wait for each other, and not for those of the other kinds."""

    LIGHT = "light"
    HEAVY = "heavy"
    VECTOR = "vector"


@dataclass(frozen=True, slots=True)
class Work:
    """What a making is expected to take: seconds of a render process, and where it queues."""

    seconds: float
    lane: Lane = Lane.LIGHT


@dataclass(frozen=True, slots=True)
class _Known:
    format: Format | None
    pixels: float


class Costs:
    """Guesses, and what has become of earlier ones."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._pace: dict[Format, float] = {}

    def expected(self, plan: Plan) -> Work:
        """The cost of a plan whose source is not here yet, by what renders of the same source were like."""
        return self._work(plan, self._known.get(plan.source.url) or _Known(_by_name(plan.source.url), _UNKNOWN_PIXELS))

    def weighed(self, plan: Plan, source: Source) -> Work:
        """The cost of a plan whose source is here: its kind and its size in bytes are known."""
        return self._work(plan, self._seen(plan, source))

    def pixels(self, plan: Plan, source: Source) -> float:
        """How many pixels a source has that is here, as far as its kind and its size in bytes tell."""
        return self._seen(plan, source).pixels

    def _seen(self, plan: Plan, source: Source) -> _Known:
        format_ = sniff(os.pread(source.fd, SNIFF_BYTES, 0))
        known = self._known.get(plan.source.url)
        pixels = known.pixels if known is not None else source.size * _PIXELS_A_BYTE.get(format_ or JPEG, 1.0)
        if plan.limits.source_pixels:
            pixels = min(pixels, plan.limits.source_pixels)
        return _Known(format_, pixels)

    def learn(self, plan: Plan, source: Source, report: Report) -> None:
        """Remember the size of a source that was rendered, and how far off the guess was."""
        rendition = report.rendition
        known = _Known(
            sniff(os.pread(source.fd, SNIFF_BYTES, 0)),
            rendition.source_width * rendition.source_height * rendition.frames,
        )
        self._known.pop(plan.source.url, None)
        self._known[plan.source.url] = known
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        result = rendition.width * rendition.height * rendition.frames
        guess = _seconds(plan.encoding, known, rendition.format, result)
        if guess < _TELLING_S:
            return
        # As the clock on the wall sees it: what else the machine does makes the queue longer, too.
        pace = min(_SLOWEST, max(_FASTEST, (report.load_s + report.encode_s) / guess))
        before = self._pace.get(rendition.format, pace)
        self._pace[rendition.format] = before + _WEIGHT * (pace - before)

    def _work(self, plan: Plan, known: _Known) -> Work:
        format_ = _result_format(plan, known)
        frames = plan.limits.frames if format_.animated_out and known.format in {GIF, WEBP, None} else 1
        result = min(_result_pixels(plan, known.pixels / frames) * frames, 1 << 28)
        seconds = _seconds(plan.encoding, known, format_, result) * self._pace.get(format_, 1.0)
        if known.format is SVG:
            return Work(seconds, Lane.VECTOR)
        return Work(seconds, Lane.HEAVY if seconds >= _HEAVY_S else Lane.LIGHT)


def _seconds(encoding: Encoding, source: _Known, result: Format, result_pixels: float) -> float:
    if result is WEBP:
        encode = _WEBP_BY_EFFORT[encoding.webp_effort]
    elif result is AVIF:
        encode = _AVIF_BY_SPEED[encoding.avif_speed]
    else:
        encode = _ENCODING.get(result, 0.1)
    decode = _DECODING.get(source.format or JPEG, 0.02)
    return 0.002 + (source.pixels * decode + result_pixels * (_RESIZING + encode)) / _MP


def _result_format(plan: Plan, known: _Known) -> Format:
    animated = plan.limits.frames > 1 and known.format in {GIF, WEBP}
    return plan.formats.choose(known.format or JPEG, animated=animated, alpha=False)


def _result_pixels(plan: Plan, source_pixels: float) -> float:
    """Pixels of one frame of the result, as far as the plan says."""
    options = plan.options
    source_pixels = _cropped(options[Crop], source_pixels)
    resize, zoom, dpr = options[Resize], options[Zoom], options[Dpr].ratio
    width, height = resize.width * dpr * zoom.x, resize.height * dpr * zoom.y
    if not width and not height:
        asked = source_pixels
    elif width and height:
        asked = width * height
    else:
        asked = (width or height) ** 2 * (0.75 if width else 1.33)
    if resize.enlarge or options[Trim].threshold is not None:
        return asked
    return min(asked, source_pixels)


def _cropped(crop: Crop, pixels: float) -> float:
    """How many of a source's pixels a crop leaves; below 1 its sides are parts of the source's."""
    if crop.width >= 1 and crop.height >= 1:
        return min(pixels, crop.width * crop.height)
    return pixels * (crop.width if 0 < crop.width < 1 else 1) * (crop.height if 0 < crop.height < 1 else 1)


def _by_name(url: str) -> Format | None:
    return SVG if url.partition("?")[0].lower().endswith(".svg") else None
