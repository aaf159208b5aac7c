"""The values of header fields: which can be sent, and what those from outside say. Pure."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC
from email.utils import parsedate_to_datetime  # noqa: TID251 - here and nowhere else
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_S = 2**31
"""What a longer time in a header counts as (RFC 9111 §1.2.2)."""

# RFC 9110 §5.5 without obs-text: what every server and proxy lets through unchanged.
_FIELD_VALUE = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?")
# RFC 3986 §3.3 without escapes: what is the same text in every spelling of a request's target.
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_LOOP_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_DIGITS = re.compile(r"0*([0-9]+)")


def is_field_value(text: str) -> bool:
    """Whether ``text``, from wherever it comes, can be sent as the value of a header."""
    return _FIELD_VALUE.fullmatch(text) is not None


def is_path(text: str) -> bool:
    """Whether ``text`` can be the path of a URL as it stands: ASCII, without blanks, braces, escapes or a query."""
    return _PATH.fullmatch(text) is not None


def is_loop_id(text: str) -> bool:
    """Whether ``text`` can stand in CDN-Loop as the name of a service: a token that needs no quotes (RFC 8586 §2)."""
    return _LOOP_ID.fullmatch(text) is not None


def is_loop(text: str, loop_id: str) -> bool:
    """Whether the value of CDN-Loop says that the service ``loop_id`` has already passed the request on.

    Host names are compared without regard to case (RFC 3986 §3.2.2). An empty ``loop_id`` is no service.
    """
    names = (member.partition(";")[0].strip().lower() for member in _split(text))
    return loop_id != "" and loop_id.lower() in names


def directives(text: str) -> dict[str, str]:
    """The directives of a Cache-Control by lower-case name, the first of each; an empty text where none is given."""
    found: dict[str, str] = {}
    for member in _split(text):
        name, _, value = member.partition("=")
        # RFC 9111 §5.2: both the token and the quoted form of every argument are to be understood.
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def _split(text: str) -> Iterator[str]:
    """The members of a list, at commas outside of quotes (RFC 9110 §5.6.1)."""
    start, quoted, escaped = 0, False, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            yield text[start:position]
            start = position + 1
    # A quote that is never closed hides nothing: a no-store behind it counts.
    yield from text[start:].split(",") if quoted else (text[start:],)


def seconds(text: str) -> int:
    """A number of seconds; what is none makes an answer stale at once (RFC 9111 §4.2.1)."""
    match = _DIGITS.fullmatch(text)
    if match is None:
        return 0
    # Python refuses to read thousands of digits.
    return min(int(match[1]), LONGEST_S) if len(match[1]) < 12 else LONGEST_S


def moment(date: str) -> float | None:
    """A date of HTTP in Unix seconds; None for what is none, "0" above all: it lies in the past (RFC 9111 §5.3)."""
    try:
        found = parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # OverflowError: an hour, a year or a time zone of many digits
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def is_loopback(host: str) -> bool:
    """Whether a name or an address, of IPv6 with or without brackets, is this machine's own. No name is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
