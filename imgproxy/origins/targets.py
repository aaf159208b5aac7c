"""Source URLs as what will be asked: parsed once, by one parser, and passed on as an object.

Two parsers that disagree are a hole (CVE-2023-38633), so that no other module here reads a URL's
text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

import httpx

from imgproxy.errors import InvalidUrl, SchemeForbidden, SourceForbidden, SourceUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

# After IDNA. Names such as "foo_bar" are not host names, but resolve in many an internal network.
_NAME = re.compile(r"(?=.{1,254}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
# WHATWG URL §3.5: a host whose last label is a number is an IPv4 address. In other than the usual form (127.1, 0x7f.1,
# 2130706433, 0177.0.0.1) it is one to some parsers and a name to others.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
# What one parser takes for the host and another one not: a second @, a backslash, a port in other digits than ASCII's
# (httpx reads full-width ones, "+80" and "8_0").
_AUTHORITY = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/?#]*)")
_PLAIN_AUTHORITY = re.compile(r"(?:[^@\\]*@)?(?:\[[^\[\]@\\]*\]|[^:@\[\]\\]*)(?::[0-9]{0,5})?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LOCAL = re.compile(r"local:", re.IGNORECASE)


@lru_cache(maxsize=1024)  # each request asks for its source's three times
def parse(text: str, query_separator: str = "?") -> httpx.URL:
    """The URL of a source.

    Keys of ``local://`` are literal: what looks like an escape or a fragment is part of the name. From the
    first ``query_separator`` on they are cut, as in imgproxy; an empty one cuts nothing.
    """
    if local := _LOCAL.match(text):
        name = text[local.end() :]
        return _local(name.partition(query_separator)[0] if query_separator else name)
    return _checked(_parsed(httpx.URL, text), text)


def follow(url: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect from ``url`` leads. Not from https to http: what a certificate vouched for must stay so."""
    # RFC 3986 §5.2.2: what has a scheme is taken as it is. httpx would join "http:///a" as if it were a path.
    read = httpx.URL if _SCHEME.match(location) else url.join
    try:
        target = _checked(_parsed(read, location), location)
    except InvalidUrl as error:
        raise SourceUnreachable("the origin redirects to a URL that cannot be read") from error
    if target.scheme not in ("http", "https"):
        raise SchemeForbidden(f"the origin redirects to {target.scheme}://")
    if url.scheme == "https" and target.scheme == "http":
        raise SchemeForbidden("the origin redirects from https:// to http://")
    return target


def key(url: httpx.URL) -> bytes:
    """The name of a ``local://`` URL, without the slash before it."""
    return unquote_to_bytes(url.raw_path).lstrip(b"/")


def _local(rest: str) -> httpx.URL:
    if not rest.startswith("///"):
        raise SourceForbidden("local URLs have no host: local:///path")
    name = rest[2:]
    if "\0" in name or ".." in name.split("/"):
        raise SourceForbidden("the path of a local URL holds `..` or NUL")
    # Names that are not UTF-8 arrive as surrogates.
    return _parsed(httpx.URL, "local://" + quote(name, errors="surrogateescape"))


def _parsed(read: Callable[[str], httpx.URL], text: str) -> httpx.URL:
    try:
        return read(text)
    except (httpx.InvalidURL, ValueError) as error:  # idna's errors are ValueErrors
        # The exception quotes the URL, which may hold credentials.
        raise InvalidUrl("the source URL cannot be read") from error


def _checked(url: httpx.URL, text: str) -> httpx.URL:
    if not url.scheme:
        raise SchemeForbidden("the source URL has no scheme")
    if url.scheme not in ("http", "https"):
        return url  # no host of ours to judge
    authority = _AUTHORITY.match(text)
    if authority and not _PLAIN_AUTHORITY.fullmatch(authority[1]):
        raise InvalidUrl("the source URL can be read in more than one way")
    if not _is_host(url.raw_host.decode("ascii")):
        raise InvalidUrl("the source URL has no host name that could exist, or an address not in the usual form")
    if url.port is not None and not 0 < url.port < 65536:
        raise InvalidUrl("the source URL has a port outside 1 to 65535")
    return url


def _is_host(host: str) -> bool:
    """Whether it is a name, or an address that everybody reads alike."""
    if ":" in host or _NUMBER.fullmatch(host):
        try:
            return "%" not in host and bool(ip_address(host))
        except ValueError:
            return False
    return _NAME.fullmatch(host) is not None
