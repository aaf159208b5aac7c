"""From request headers to a few classes of clients: which modern formats, which dpr, which width."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from imgproxy.environment import GoBool, RoomSettings
from imgproxy.formats import AVIF, BY_NAME, JPEG, WEBP, Format, FormatRule
from imgproxy.geometry import round_half_away
from imgproxy.model import Client

_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")  # RFC 9110 §12.4.2
_NUMBER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")
_MAX_DPR = 8


def _formats(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",") if name.strip()]
    unknown = [name for name in names if name not in BY_NAME or not BY_NAME[name].writable]
    if unknown or not names:
        known = ", ".join(name for name, each in BY_NAME.items() if each.writable)
        raise ValueError(f"expected formats out of {known}, got {', '.join(unknown) or 'none'}")
    return tuple(BY_NAME[name] for name in names)


class NegotiationSettings(RoomSettings):
    """How the client's abilities choose the result's format and size."""

    auto_webp: GoBool = Field(
        default=False,
        description="Answer in WebP when Accept names it and the URL names no format.",
        json_schema_extra={"alias": "enable_webp_detection"},
    )
    auto_avif: GoBool = Field(
        default=False,
        description="Answer in AVIF when Accept names it and the URL names no format; goes before WebP.",
        json_schema_extra={"alias": "enable_avif_detection"},
    )
    enforce_webp: GoBool = Field(default=False, description="As IMGPROXY_AUTO_WEBP, whatever format the URL names.")
    enforce_avif: GoBool = Field(default=False, description="As IMGPROXY_AUTO_AVIF, whatever format the URL names.")
    preferred_formats: Annotated[tuple[Format, ...], BeforeValidator(_formats)] = Field(
        default=FormatRule().preferred,
        description="Formats of results when nothing else decides, best first: the source's own if it is among them.",
    )
    always_rasterize_svg: GoBool = Field(
        default=False, description="Answer SVG sources as pixels even when no format is asked for."
    )
    enable_client_hints: GoBool = Field(
        default=False,
        description="Take dpr and width from the headers `Sec-CH-DPR`, `DPR`, `Sec-CH-Width` and `Width`.",
    )


class Negotiator:
    """Reads the headers that may shape an image, and says which those are."""

    def __init__(self, settings: NegotiationSettings | None = None) -> None:
        self._settings = settings = settings or NegotiationSettings()
        # Best first, as imgproxy has it.
        self._automatic = _chosen(
            (AVIF, settings.auto_avif or settings.enforce_avif),
            (WEBP, settings.auto_webp or settings.enforce_webp),
        )
        self._enforced = _chosen((AVIF, settings.enforce_avif), (WEBP, settings.enforce_webp))

    @property
    def vary(self) -> tuple[str, ...]:
        """The request headers that an answer may depend on."""
        hints = ("Sec-CH-DPR", "DPR", "Sec-CH-Width", "Width") if self._settings.enable_client_hints else ()
        return (*(("Accept",) if self._automatic else ()), *hints)

    def client(self, headers: Mapping[str, str]) -> Client:
        """The class of client. ``headers``: lower-case names."""
        accepted = accepts(headers.get("accept", "")) if self._automatic else {}
        # Ranges such as */* count for nothing: every browser sends them, also those that cannot show AVIF.
        formats = frozenset(each.name for each in self._automatic if accepted.get(each.media_type, 0) > 0)
        if not self._settings.enable_client_hints:
            return Client(formats)
        dpr = _number(headers.get("sec-ch-dpr") or headers.get("dpr"))
        width = _number(headers.get("sec-ch-width") or headers.get("width"))
        if dpr is not None and not 0 < dpr <= _MAX_DPR:
            dpr = None
        return Client(formats, dpr, None if width is None else math.ceil(width))

    def rule(self, requested: Format | None, client: Client) -> FormatRule:
        """Which format the result may have. Canonical: what cannot matter any more is left out."""
        enforced = tuple(each for each in self._enforced if each.name in client.formats)
        if requested is not None:
            return FormatRule(requested, enforced=enforced, preferred=(JPEG,))
        return FormatRule(
            automatic=tuple(each for each in self._automatic if each.name in client.formats),
            preferred=self._settings.preferred_formats,
            rasterize_svg=self._settings.always_rasterize_svg,
        )


def default_width(client: Client) -> int | None:
    """The width in CSS pixels that the client's hints ask for."""
    return None if client.width is None else round_half_away(client.width / (client.dpr or 1.0))


def accepts(header: str) -> dict[str, float]:
    """The media ranges that an Accept header names, with their weights (RFC 9110 §12.5.1); unreadable ones weigh 0."""
    ranges: dict[str, float] = {}
    for each in header.lower().split(","):
        media_range, *parameters = (part.strip() for part in each.split(";"))
        weights = [parameter.removeprefix("q=") for parameter in parameters if parameter.startswith("q=")]
        weight = float(weights[0]) if weights and _QUALITY.fullmatch(weights[0]) else 0.0
        ranges[media_range] = weight if weights else 1.0
    return ranges


def _chosen(*offers: tuple[Format, bool]) -> tuple[Format, ...]:
    return tuple(format_ for format_, on in offers if on)


def _number(text: str | None) -> float | None:
    return float(text) if text and _NUMBER.fullmatch(text.strip()) else None
