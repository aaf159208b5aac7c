"""Cache-Control: how long others may keep an image (imgproxy's ``headerwriter``)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgproxy.model import Caching, Plan
    from imgproxy.web.responses import WebSettings

# RFC 9110 §5.5 without obs-text: what every server and proxy lets through unchanged.
_FIELD_VALUE = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?")


def is_field_value(text: str) -> bool:
    """Whether ``text``, from wherever it comes, can be sent as the value of a header."""
    return _FIELD_VALUE.fullmatch(text) is not None


def cache_control(settings: WebSettings, plan: Plan, caching: Caching, now: float, *, fallback: bool) -> str:
    """The header's value: an explicit lifetime first, then the origin's if passed through, then TTL.

    ``now`` in Unix seconds. The URL's ``expires`` shortens a lifetime and never lengthens it.
    """
    ttl = int(settings.ttl)
    explicit = int(settings.fallback_image_ttl) if fallback else 0
    if plan.delivery.expires:
        left = max(0, int(plan.delivery.expires - now))
        return _max_age(min(explicit or ttl, left))
    if explicit:
        return _max_age(explicit)
    if settings.cache_control_passthrough:
        if (value := caching.cache_control) and is_field_value(value):
            return value
        if caching.expires:
            return _max_age(_seconds_until(caching.expires, now))
    return _max_age(ttl)


def _seconds_until(expires: str, now: float) -> int:
    try:
        moment = parsedate_to_datetime(expires)
    except ValueError:
        return 0  # RFC 9111 §5.3: an invalid date, "0" above all, lies in the past
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, int(moment.timestamp() - now))


def _max_age(seconds: int) -> str:
    return f"max-age={seconds}, public" if seconds > 0 else "no-cache"
