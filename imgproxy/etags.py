"""Our entity tags: each names a plan and the origin's own tag, so that a conditional request reaches the origin.

``"<plan>.<origin's tag in base64url>"``: the origin's tag can be taken out again and asked about, and a 304 costs
neither a download nor a pixel. An origin without tags gives ``"<plan>-<digest of the result>"``. Pure.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData
from pydantic import Field

from imgproxy.environment import RoomSettings
from imgproxy.fields import moment
from imgproxy.model import Validators

if TYPE_CHECKING:
    from imgproxy.model import Conditions, Plan

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')  # RFC 9110 §8.8.3, printable ASCII only
_SENDABLE = re.compile(r"[\x20-\x7e\x80-\xff]+")
_LONGEST = 256
"""Longest origin tag that is carried along, in characters."""


class TagSettings(RoomSettings):
    """Entity tags."""

    etag_buster: str = Field(default="", description="Any text; changing it makes the tags that clients hold void.")
    last_modified_buster: datetime | None = Field(
        default=None, description="A time (RFC 3339): no Last-Modified is earlier, and copies from before it are void."
    )


class Tags:
    """Mints and reads entity tags. ``buster`` (IMGPROXY_ETAG_BUSTER): changing it makes all earlier tags void."""

    def __init__(self, buster: str = "", earliest: datetime | None = None) -> None:
        self._buster = buster
        self._earliest = earliest and (earliest if earliest.tzinfo else earliest.replace(tzinfo=UTC))

    def mint(self, plan: Plan, origin: Validators) -> Validators:
        """The rendition's validators, as far as the origin's tell; the tag is None if the origin has none."""
        if not origin.etag or len(origin.etag) > _LONGEST:
            return Validators(None, self._not_before(origin.last_modified))
        weak = "W/" if origin.etag.startswith("W/") else ""
        tag = _carried(origin.etag)
        return Validators(f'{weak}"{self._plan(plan)}.{tag}"', self._not_before(origin.last_modified))

    def of_result(self, plan: Plan, digest: str) -> str:
        """A tag for a result whose origin has none; ``digest``: SHA-256 of its body, in hex."""
        return f'"{self._plan(plan)}-{digest[:24]}"'

    def for_origin(self, plan: Plan, conditions: Conditions) -> Validators:
        """What to ask the origin: its own tag, taken out of ours, or the date. Tags of other plans do not count."""
        if conditions.if_none_match is None:
            date = conditions.if_modified_since
            return Validators(None, date if date == self._not_before(date) else None)
        for tag in _TAG.findall(conditions.if_none_match):
            of_plan, dot, origin = tag.partition(".")
            if dot and of_plan == self._plan(plan) and (known := _taken_out(origin)):
                return Validators(known)
        return Validators()

    def matches(self, conditions: Conditions, etag: str | None) -> bool:
        """Whether If-None-Match names this tag, by the weak comparison that GET and HEAD use (RFC 9110 §13.1.2)."""
        asked = conditions.if_none_match
        if asked is None or etag is None:
            return False
        return asked.strip() == "*" or etag.removeprefix("W/").strip('"') in _TAG.findall(asked)

    def still_fit(self, conditions: Conditions, validators: Validators) -> bool:
        """Whether the client's copy is the result that ``validators`` name (RFC 9110 §13.2.2)."""
        if conditions.if_none_match is not None:
            return self.matches(conditions, validators.etag)
        asked, modified = conditions.if_modified_since, validators.last_modified
        if asked is None or modified is None:
            return False
        return asked == modified or _is_from(asked, moment(modified))

    def _not_before(self, date: str | None) -> str | None:
        """A date of HTTP, or IMGPROXY_LAST_MODIFIED_BUSTER where that is later or the date is no date."""
        if date is None or self._earliest is None:
            return date
        late_enough = _is_from(date, self._earliest.timestamp())
        return date if late_enough else format_datetime(self._earliest.astimezone(UTC), usegmt=True)

    def _plan(self, plan: Plan) -> str:
        return _named(self._buster, plan.key)


def _is_from(date: str, start: float | None) -> bool:
    """Whether a date of HTTP is not before ``start``; False if either is no date."""
    at = moment(date)
    return at is not None and start is not None and at >= start


# Of popular images the same ones are minted again and again.
@lru_cache(maxsize=4096)
def _named(buster: str, key: str) -> str:
    return hashlib.sha256(f"{buster}\n{key}".encode()).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _carried(etag: str) -> str:
    return base64_encode(etag.encode("latin-1", "replace")).decode()


def _taken_out(text: str) -> str | None:
    """The origin's tag in a tag of ours; None for what we cannot have made: anybody can write such a tag."""
    try:
        tag = base64_decode(text).decode("latin-1")
    except BadData:
        return None
    return tag if _SENDABLE.fullmatch(tag) else None
