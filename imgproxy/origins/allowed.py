"""Which sources the operator allows: ``IMGPROXY_ALLOWED_SOURCES``, compared by parts, not as text.

A pattern is ``scheme://host[:port][/path]``, with ``*`` for anything but a slash, as in imgproxy.
There it is a prefix of the URL's text, so that ``http://example.com`` also allows
``http://example.com.evil/`` and ``http://example.com@evil/`` (CVE-2025-54387 of IPX). Here:

* scheme, host and port match whole; no port is the scheme's own; no host is any host and port;
* a path ending in ``/`` allows what lies below; any other path allows itself and what lies below
  it, so that ``/data`` is not ``/data-secret``; a path with ``?`` is a plain prefix;
* where a pattern has a path, a URL that hides ``..`` behind escapes is not allowed: the origin may
  resolve it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable

PORTS = {"http": 80, "https": 443}

_PATTERN = re.compile(
    r"(?P<scheme>[A-Za-z*][A-Za-z0-9+.*-]*)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]\\\s]*)(?::(?P<port>\d+|\*))?"
    r"(?P<path>/[^#\s]*)?"
)

# Windows also drops dots and blanks at the end of a name, and C ends it at NUL.
_UPWARDS = re.compile(r"[\x00-\x20]*\.\.[\x00-\x20.]*")
_DEEPEST = 4
"""Readings of a path: as it is, and unescaped once, twice and three times, as origins behind origins do."""


@dataclass(frozen=True, slots=True)
class _Rule:
    scheme: re.Pattern[str]
    host: re.Pattern[str] | None
    port: str
    path: re.Pattern[str] | None

    def permits(self, url: httpx.URL, path: str) -> bool:
        if not self.scheme.fullmatch(url.scheme):
            return False
        if self.host and not (self.host.fullmatch(plain_host(url.raw_host.decode())) and self._permits_port(url)):
            return False
        return not self.path or (bool(self.path.match(path)) and not climbs(path))

    def _permits_port(self, url: httpx.URL) -> bool:
        usual = PORTS.get(url.scheme)
        return self.port == "*" or (url.port or usual) == (int(self.port) if self.port else usual)


class AllowedSources:
    """The compiled list; an empty one allows everything. ValueError for an unreadable pattern."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = tuple(_compile(pattern) for pattern in patterns)

    def permit(self, url: httpx.URL) -> bool:
        """Whether this URL may be fetched."""
        return not self._rules or any(rule.permits(url, path_of(url)) for rule in self._rules)


def _compile(pattern: str) -> _Rule:
    parts = _PATTERN.fullmatch(pattern)
    if parts is None:
        raise ValueError(f"expected scheme://host[:port][/path], got {pattern!r}")
    host = parts["host"]
    if host and "*" not in host:
        host = httpx.URL(f"http://{host}").raw_host.decode()  # as URLs spell it: IDNA, lower case
    return _Rule(
        _glob(parts["scheme"].lower(), "[^/]*"),
        _glob(plain_host(host), "[^/]*") if host else None,
        parts["port"] or "",
        _below(parts["path"]) if parts["path"] not in (None, "/") else None,
    )


def _below(path: str) -> re.Pattern[str]:
    whole = path.endswith("/") or "?" in path
    return _glob(path, "[^/?]*", end="" if whole else "(?=[/?]|$)")


def _glob(text: str, star: str, end: str = "") -> re.Pattern[str]:
    return re.compile(star.join(map(re.escape, text.split("*"))) + end)


def path_of(url: httpx.URL) -> str:
    """The path of a URL with its query, as it is compared."""
    path = url.raw_path.decode("ascii")
    # The key of a local source is literal: nothing in it is an escape or a query.
    return unquote(path) if url.scheme == "local" else path


def plain_host(host: str) -> str:
    """A host as it is compared: lower case, without brackets and the dot of the root."""
    return host.lower().strip("[]").removesuffix(".")


def climbs(path: str) -> bool:
    """Whether an origin might read ``..`` in a path, behind however many escapes."""
    for _ in range(_DEEPEST):
        # Tomcat ends a part at ";", Windows and some object stores at a backslash.
        if any(_UPWARDS.fullmatch(part) for part in re.split(r"[/\\;?]", path)):
            return True
        path = unquote(path)
    return False
