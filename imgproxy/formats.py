"""The table of formats: names, media types, magic bytes, abilities and limits; and the choice of the result's format.

Abilities are those of imgproxy's own table (``imagetype/defs.go``); ``readable`` and ``writable`` say what the
libvips here can do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """An image format as the whole server knows it. All abilities default to "no"."""

    name: str
    media_type: str
    extension: str
    names: tuple[str, ...]
    """What a URL may call it."""
    readable: bool = False
    writable: bool = False
    alpha: bool = False
    profile: bool = False
    """An ICC profile can be embedded."""
    quality: int = 0
    """The usual quality (imgproxy's default); 0 where the encoder has no such knob."""
    animated_in: bool = False
    animated_out: bool = False
    thumbnail: bool = False
    """A file may carry a smaller version of itself."""
    deep: bool = False
    """More than 8 bits a channel can be written."""
    vector: bool = False
    max_side: int = 0
    """Longest side that the format can hold, in pixels; 0 where nothing practical limits it."""
    max_pixels: int = 0

    def __reduce__(self) -> tuple[Callable[[str], Format], tuple[str]]:
        # Formats are compared by identity, also in a render process, where they arrive pickled.
        return _named, (self.name,)


# libjpeg stops at 65,500 (JPEG_MAX_DIMENSION), libwebp at 16,383, AV1 in libheif at 16,384; a GIF's sides are 16 bit.
JPEG = Format(
    "jpeg",
    "image/jpeg",
    ".jpg",
    ("jpeg", "jpg"),
    True,
    True,
    profile=True,
    quality=80,
    max_side=65500,
)
JXL = Format(
    "jxl",
    "image/jxl",
    ".jxl",
    ("jxl",),
    alpha=True,
    profile=True,
    quality=77,
    animated_in=True,
    deep=True,
)
PNG = Format("png", "image/png", ".png", ("png",), True, True, alpha=True, profile=True, deep=True)
WEBP = Format(
    "webp",
    "image/webp",
    ".webp",
    ("webp",),
    True,
    True,
    alpha=True,
    profile=True,
    quality=79,
    animated_in=True,
    animated_out=True,
    max_side=16383,
)
GIF = Format(
    "gif",
    "image/gif",
    ".gif",
    ("gif",),
    True,
    True,
    alpha=True,
    animated_in=True,
    animated_out=True,
    max_side=65535,
    max_pixels=(2**31 - 1) // 4,
)
ICO = Format("ico", "image/x-icon", ".ico", ("ico",), alpha=True, max_side=256)
SVG = Format("svg", "image/svg+xml", ".svg", ("svg",), True, alpha=True, vector=True)
HEIC = Format(
    "heic",
    "image/heif",
    ".heic",
    ("heic",),
    alpha=True,
    profile=True,
    quality=80,
    thumbnail=True,
    max_side=16384,
)
AVIF = Format(
    "avif",
    "image/avif",
    ".avif",
    ("avif",),
    True,
    True,
    alpha=True,
    profile=True,
    quality=63,
    thumbnail=True,
    deep=True,
    max_side=16384,
)
BMP = Format("bmp", "image/bmp", ".bmp", ("bmp",), alpha=True)
TIFF = Format(
    "tiff",
    "image/tiff",
    ".tiff",
    ("tiff", "tif"),
    True,
    True,
    alpha=True,
    profile=True,
    quality=80,
    deep=True,
)

FORMATS: tuple[Format, ...] = (JPEG, JXL, PNG, WEBP, GIF, ICO, SVG, HEIC, AVIF, BMP, TIFF)

BY_NAME: dict[str, Format] = {name: format_ for format_ in FORMATS for name in format_.names}

JSON = Format("json", "application/json", ".json", (), writable=True, alpha=True)
"""No image, but what is said of one (option ``placeholder``). No URL can ask for it as a format."""

RESULTS: dict[str, Format] = {format_.name: format_ for format_ in (*FORMATS, JSON)}
"""All that an answer may be, by name."""


def _named(name: str) -> Format:
    return RESULTS[name]


SNIFF_BYTES = 32 * 1024
"""How much of a source ``sniff`` wants: an SVG may begin with a long comment (imgproxy: 32 KiB)."""

_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
# Each part is atomic, "(?>": else twenty comments before no <svg> take seconds, and each further one twice as long.
_SVG_START = re.compile(
    rb"\s*+(?>(?:<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE[^>\[]*+(?:\[[^\]]*+\])?[^>]*+>)\s*+)*+<(?:[\w.-]+:)?svg[\s>/]",
    re.DOTALL | re.IGNORECASE,
)


def sniff(head: bytes) -> Format | None:
    """The format that the first bytes (up to ``SNIFF_BYTES``) belong to, or None. Names and media types have no say."""
    for magic, format_ in (
        (b"\xff\xd8\xff", JPEG),
        (b"\x89PNG\r\n\x1a\n", PNG),
        (b"GIF87a", GIF),
        (b"GIF89a", GIF),
        (b"II*\0", TIFF),
        (b"MM\0*", TIFF),
        (b"II+\0", TIFF),
        (b"MM\0+", TIFF),
        (b"\0\0\1\0", ICO),
        (b"BM", BMP),
        (b"\xff\x0a", JXL),
        (b"\0\0\0\x0cJXL \r\n\x87\n", JXL),
    ):
        if head.startswith(magic):
            return format_
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp":
        return _sniff_heif(head)
    text = head.removeprefix(b"\xef\xbb\xbf")
    return SVG if _SVG_START.match(text) else None


def _sniff_heif(head: bytes) -> Format | None:
    """AVIF or HEIC by the brands of the ``ftyp`` box (ISO/IEC 14496-12 §4.3): major first, then compatible ones."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size, 4))]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return AVIF
    if any(brand in _HEIC_BRANDS for brand in brands):
        return HEIC
    return None


@dataclass(frozen=True, slots=True)
class FormatRule:
    """Which format the result may have: the part of the choice that needs no source."""

    requested: Format | None = None
    """What the URL asks for."""
    enforced: tuple[Format, ...] = ()
    """Best first: overrides even ``requested`` (``IMGPROXY_ENFORCE_*`` and the client accepts it)."""
    automatic: tuple[Format, ...] = ()
    """Best first: taken when nothing is requested (``IMGPROXY_AUTO_*`` and the client accepts it)."""
    preferred: tuple[Format, ...] = (JPEG, PNG, GIF)
    """``IMGPROXY_PREFERRED_FORMATS``: what the rest is answered with."""
    rasterize_svg: bool = False

    @property
    def outcomes(self) -> tuple[Format, ...]:
        """Every format that the result may have, in the order of ``FORMATS``."""
        if self.requested is None:
            return FORMATS
        asked = {self.requested, *self.enforced}
        return tuple(each for each in FORMATS if each in asked or (AVIF in asked and each in {PNG, JPEG}))

    def choose(self, source: Format, *, animated: bool, alpha: bool) -> Format:
        """The result's format for this source.

        ``animated``: more than one frame would be kept; ``alpha``: the result needs transparency.
        imgproxy ``processing.go``: an animation never becomes JXL or AVIF on its own accord.
        """
        still_only = (JXL, AVIF)
        if self.requested is None:
            if source is SVG and not self.rasterize_svg:
                return SVG
            offers = self.automatic
        else:
            # An SVG asked for as SVG stays one: enforcing is about raster results.
            offers = self.enforced if self.requested is not SVG else ()
        for offer in offers:
            if not (animated and offer in still_only):
                return offer
        if self.requested is not None:
            return self.requested
        if source in self.preferred:
            return source
        return self._best_preferred(animated=animated, alpha=alpha)

    def _best_preferred(self, *, animated: bool, alpha: bool) -> Format:
        for format_ in self.preferred:
            if animated and not format_.animated_out:
                continue
            if alpha and not format_.alpha:
                continue
            return format_
        return self.preferred[0]


def writable_instead(format_: Format, width: int, height: int, *, alpha: bool) -> Format:
    """``format_``, or what to write instead: AVIF below 16 px on a side is refused by several decoders."""
    if format_ is AVIF and min(width, height) < 16:
        return PNG if alpha else JPEG
    return format_
