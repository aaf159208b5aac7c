"""What answers tell the caches on their way: how long, how old, from where, and under which tags to purge."""

from __future__ import annotations

import math
import re
from itertools import accumulate
from typing import TYPE_CHECKING

from imgproxy.freshness import Outgoing, accel_expires, age, cache_control, cdn_cache_control, lifetime
from imgproxy.model import Found, Reply
from imgproxy.options import Cachebuster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgproxy.freshness import FreshnessSettings
    from imgproxy.model import Caching, Plan, Unchanged

TAGS_BYTES = 4096
"""Longest list of tags. It goes out twice, and proxies stop at 8 to 16 KiB of headers."""

# A comma or a space would make two of one tag.
_TAG = re.compile(r"[\x21-\x2b\x2d-\x7e]+")

Headers = list[tuple[str, str]]


class CacheHeaders:
    """The headers about caching. ``behind_edge``: those that only our own edge understands, and takes off, too."""

    def __init__(self, settings: FreshnessSettings, now: Callable[[], float], *, behind_edge: bool = False) -> None:
        self._settings = settings
        self._now = now
        self._behind_edge = behind_edge

    def image(self, answer: Reply | Unchanged) -> Headers:
        """Those of an image, or of a 304 in its place."""
        found, expires = answer.found, answer.plan.delivery.expires
        fallback = isinstance(answer, Reply) and answer.fallback_for > 0
        busted = bool(answer.plan.options[Cachebuster].text)
        outgoing = Outgoing(self._now(), answer.caching, found, answer.lifetime, expires, fallback, busted)
        headers: Headers = []
        if self._behind_edge:
            # Before Cache-Control: nginx goes by the first of the two that says "not at all".
            headers += [
                ("X-Accel-Expires", str(accel_expires(outgoing))),
                ("X-Imgproxy-Generation", str(found.generation)),
            ]
            if expires:
                headers.append(("X-Imgproxy-Expires", str(expires)))
        headers += [*self._lifetime(outgoing), *cache_status(found)]
        if self._settings.cache_tag_headers:
            headers += tag_headers(answer.tags)
        return headers

    def raw(self, plan: Plan, status: int, caching: Caching) -> Headers:
        """Those of a source that is streamed through."""
        headers: Headers = []
        now, found = self._now(), Found(forwarded="bypass")
        if status < 400:
            kept = lifetime(self._settings, caching, now)
            headers += self._lifetime(Outgoing(now, caching, found, kept, plan.delivery.expires))
        headers += cache_status(found)
        if self._behind_edge:
            # What has no tags and no generation could not be purged: the edge keeps none of it.
            headers.append(("X-Accel-Expires", "0"))
        return headers

    def _lifetime(self, outgoing: Outgoing) -> Iterator[tuple[str, str]]:
        yield "Cache-Control", cache_control(self._settings, outgoing)
        if (value := cdn_cache_control(self._settings, outgoing)) is not None:
            yield "CDN-Cache-Control", value
        if (seconds := age(self._settings, outgoing)) is not None:
            yield "Age", str(seconds)


def cache_status(found: Found) -> Headers:
    """Cache-Status (RFC 9211), never with the key; none for what no cache was asked for."""
    if not found.forwarded and not found.tier:
        return []
    parts = ["imgproxy", "hit"]
    if found.forwarded:
        parts[1:] = [f"fwd={found.forwarded}", *["stored"] * found.stored, *["collapsed"] * found.collapsed]
    if found.renewed:
        parts.append("fwd-status=304")
    elif found.tier:
        # With fwd=stale: the origin was asked, and did not answer.
        parts += [f"ttl={math.floor(found.ttl)}", f"detail={found.tier}{'' if found.ttl > 0 else '/stale'}"]
    return [("Cache-Status", "; ".join(parts))]


def tag_headers(tags: Iterable[str]) -> Headers:
    """The tags as Fastly and Varnish (Surrogate-Key) and as Cloudflare and Akamai (Cache-Tag) read them."""
    plain = [tag for tag in tags if _TAG.fullmatch(tag)]
    ends = accumulate(len(tag) + 1 for tag in plain)
    kept = [tag for tag, end in zip(plain, ends, strict=True) if end <= TAGS_BYTES + 1]
    return [("Surrogate-Key", " ".join(kept)), ("Cache-Tag", ",".join(kept))] if kept else []
