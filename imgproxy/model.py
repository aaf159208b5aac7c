"""The records that travel between the rooms: frozen, comparable, picklable, without behaviour of their own."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from imgproxy.formats import Format, FormatRule
    from imgproxy.options import Options
    from imgproxy.options.base import Setting

PIPELINE_VERSION = 2
"""Raised by one whenever equal plans would give other pixels than before; part of every key."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock, in seconds. Passed down whole; never re-budgeted."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def sooner(self, seconds: float) -> Deadline:
        """The deadline itself, or one in ``seconds`` if that comes first."""
        return Deadline(min(self.at, time.monotonic() + seconds))


@dataclass(frozen=True, slots=True)
class SourceRef:
    """Where the source is: an absolute URL with a scheme that an origin serves."""

    url: str


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What a URL says, before presets, defaults and limits are laid over it."""

    source: SourceRef
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Client:
    """What the request headers say that may shape the image: a few classes, never raw header text."""

    formats: frozenset[str] = frozenset()
    """Modern formats that Accept names with q > 0: "avif", "webp", "jxl"."""
    dpr: float | None = None
    width: int | None = None
    """Layout width in device pixels (Sec-CH-Width)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a source may cost and a result may be. 0 means no limit."""

    source_bytes: int = 0
    source_pixels: int = 50_000_000
    frames: int = 1
    frame_pixels: int = 0
    result_side: int = 0


@dataclass(frozen=True, slots=True)
class Encoding:
    """How each encoder is driven: resolved quality by format name, and the effort settings."""

    quality: tuple[tuple[str, int], ...] = ()
    jpeg_progressive: bool = False
    jpeg_table: int = 5
    """Which of mozjpeg's quantisation tables; 0 is that of the standard."""
    png_interlaced: bool = False
    png_quantize: bool = False
    png_colors: int = 256
    webp_effort: int = 2
    webp_preset: str = "default"
    avif_speed: int = 9


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the answer is handed over; changes no pixel and is in no key."""

    filename: str = ""
    attachment: bool = False
    expires: int = 0
    """Unix seconds; 0 for never."""
    tags: tuple[str, ...] = ()
    """The URL's own cache tags."""
    presets: tuple[str, ...] = ()
    """The presets that shaped the plan, those inside others included; sorted."""


@dataclass(frozen=True)  # no slots: what is computed of it is kept in it
class Plan:
    """A request with presets, defaults and limits resolved: canonical, so that equal plans are equal images."""

    source: SourceRef
    options: Options
    formats: FormatRule
    encoding: Encoding = Encoding()
    limits: Limits = Limits()
    watermark_opacity: float = 1.0
    watermark: str = ""
    """What the configured watermark is: a digest, or its URL. Empty where the plan shows none."""
    linear_light: bool = False
    shrink_on_load: bool = True
    delivery: Delivery = field(default=Delivery(), compare=False)

    @cached_property
    def path(self) -> str:
        """The options in canonical spelling and order, e.g. ``rs:fill:300:200/g:no``."""
        return str(self.options)

    @cached_property
    def key(self) -> str:
        """A digest of everything that shapes the image, and of nothing else."""
        # Each part is a repr on its own line: no part can hold a raw newline, so no two plans share a text.
        parts = (
            PIPELINE_VERSION,
            self.source.url,
            self.path,
            self.formats,
            self.encoding,
            self.limits,
            self.watermark_opacity,
            self.watermark,
            self.linear_light,
            self.shrink_on_load,
        )
        return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Validators:
    """What the origin said for conditional requests, verbatim."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Caching:
    """What the origin said about keeping its answer, verbatim."""

    cache_control: str | None = None
    expires: str | None = None
    age: str | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a stored answer may be used, in seconds from when the origin last vouched for its source."""

    fresh: float = 0.0
    while_revalidate: float = 0.0
    """After that: answered at once while the origin is asked behind it (RFC 5861)."""
    if_error: float = 0.0
    """After ``fresh``: answered when the origin cannot be asked (RFC 5861)."""
    storable: bool = True
    """False for what may not be stored at all (no-store, private)."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of a source: what the origin said of it, and when it last vouched for it."""

    url: str
    size: int = 0
    """In bytes."""
    validators: Validators = Validators()
    caching: Caching = Caching()
    digest: str = ""
    """SHA-256 of the bytes in hex, where the origin gives no validators to tell versions apart by; else empty."""
    checked_at: float = 0.0
    """Unix seconds."""
    generation: int = 0
    """The newest purge that was known when the origin was asked."""

    def is_version_of(self, other: Provenance) -> bool:
        """Whether both speak of the same bytes, as far as the origin tells."""
        return self.version is not None and self.version == other.version

    @property
    def version(self) -> str | None:
        """What tells these bytes from others of the same URL, as far as anything does."""
        return self.validators.etag or self.validators.last_modified or self.digest or None


@dataclass(frozen=True, slots=True)
class Source:
    """A fetched source: an open descriptor (positioned anywhere), its length, and what the origin said of it.

    Whoever holds it closes it.
    """

    fd: int
    size: int
    url: str
    media_type: str | None = None
    validators: Validators = Validators()
    caching: Caching = Caching()

    def close(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class StillGood:
    """The origin's 304: the source is as ``validators`` knew it, and this is what the origin says of it now."""

    validators: Validators = Validators()
    caching: Caching = Caching()


MEZZANINE_PIXELS = 7_500_000
"""Most that a mezzanine has: 22 MB, half the sides of 30 megapixels."""
MEZZANINE_SOURCE_PIXELS = 6_000_000
"""Least that a source with a mezzanine has: smaller ones are decoded before the others have begun to wait."""


@dataclass(frozen=True, slots=True)
class Raster:
    """Raw pixels: rows from top to bottom, a byte for each band."""

    width: int
    height: int
    bands: int

    @property
    def bytes(self) -> int:
        return self.width * self.height * self.bands


@dataclass(frozen=True, slots=True)
class Mezzanine:
    """A source's pixels, decoded and shrunk, in a file; several sizes of it are made from them."""

    fd: int
    raster: Raster | None = None
    """What is in the file; None if the job is to put it there."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work for a render process: a plan, its source and, where the plan has one, the watermark."""

    plan: Plan
    source: Source
    watermark: Source | None = None
    mezzanine: Mezzanine | None = None


@dataclass(frozen=True, slots=True)
class Rendition:
    """An encoded image."""

    body: bytes
    format: Format
    width: int
    height: int
    """Of one frame, in pixels."""
    source_width: int
    source_height: int
    """Of the source as stored, one frame, before orientation."""
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored rendition, and all that later requests need to know of it."""

    rendition: Rendition
    digest: str
    """SHA-256 of the body, in hex."""
    provenance: Provenance
    tags: tuple[str, ...] = ()
    """What it can be purged by: sorted; the source, its host, the presets and the URL's own tags."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where an answer came from, in the terms of RFC 9211."""

    tier: str = ""
    """The tier that had it: "memory", "redis" or "store"; empty if it was made for this request."""
    forwarded: str = ""
    """Why the origin was asked: "uri-miss", "stale" or "bypass"; empty if it was not."""
    collapsed: bool = False
    """Whether the request waited for the making of another one."""
    stored: bool = False
    renewed: bool = False
    """Whether the origin said that nothing has changed: no render."""
    age: float = 0.0
    """Seconds since the origin last vouched for the source."""
    ttl: float = 0.0
    """Seconds that the answer stays fresh here; negative when it is stale."""
    generation: int = 0
    """The newest purge that was known when the origin was asked."""
    degraded: bool = False
    """Whether it is less than was asked for, as there was no time for more: another size, or a cheaper encoding."""


PurgeKind = Literal["tag", "prefix", "all"]


@dataclass(frozen=True, slots=True)
class Purge:
    """One purge. ``soft``: entries may still be answered with while they are made anew."""

    kind: PurgeKind
    value: str = ""
    """The tag, or what source URLs begin with; empty for "all"."""
    soft: bool = False
    generation: int = 0

    def concerns(self, url: str, tags: Iterable[str]) -> bool:
        """Whether it is about a result of the source ``url`` that carries ``tags``."""
        if self.kind == "prefix":
            return url.startswith(self.value)
        return self.kind == "all" or self.value in tags


@dataclass(frozen=True, slots=True)
class Report:
    """A rendition and what it cost in the render process."""

    rendition: Rendition
    load_s: float = 0.0
    encode_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    """Peak resident memory of the render process so far."""
    vips_bytes: int = 0
    vips_peak_bytes: int = 0
    vips_allocations: int = 0
    """libvips' own bookkeeping after the render."""
    raster: Raster | None = None
    """What was put into the job's mezzanine."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The request headers that ask about a copy the client already has, or for a part of one."""

    if_none_match: str | None = None
    if_modified_since: str | None = None
    range: str | None = None
    if_range: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An image, with what its headers are made of."""

    rendition: Rendition
    plan: Plan
    source_bytes: int
    validators: Validators = Validators()
    """Our own: they identify this rendition, not the source."""
    caching: Caching = Caching()
    fallback_for: int = 0
    """The status of the error that the fallback image stands in for; 0 for the image that was asked for."""
    found: Found = Found()
    tags: tuple[str, ...] = ()
    """The entry's."""
    lifetime: Lifetime = Lifetime()
    """How long we ourselves keep it."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The client's copy is still good: 304."""

    plan: Plan
    validators: Validators
    caching: Caching = Caching()
    found: Found = Found()
    tags: tuple[str, ...] = ()
    lifetime: Lifetime = Lifetime()


@dataclass(frozen=True, slots=True)
class RawReply:
    """The origin's own answer, streamed through untouched (option ``raw``). Whoever holds it reads or closes it."""

    plan: Plan
    status: int
    headers: tuple[tuple[str, str], ...]
    body: AsyncGenerator[bytes, None]
