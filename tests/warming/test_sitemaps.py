from __future__ import annotations

import gzip

import pytest

from imgproxy.warming import sitemaps
from imgproxy.warming.sitemaps import BadSitemap, is_sitemap, read

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    ' xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">'
)
PAGES = f"""{HEAD}
<url><loc>https://example.com/</loc>
  <image:image><image:loc> https://example.com/a.jpg?x=1&amp;y=2 </image:loc></image:image>
  <image:image><image:loc><![CDATA[https://example.com/b.jpg]]></image:loc><image:title>b</image:title></image:image>
</url>
<url><loc>https://example.com/2</loc><image:image><image:loc>https://example.com/b.jpg</image:loc></image:image></url>
</urlset>""".encode()
INDEX = b"""<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<sitemap><loc>https://example.com/1.xml</loc><lastmod>2026-01-01</lastmod></sitemap>
<sitemap><loc>https://example.com/2.xml.gz</loc></sitemap></sitemapindex>"""


@pytest.mark.parametrize("body", [PAGES, gzip.compress(PAGES)], ids=["plain", "gzip"])
def test_images_of_pages(body: bytes) -> None:
    assert is_sitemap(body)
    found = read(body)
    assert found.images == ("https://example.com/a.jpg?x=1&y=2", "https://example.com/b.jpg")
    assert (found.sitemaps, found.pages) == ((), 2)


def test_sitemaps_of_an_index() -> None:
    assert read(INDEX).sitemaps == ("https://example.com/1.xml", "https://example.com/2.xml.gz")


@pytest.mark.parametrize("text", [b"http://a/", b"", b"# <", b"/x/plain/<"])
def test_lists_are_no_sitemaps(text: bytes) -> None:
    assert not is_sitemap(text)
    assert is_sitemap(b"\xef\xbb\xbf \n<urlset/>")


BILLION = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "root is <html>"),
        (b"<urlset/>", "root is <urlset>"),
        (HEAD.encode(), "not XML"),
        (BILLION + PAGES.partition(b"?>")[2], "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + INDEX, "document type"),
        (gzip.compress(PAGES)[:-20], "cut off"),
        (b"\x1f\x8b" + b"x" * 40, "not gzip"),
        (PAGES.replace(b"</url>", b"<a>" * 60 + b"</a>" * 60 + b"</url>", 1), "too deep"),
        (PAGES.replace(b"b.jpg", b"b" * 9000, 1), "more than 8192 characters"),
        (PAGES.replace(b"b.jpg", b"\xe9.jpg", 1), "not XML"),
    ],
)
def test_what_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(BadSitemap, match=reason):
        read(body)


def test_bombs_are_noticed_while_they_are_unpacked() -> None:
    bomb = gzip.compress(HEAD.encode() + b" " * (60 << 20))
    assert len(bomb) < 100_000
    with pytest.raises(BadSitemap, match="more than 50 MiB"):
        read(bomb)


def test_urls_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemaps, "MOST", 1)
    with pytest.raises(BadSitemap, match="more than 1 URLs"):
        read(INDEX)


def test_a_loc_of_something_else_is_passed_over() -> None:
    odd = PAGES.replace(b"</urlset>", b'<v xmlns="urn:x"><loc>http://v/</loc></v></urlset>')
    assert read(odd) == read(PAGES)
