"""From what the command is given, a list or a sitemap, to the URLs in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imgproxy.warming.asking import Asker
from imgproxy.warming.places import BadPlace, Place, lines_of
from imgproxy.warming.sitemaps import LARGEST, BadSitemap, is_sitemap, read

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 1_000_000
"""URLs; their targets take half a gigabyte then."""
_MOST_SITEMAPS = 5000
_LONGEST_LIST = 512 << 20


@dataclass(slots=True)
class Collected:
    """The URLs of a list, or of a sitemap's images, and what of it could not be read."""

    urls: list[str] = field(default_factory=list[str])
    failures: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """URLs of sitemaps, each with the reason."""
    pages: int = 0
    """Pages that sitemaps list; they are not asked for."""


def is_url(given: str) -> bool:
    """Whether it is to be fetched; else it is a file."""
    return given.startswith(("http://", "https://"))


async def collect(body: bytes | None, given: str, place: Place) -> Collected:
    """What ``body`` lists; None: what is at the URL ``given``.

    Sitemaps of an index are fetched from the host of the index, or from ``place`` if that is a file. Raises
    ``BadSitemap`` and ``BadPlace``.
    """
    allowed = Place.parse(_origin(given)) if is_url(given) else place
    collected = Collected()
    async with Asker(allowed, concurrency=1) as asker:
        if body is None:
            body = await _fetched(asker, allowed, given)
        if not is_sitemap(body[:1000]):
            collected.urls.extend(_listed(body))
            return collected
        sitemap = read(body)
        collected.urls.extend(sitemap.images)
        collected.pages = sitemap.pages
        for number, url in enumerate(sitemap.sitemaps):
            if number >= _MOST_SITEMAPS:
                collected.failures.append((url, f"only the first {_MOST_SITEMAPS} sitemaps of an index are read"))
                continue
            try:
                inner = read(await _fetched(asker, allowed, url))
            except (BadSitemap, BadPlace) as error:
                collected.failures.append((url, str(error)))
                continue
            collected.failures += [(each, "in an index that is named by an index") for each in inner.sitemaps]
            collected.pages += inner.pages
            collected.urls.extend(inner.images)
            if len(collected.urls) > MOST:
                raise BadSitemap(f"more than {MOST} images: give its sitemaps one by one")
    return collected


def _listed(body: bytes) -> Iterator[str]:
    if len(body) > _LONGEST_LIST:
        raise BadSitemap(f"a list of more than {_LONGEST_LIST >> 20} MiB")
    try:
        yield from lines_of(body.decode())
    except UnicodeDecodeError:
        raise BadSitemap("a list of URLs is UTF-8 text") from None


async def _fetched(asker: Asker, allowed: Place, url: str) -> bytes:
    target = Place(allowed.scheme, allowed.host, allowed.port).target_of(url)
    try:
        return await asker.read(target, LARGEST)
    except OSError as error:
        raise BadSitemap(f"{url}: {error}") from None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
