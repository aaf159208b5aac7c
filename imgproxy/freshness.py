"""How long an image may be kept, by us, by our edge and by everybody else (RFC 9111, 5861, 9213). Pure.

``lifetime`` is about our own store; the other functions give header values for an answer on its way out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from imgproxy.environment import GoBool, RoomSettings, Seconds
from imgproxy.fields import LONGEST_S, directives, is_field_value, moment, seconds
from imgproxy.model import Lifetime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgproxy.model import Caching, Found

STALE_S = 5
"""max-age of a stale answer: a better one is on its way. Caches that count Age keep none of it, the others little."""

EDGE_STALE_S = 2
"""Seconds that our edge keeps a stale answer: enough to take a rush off us while the better one is made."""


class FreshnessSettings(RoomSettings):
    """How long images are kept, and what answers say about it."""

    ttl: Seconds = Field(default=31536000, ge=0, description="max-age of images in seconds; 0 sends no-cache.")
    cache_control_passthrough: GoBool = Field(
        default=False, description="Send the origin's Cache-Control or Expires instead of the TTL."
    )
    fallback_image_ttl: Seconds = Field(default=0, ge=0, description="max-age of fallback images in seconds; 0 is TTL.")
    result_cache_ttl: Seconds = Field(
        default=60,
        ge=0,
        description="Seconds that a stored result is answered before its origin is asked whether the source is still "
        "the same. Never longer than TTL; with CACHE_CONTROL_PASSTHROUGH the origin's own lifetime counts.",
    )
    result_cache_stale_while_revalidate: Seconds = Field(
        default=86400,
        ge=0,
        description="Seconds after that in which a stored result is still answered at once, while its origin is asked "
        "behind it.",
    )
    result_cache_stale_if_error: Seconds = Field(
        default=86400,
        ge=0,
        description="Seconds after RESULT_CACHE_TTL in which a stored result is still answered when its origin cannot "
        "be asked.",
    )
    negative_cache_ttl: Seconds = Field(
        default=10, ge=0, description="Seconds that a source's failure is remembered. 0: not at all."
    )
    s_maxage: Seconds = Field(
        default=0, ge=0, description="s-maxage: how long CDNs and proxies may keep an image, in seconds. 0: not sent."
    )
    stale_while_revalidate: Seconds = Field(
        default=0, ge=0, description="stale-while-revalidate in Cache-Control, in seconds. 0: not sent."
    )
    stale_if_error: Seconds = Field(
        default=0, ge=0, description="stale-if-error in Cache-Control, in seconds. 0: not sent."
    )
    cache_control_immutable: GoBool = Field(
        default=False, description="Send immutable for URLs with a cachebuster: browsers then never revalidate them."
    )
    cdn_ttl: Seconds = Field(
        default=0, ge=0, description="max-age in CDN-Cache-Control, for CDNs only, in seconds. 0: not sent."
    )
    cache_tag_headers: GoBool = Field(
        default=True, description="Send a result's tags as Surrogate-Key and Cache-Tag, for purges at a CDN."
    )


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An answer on its way out, as far as caches are concerned."""

    now: float
    """Unix seconds."""
    caching: Caching
    found: Found
    lifetime: Lifetime
    expires: int = 0
    """When its URL ends, in Unix seconds; 0 for never."""
    fallback: bool = False
    busted: bool = False
    """Whether its URL carries a cachebuster: other bytes would have another URL."""

    @property
    def stale(self) -> bool:
        """Whether a better one is to be had soon: it is past its lifetime, a purge ended it, or it was made in a hurry.

        What was made or vouched for just now is none of the first two.
        """
        return self.found.degraded or (self.found.tier != "" and self.found.ttl <= 0)

    @property
    def left(self) -> float:
        """Seconds until its URL ends."""
        return max(0.0, self.expires - self.now) if self.expires else math.inf


def lifetime(settings: FreshnessSettings, caching: Caching, received: float | None = None) -> Lifetime:
    """How long a result may be answered from our store, its source's answer saying ``caching``.

    ``received`` (Unix seconds) stands in for a Date that the origin did not send (RFC 9110 §6.6.1).
    """
    fresh = min(settings.result_cache_ttl, settings.ttl)
    # TTL 0 says "ask each time" to everybody, and we are no exception.
    while_revalidate = settings.result_cache_stale_while_revalidate if settings.ttl else 0.0
    if_error = settings.result_cache_stale_if_error
    if not settings.cache_control_passthrough:
        return Lifetime(fresh, while_revalidate, if_error)

    said = directives(caching.cache_control or "")
    if not said.keys().isdisjoint({"no-store", "private"}):
        return Lifetime(storable=False)
    # RFC 9111 §4.2.4: none of these may be overridden, not by configuration either.
    if "no-cache" in said:
        return Lifetime()
    if (told := _told(said, caching, received)) is not None:
        fresh = float(told)
    return Lifetime(fresh, *_told_stale_uses(said, while_revalidate, if_error))


def _told_stale_uses(said: dict[str, str], while_revalidate: float, if_error: float) -> tuple[float, float]:
    """The two windows of RFC 5861 as the origin has them, ours where it says nothing."""
    if not said.keys().isdisjoint({"must-revalidate", "proxy-revalidate"}):
        return 0.0, 0.0
    if "s-maxage" in said:
        # It means proxy-revalidate too (RFC 9111 §5.2.2.10), but for what its own author adds beside it.
        while_revalidate = if_error = 0.0
    if "stale-while-revalidate" in said:
        while_revalidate = float(seconds(said["stale-while-revalidate"]))
    if "stale-if-error" in said:
        if_error = float(seconds(said["stale-if-error"]))
    return while_revalidate, if_error


def cache_control(settings: FreshnessSettings, outgoing: Outgoing) -> str:
    """The value of Cache-Control: the origin's word if it is passed through, else TTL.

    The URL's ``expires`` shortens a lifetime and never lengthens it.
    """
    if (passed := _passed_through(settings, outgoing)) is not None:
        return passed
    longest = int(min(_ttl(settings, outgoing), outgoing.left, STALE_S if outgoing.stale else math.inf))
    return ", ".join([_max_age(longest), *_members(settings, outgoing, longest)])


def cdn_cache_control(settings: FreshnessSettings, outgoing: Outgoing) -> str | None:
    """The value of CDN-Cache-Control, None for none. It would replace Cache-Control at the CDN (RFC 9213 §2.2)."""
    told = _passed_through(settings, outgoing) is not None
    if not settings.cdn_ttl or told or not outgoing.lifetime.storable:
        return None
    longest = int(min(settings.cdn_ttl, outgoing.left, STALE_S if outgoing.stale else math.inf))
    if outgoing.fallback:
        longest = min(longest, int(_ttl(settings, outgoing)))
    if longest == 0:
        return "no-cache"
    return ", ".join([f"max-age={longest}", *_stale_uses(settings, outgoing, longest)])


def accel_expires(outgoing: Outgoing) -> int:
    """Seconds that our own edge may keep the answer (nginx: X-Accel-Expires); 0 for not at all."""
    if outgoing.fallback or not outgoing.lifetime.storable or not outgoing.lifetime.while_revalidate:
        # nginx cannot be told to answer none of them stale. A fallback image that it keeps would be answered once more
        # when the picture is long back.
        kept = 0.0
    else:
        kept = EDGE_STALE_S if outgoing.stale else outgoing.found.ttl
    return max(0, int(min(kept, outgoing.left)))


def age(settings: FreshnessSettings, outgoing: Outgoing) -> int | None:
    """The value of Age; None for what was made for this request.

    A lifetime that the origin gave is counted from when the origin gave it: what it spent in caches before us is
    part of the age then.
    """
    spent = _age(outgoing.caching) if _word(settings, outgoing) else 0
    if not outgoing.found.tier and not spent:
        return None
    return max(0, int(outgoing.found.age)) + spent


def _told(said: dict[str, str], caching: Caching, received: float | None) -> int | None:
    """What is left of the lifetime that the origin gave (RFC 9111 §4.2.1, for a shared cache); None for none."""
    for name in ("s-maxage", "max-age"):
        if name in said:
            return max(0, seconds(said[name]) - _age(caching))
    if caching.expires is None:
        return None
    until = moment(caching.expires)
    since = received if caching.date is None else moment(caching.date)
    if until is None or since is None:
        return 0
    return max(0, min(LONGEST_S, int(until - since)) - _age(caching))


def _passed_through(settings: FreshnessSettings, outgoing: Outgoing) -> str | None:
    """The origin's word as our Cache-Control; None where ours goes instead, or where it said nothing."""
    if not _passes_through(settings, outgoing):
        return None
    expires = outgoing.caching.expires
    if (word := _word(settings, outgoing)) or not expires:
        return word
    left = int((moment(expires) or 0) - outgoing.now)
    # Counted from now, but caches count from what Age says: they take it off again.
    return _max_age(left + (age(settings, outgoing) or 0) if left > 0 else 0)


def _passes_through(settings: FreshnessSettings, outgoing: Outgoing) -> bool:
    explicit = outgoing.expires or (outgoing.fallback and settings.fallback_image_ttl)
    return settings.cache_control_passthrough and not explicit and not outgoing.stale


def _word(settings: FreshnessSettings, outgoing: Outgoing) -> str | None:
    """The origin's Cache-Control where it is passed through, verbatim."""
    value = outgoing.caching.cache_control
    return value if value and is_field_value(value) and _passes_through(settings, outgoing) else None


def _members(settings: FreshnessSettings, outgoing: Outgoing, max_age: int) -> Iterator[str]:
    """What an operator asked for beyond max-age. With all of them nobody keeps an image past its URL's end."""
    if max_age == 0 or outgoing.stale or not outgoing.lifetime.storable:
        return
    shared = int(min(settings.s_maxage, max_age if outgoing.fallback else outgoing.left))
    if shared:
        yield f"s-maxage={shared}"
    yield from _stale_uses(settings, outgoing, max(max_age, shared))
    if settings.cache_control_immutable and outgoing.busted and not outgoing.fallback and not outgoing.expires:
        yield "immutable"


def _stale_uses(settings: FreshnessSettings, outgoing: Outgoing, fresh: int) -> Iterator[str]:
    if outgoing.stale or outgoing.fallback:
        return
    # RFC 5861: both count from where the freshness ends.
    left = outgoing.left - fresh
    if kept := int(min(settings.stale_while_revalidate, left)):
        yield f"stale-while-revalidate={kept}"
    if kept := int(min(settings.stale_if_error, left)):
        yield f"stale-if-error={kept}"


def _ttl(settings: FreshnessSettings, outgoing: Outgoing) -> float:
    return (outgoing.fallback and settings.fallback_image_ttl) or settings.ttl


def _age(caching: Caching) -> int:
    """The origin's Age. One that cannot be read is none (RFC 9111 §5.1)."""
    return seconds((caching.age or "").partition(",")[0].strip())


def _max_age(seconds: int) -> str:
    return f"max-age={seconds}, public" if seconds > 0 else "no-cache"
