"""Reading sitemaps from strangers (sitemaps.org, and Google's extension for images): no entities, bounded, gzip too."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from xml.parsers import expat

LARGEST = 50 << 20
"""Bytes of a sitemap, unpacked: what the protocol allows."""
MOST = 1_000_000
"""URLs of one sitemap. The protocol allows 50,000 pages, each with 1,000 images."""
_LONGEST = 8192
_SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
_IMAGE = "http://www.google.com/schemas/sitemap-image/1.1"
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20


class BadSitemap(ValueError):
    """What is no sitemap, or too much of one; the message says why."""


@dataclass(frozen=True, slots=True)
class Sitemap:
    """What a sitemap lists."""

    images: tuple[str, ...]
    sitemaps: tuple[str, ...]
    """Of an index: the sitemaps that it names."""
    pages: int = 0


def is_sitemap(head: bytes) -> bool:
    """Whether a file is one, by its first bytes; lists of URLs begin neither with ``<`` nor with gzip's magic."""
    return head.startswith(_GZIP) or head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def read(body: bytes) -> Sitemap:
    """What a sitemap or an index of sitemaps lists. Raises ``BadSitemap``."""
    reader = _Reader()
    try:
        if body.startswith(_GZIP):
            unpacker = zlib.decompressobj(wbits=31)
            while body and not unpacker.eof:
                reader.feed(unpacker.decompress(body, _CHUNK))
                body = unpacker.unconsumed_tail
            if not unpacker.eof:
                raise BadSitemap("the gzip file is cut off")
        else:
            reader.feed(body)
        return reader.end()
    except zlib.error as error:
        raise BadSitemap(f"not gzip: {error}") from None
    except expat.ExpatError as error:
        raise BadSitemap(f"not XML: {error}") from None


class _Reader:
    """Takes a document piece by piece, and keeps only URLs."""

    def __init__(self) -> None:
        self._parser = parser = expat.ParserCreate("UTF-8", " ")  # which sitemaps are in, whatever they say
        parser.buffer_text = True
        # A sitemap needs no document type, and entities, external ones included, need one.
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._finish
        parser.CharacterDataHandler = self._text
        self._bytes = 0
        self._path: list[str] = []
        self._said: list[str] | None = None
        self._length = 0
        self._images: dict[str, None] = {}
        self._sitemaps: dict[str, None] = {}
        self._pages = 0

    def feed(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._bytes > LARGEST:
            raise BadSitemap(f"more than {LARGEST >> 20} MiB, which the protocol does not allow")
        self._parser.Parse(chunk, False)

    def end(self) -> Sitemap:
        self._parser.Parse(b"", True)
        return Sitemap(tuple(self._images), tuple(self._sitemaps), self._pages)

    def _refuse(self, *_: object) -> None:
        raise BadSitemap("it has a document type, which sitemaps have no use for")

    def _start(self, name: str, _: dict[str, str]) -> None:
        if not self._path and name not in {f"{_SITEMAP} urlset", f"{_SITEMAP} sitemapindex"}:
            raise BadSitemap(
                f"its root is <{name.rpartition(' ')[2][:40]}>; expected <urlset> or <sitemapindex> of {_SITEMAP}"
            )
        self._path.append(name)
        if len(self._path) > _DEEPEST:
            raise BadSitemap("its elements are nested too deep")
        if name.endswith(" loc"):
            self._said, self._length = [], 0

    def _text(self, text: str) -> None:
        if self._said is not None:
            self._length += len(text)
            if self._length > _LONGEST:
                raise BadSitemap(f"a URL of more than {_LONGEST} characters")
            self._said.append(text)

    def _finish(self, name: str) -> None:
        self._path.pop()
        if self._said is None or not name.endswith(" loc"):
            return
        url, self._said = "".join(self._said).strip(), None
        inside = self._path[-1] if self._path else ""
        if name == f"{_IMAGE} loc":
            self._images[url] = None
        elif inside == f"{_SITEMAP} sitemap":
            self._sitemaps[url] = None
        elif inside == f"{_SITEMAP} url":
            self._pages += 1
        if len(self._images) + len(self._sitemaps) > MOST:
            raise BadSitemap(f"more than {MOST} URLs")


_DEEPEST = 50
