"""The head of a request, read as strictly as RFC 9112 allows. Pure.

Whatever two readers could read in two ways is refused before any parser sees it: that is what request smuggling
lives on. The parser behind this gate is llhttp, which refuses most of it, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_FIELDS = 256
"""Most header lines; browsers send about 20, a chain of proxies some more."""

# Origin form, absolute form (RFC 9112 §3.2.2: a server must take it), or the asterisk of OPTIONS. Bytes above
# 0x7f are sent by curl and served by Go.
_LINE = (
    rb"(?P<method>[A-Z][A-Z-]*+) "
    rb"(?P<target>(?:(?i:https?)://[\w.:%\[\]-]++)?+/[\x21-\x7e\x80-\xff]*+|\*) "
    rb"HTTP/1\.(?P<minor>[01])\r\n"
)
# A name is a token, right before its colon (§5.1); a value has no controls but tabs; a line that begins with a blank
# would continue the one before (obs-fold, §5.2). Each line ends with CR and LF (§2.2 would allow LF alone).
_FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e\x80-\xff]*+\r\n"
_HEAD = re.compile(_LINE + rb"(?P<fields>(?:" + _FIELD + rb")*+)\r\n")
_BEGINNING = re.compile(_LINE)

# One half of a line's end without the other.
_BROKEN_END = re.compile(rb"(?<!\r)\n|\r[^\n]")
_UPGRADE = re.compile(rb"(?im)^upgrade:.*\n")

# What can be an authority without a user (RFC 3986 §3.2), which no Host has.
_HOST = re.compile(r"[\w.~!$&'()*+,;=:%\[\]-]*+", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,18}")


_BROKEN = "A line does not end with CR and LF."


class BadHead(ValueError):
    """A head that is refused; the message is for whoever sent it."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a connection has to know of a head that is in order."""

    text: bytes
    """What the parser is to read: without Upgrade, which this server ignores and the parser would not."""
    method: bytes
    target: bytes
    """Path and query, as sent."""
    headers: dict[str, str]
    """The values by lower-case name; those of repeated ones joined (RFC 9110 §5.3)."""
    body: int | None
    """Bytes of the body that follows; None if it comes in chunks."""
    minor: bytes
    """Of HTTP's version: b"1", or b"0"."""


def read(head: bytes) -> Head:
    """A complete head, its empty line included. Raises ``BadHead``."""
    match = _HEAD.fullmatch(head)
    if match is None:
        raise BadHead(_cause(head))
    method, target, minor, fields = match.group("method", "target", "minor", "fields")
    if fields.count(b"\n") > MAX_FIELDS:
        raise BadHead("Too many header fields.")
    if target == b"*" and method != b"OPTIONS":
        raise BadHead("Malformed request target.")
    if not target.startswith((b"/", b"*")):
        target = target[target.index(b"/", len("https://")) :]
    headers = _headers(fields)
    _check_host(headers.get("host"), needed=minor == b"1")
    body = _body(headers.get("content-length"), headers.get("transfer-encoding"), minor=minor)
    text = _UPGRADE.sub(b"", head) if "upgrade" in headers else head
    return Head(text, method, target, headers, body, minor)


def _headers(fields: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in fields.decode("latin-1").split("\r\n")[:-1])
    return joined((name.lower(), value.strip(" \t")) for name, _, value in lines)


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header fields by name; the values of repeated ones joined (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def check_beginning(beginning: bytearray, searched: int) -> None:
    """Raise ``BadHead`` for a head that cannot be continued to a good one; it was looked at up to ``searched``."""
    if _BROKEN_END.search(beginning, max(0, searched - 1)):
        raise BadHead(_BROKEN)
    line_end = beginning.find(b"\r\n")
    if line_end + 2 > max(searched, 1) and _BEGINNING.match(beginning) is None:
        raise BadHead("Malformed request line.")


def _cause(head: bytes) -> str:
    if _BROKEN_END.search(head):
        return _BROKEN
    return "Malformed header field." if _BEGINNING.match(head) else "Malformed request line."


def _check_host(host: str | None, *, needed: bool) -> None:
    """RFC 9112 §3.2: exactly one Host, and a valid one. What it says decides nothing here."""
    if host is None:
        if needed:
            raise BadHead("Expected one Host header field.")
    elif not _HOST.fullmatch(host):
        # Two of them, too: a comma with a blank is in no host.
        raise BadHead("Malformed Host header field.")


def _body(length: str | None, coding: str | None, *, minor: bytes) -> int | None:
    """How long the body is; None in chunks. One header field says so, in one way (RFC 9112 §6.3)."""
    if coding is not None:
        if length is not None or minor == b"0" or coding.lower() != "chunked":
            raise BadHead("Ambiguous length of the body.")
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise BadHead("Ambiguous length of the body.")
    return int(length)
