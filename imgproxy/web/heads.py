"""The head of a request, read as strictly as RFC 9112 allows. Pure.

Whatever two readers could read in two ways is refused before any parser sees it: that is what request smuggling
lives on. The parser behind this gate is llhttp, which refuses most of it, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
_TELLING = HOST, LENGTH, CODING, UPGRADE = (
    b"\nhost:",
    b"\ncontent-length:",
    b"\ntransfer-encoding:",
    b"\nupgrade:",
)
_UPGRADE = re.compile(rb"(?im)^upgrade:.*\n")

# What can be an authority without a user (RFC 3986 §3.2), which no Host has.
_HOST = re.compile(rb"[\w.~!$&'()*+,;=:%\[\]-]*+", re.ASCII)
_LENGTH = re.compile(rb"[0-9]{1,18}")


_BROKEN = "A line does not end with CR and LF."


class BadHead(ValueError):
    """A head that is refused; the message is for whoever sent it."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a connection has to know of a head that is in order."""

    text: bytes
    """What the parser is to read: without Upgrade, which this server ignores and the parser would not."""
    target: bytes
    """Path and query, as sent."""
    body: int | None
    """Bytes of the body that follows; None if it comes in chunks."""


def read(head: bytes) -> Head:
    """A complete head, its empty line included. Raises ``BadHead``."""
    match = _HEAD.fullmatch(head)
    if match is None:
        raise BadHead(_cause(head))
    if match["fields"].count(b"\n") > MAX_FIELDS:
        raise BadHead("Too many header fields.")
    target = match["target"]
    if target == b"*" and match["method"] != b"OPTIONS":
        raise BadHead("Malformed request target.")
    if not target.startswith((b"/", b"*")):
        target = target[target.index(b"/", len("https://")) :]
    told = _telling(match["fields"])
    _check_host(told.get(HOST, []), needed=match["minor"] == b"1")
    body = _body(told, minor=match["minor"])
    return Head(_UPGRADE.sub(b"", head) if UPGRADE in told else head, target, body)


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


def _telling(fields: bytes) -> dict[bytes, list[bytes]]:
    """The values of the fields that decide something, in small letters. A pattern takes twice as long to find them."""
    text = b"\n" + fields.lower()
    return {name: _values(text, name) for name in _TELLING if name in text}


def _values(text: bytes, name: bytes) -> list[bytes]:
    return [piece.partition(b"\r")[0].strip(b" \t") for piece in text.split(name)[1:]]


def _check_host(hosts: list[bytes], *, needed: bool) -> None:
    """RFC 9112 §3.2: exactly one Host, and a valid one. What it says decides nothing here."""
    if len(hosts) > 1 or (needed and not hosts):
        raise BadHead("Expected one Host header field.")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise BadHead("Malformed Host header field.")


def _body(told: dict[bytes, list[bytes]], *, minor: bytes) -> int | None:
    """How long the body is; None in chunks. One header field says so, in one way (RFC 9112 §6.3)."""
    lengths, codings = told.get(LENGTH, []), told.get(CODING, [])
    if codings:
        if lengths or minor == b"0" or codings != [b"chunked"]:
            raise BadHead("Ambiguous length of the body.")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise BadHead("Ambiguous length of the body.")
    return int(lengths[0])
