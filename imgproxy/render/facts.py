"""What there is to know of a source: of its header, of its metadata, and of its pixels at a glance."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.formats import JSON, Format
from imgproxy.render import blurhash
from imgproxy.render.budget import Budget
from imgproxy.render.fields import blob, integer, names
from imgproxy.render.headers.profile import description
from imgproxy.render.load import read_header
from imgproxy.render.pipeline import finished
from imgproxy.render.placeholders import average, blurhash_of, dominant, small, thumbhash_of

if TYPE_CHECKING:
    import pyvips

    from imgproxy.model import Job

SUMMARY = (
    *("Make", "Model", "LensModel", "DateTimeOriginal", "ExposureTime", "FNumber", "ISOSpeedRatings", "FocalLength"),
    *("Software", "ImageDescription", "Artist", "Copyright"),
)
"""The EXIF that people ask for; nothing of it says where a picture was taken."""

_BUDGET = Budget()
_FIELD = re.compile(rb"exif-ifd[023]-([A-Za-z0-9]+)\Z")
"""libvips numbers directories: the image's (0), the camera's (2), GPS (3). The thumbnail's (1) says nothing more."""
_KIND = re.compile(r", [A-Za-z]+, \d+ components, \d+ bytes\)\Z")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source is."""

    format: Format
    bytes: int
    width: int
    height: int
    """Of one frame, upright."""
    orientation: int
    """EXIF's, 1 to 8; 1 is upright."""
    frames: int
    """Of an animation."""
    pages: int
    """Of a document."""
    alpha: bool
    bits: int
    """A channel's."""
    space: str
    """libvips' name of the colour space."""
    profile: str
    """What the ICC profile calls itself; empty without one."""
    average: str
    dominant: str
    """Colours, as CSS writes them."""
    blurhash: str
    thumbhash: str
    """In base64."""
    exif: tuple[tuple[str, str], ...]
    """Names and readable values, GPS among them."""


def read(job: Job, budget: Budget = _BUDGET) -> Facts:
    """The facts of a job's source. Its plan is that of a placeholder, without a size.

    Raises ``SourceError``; what the budget forbids, before it decodes.
    """
    picture = read_header(job.source, job.plan.limits, budget)
    header, made = picture.header, finished(job, picture, JSON, 1, budget)
    image, size = made.image, made.size
    sketch = small(image, size)
    animated = picture.format.animated_in
    return Facts(
        format=picture.format,
        bytes=job.source.size,
        width=size.width,
        height=size.height,
        orientation=integer(header, "orientation", 1),
        frames=picture.pages if animated else 1,
        pages=1 if animated else picture.pages,
        alpha=bool(picture.alpha),
        bits=8 if picture.palette_bits else integer(header, "bits-per-sample", 8 * picture.sample),
        space=str(header.interpretation),
        profile=description(blob(header, "icc-profile-data")),
        average=average(sketch),
        dominant=dominant(sketch),
        blurhash=blurhash_of(sketch, *blurhash.components(size.width, size.height)),
        thumbhash=thumbhash_of(sketch),
        exif=tuple(sorted(_exif(header).items())),
    )


def _exif(header: pyvips.Image) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names(header):
        if match := _FIELD.match(name):
            with suppress(RuntimeError, UnicodeDecodeError):  # what pyvips cannot read
                found[match[1].decode()] = readable(str(header.get(name.decode())))
    return found


def readable(value: str) -> str:
    """What ``1/125 (1/125 sec., Rational, 1 components, 8 bytes)`` says, as libvips writes fields: ``1/125 sec.``."""
    both = _KIND.sub("", value)
    if both == value:
        return value.strip()
    middle = (len(both) - 2) // 2
    if both == f"{both[:middle]} ({both[:middle]}":  # a text, which may have brackets of its own
        return both[:middle].strip()
    plain, _, spelt = both.partition(" (")
    # What libexif has no words for, orientations among it, is a number.
    return (plain if spelt.startswith("Internal error") else spelt).strip()
