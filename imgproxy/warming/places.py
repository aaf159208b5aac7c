"""Which server is asked, and which targets of a list are its own. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from imgproxy.signing import path_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imgproxy.signing import Signer

_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class BadPlace(ValueError):
    """A server that cannot be asked, or a URL that is not one of its; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server: scheme, host and port, or a unix socket. Nothing else is ever asked."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """What all targets begin with; no slash at its end."""
    socket: str = ""
    """The path of a unix socket; empty for TCP."""

    @classmethod
    def parse(cls, url: str) -> Place:
        """The place of an absolute URL. Raises ``BadPlace``."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise BadPlace(f"{url!r} is no URL: {error}") from None
        if parts.scheme not in _PORTS or not host or not host.isascii():
            raise BadPlace(f"expected http://host[:port] or https://host[:port], got {url!r}")
        if parts.username is not None or parts.query or parts.fragment:
            raise BadPlace("expected a URL without user, query and fragment")
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))

    @property
    def origin(self) -> str:
        """As it stands in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    def target_of(self, line: str) -> str:
        """The target that a URL, or a path of this server, is asked for with. Raises ``BadPlace``."""
        match = _ORIGIN.match(line)
        if match is None:
            if not line.startswith("/") or line.startswith("//"):
                raise BadPlace("expected a URL, or a path that begins with /")
            return self.path + _sendable(line)
        if match[0].partition("://")[0].lower() not in _PORTS:
            raise BadPlace("it is a source and no URL of an image: --preset makes one of it")
        place = Place.parse(match[0])
        if (place.scheme, place.host, place.port) != (self.scheme, self.host, self.port):
            raise BadPlace(f"it is on {place.origin}; only {self.origin} is asked")
        return _sendable(line[match.end() :].partition("#")[0] or "/")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to ask for."""

    target: str
    accept: str = "*/*"


def items(targets: Iterable[str], accepts: Sequence[str]) -> Iterator[Item]:
    """Each target once with each Accept header, in order."""
    for target in dict.fromkeys(targets):
        for accept in accepts or ("*/*",):
            yield Item(target, accept)


def shaped(source: str, presets: Sequence[str], signer: Signer, prefix: str, *, only_presets: bool) -> Iterator[str]:
    """The signed targets of a source, one for each preset."""
    for preset in presets:
        yield prefix + signer.sign(path_of(source, (preset if only_presets else f"pr:{preset}",)))


def lines_of(text: str) -> Iterator[str]:
    """The lines that say something; ``#`` begins a comment."""
    for line in text.removeprefix("\ufeff").splitlines():
        if (stripped := line.strip()) and not stripped.startswith("#"):
            yield stripped


def _sendable(target: str) -> str:
    """The target with everything encoded that cannot stand in a request; what is encoded stays as it is."""
    return quote(target, safe=_PRINTABLE)
