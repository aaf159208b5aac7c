"""Single byte ranges of an image that is there as a whole (RFC 9110 §14).

Several ranges at once are answered with the whole: a multipart of an image serves nobody, and many small parts are
an old way to make a server sweat (RFC 9110 §14.2 leaves it to us).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgproxy.model import Conditions, Validators

_SPEC = re.compile(r"0*([0-9]*)-0*([0-9]*)")
_LONGEST = 18
"""Digits that are read; a longer number is beyond every end."""


def part(conditions: Conditions, size: int, validators: Validators) -> range | None:
    """The bytes of ``size`` that a GET asks for; None for all of them, an empty range if there are no such bytes.

    ``validators`` are those that the answer will be sent with.
    """
    if conditions.range is None or not _is_current(conditions.if_range, validators):
        return None
    return _read(conditions.range, size)


def _is_current(if_range: str | None, validators: Validators) -> bool:
    """Whether the parts that the client has are of this version, by the strong comparison (RFC 9110 §13.1.5)."""
    if if_range is None:
        return True
    given = if_range.strip()
    if given.startswith('"'):
        return given == validators.etag
    # A weak tag starts with W/ and can be no date. Any other date, a later one too, is no match.
    return not given.startswith("W/") and given == validators.last_modified


def _read(value: str, size: int) -> range | None:
    unit, equals, specs = value.partition("=")
    # Empty members of a list are to be read over (RFC 9110 §5.6.1.2).
    given = [spec.strip() for spec in specs.split(",") if spec.strip()]
    if not equals or unit.strip().lower() != "bytes" or len(given) != 1:
        return None
    match = _SPEC.fullmatch(given[0])
    if match is None or given[0] == "-" or size == 0:
        return None
    first, last = _number(match[1]), _number(match[2])
    if given[0].startswith("-"):
        return range(max(0, size - last), size)
    if given[0].endswith("-"):
        return range(min(first, size), size)
    if last < first:
        return None
    return range(min(first, size), min(last + 1, size))


def _number(digits: str) -> int:
    return int(digits[: _LONGEST + 1] or "0")
