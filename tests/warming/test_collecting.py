from __future__ import annotations

import pytest

from imgproxy.warming import collecting
from imgproxy.warming.collecting import collect, is_url
from imgproxy.warming.places import Place
from imgproxy.warming.sitemaps import BadSitemap
from tests.warming.answering import answering, said
from tests.warming.test_sitemaps import INDEX, PAGES

PLACE = Place("http", "img.example.com", 80)
IMAGES = ["https://example.com/a.jpg?x=1&y=2", "https://example.com/b.jpg"]


def index(*urls: str) -> bytes:
    listed = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls)
    return f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{listed}</sitemapindex>'.encode()


def test_what_is_fetched() -> None:
    assert is_url("https://a/sitemap.xml")
    assert not is_url("sitemap.xml")


async def test_lists_and_sitemaps_of_files() -> None:
    assert (await collect(b"/a\n# no\n/b\n", "list", PLACE)).urls == ["/a", "/b"]
    found = await collect(PAGES, "sitemap.xml", PLACE)
    assert (found.urls, found.pages, found.failures) == (IMAGES, 2, [])


async def test_a_sitemap_by_its_url() -> None:
    async with answering(map=[said("200 OK", PAGES)]) as server:
        found = await collect(None, f"{server.place.origin}/map", PLACE)
    assert found.urls == IMAGES


async def test_an_index_leads_to_no_other_host() -> None:
    async with answering(one=[said("200 OK", PAGES)], gone=[said("404 Not Found")]) as server, answering() as other:
        own, elsewhere = server.place.origin, other.place.origin
        listed = index(f"{own}/one", f"{elsewhere}/two", f"{own}/gone", f"{own}/inner")
        server.answers |= {"/index": [said("200 OK", listed)], "/inner": [said("200 OK", INDEX)]}
        found = await collect(None, f"{own}/index", PLACE)
        assert other.asked == []
        assert server.asked == ["/index", "/one", "/gone", "/inner"]
    assert found.urls == IMAGES
    reasons = dict(found.failures)
    assert f"only {own} is asked" in reasons[f"{elsewhere}/two"]
    assert "answered with 404" in reasons[f"{own}/gone"]
    assert reasons["https://example.com/1.xml"] == "in an index that is named by an index"


async def test_an_index_in_a_file_is_followed_at_the_place_that_is_asked() -> None:
    async with answering(one=[said("200 OK", PAGES)]) as server:
        found = await collect(index(f"{server.place.origin}/one", "http://127.0.0.1:9/x"), "index.xml", server.place)
    assert (found.urls, len(found.failures)) == (IMAGES, 1)


@pytest.mark.parametrize(
    ("name", "limit", "body", "reason"),
    [
        ("_LONGEST_LIST", 3, b"/a\n/b", "a list of more than"),
        ("_LONGEST_LIST", 99, b"\xff", "UTF-8"),
        ("LARGEST", 99, None, "disconnected|attempts"),
    ],
)
async def test_what_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: int, body: bytes | None, reason: str
) -> None:
    monkeypatch.setattr(collecting, name, limit)
    with pytest.raises(BadSitemap, match=reason):
        await collect(body, "http://127.0.0.1:9/", PLACE)


async def test_the_sum_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MOST", 1)
    monkeypatch.setattr(collecting, "_MOST_SITEMAPS", 1)
    async with answering(one=[said("200 OK", PAGES)], none=[said("200 OK", index())]) as server:
        own = server.place.origin
        with pytest.raises(BadSitemap, match="more than 1 images"):
            await collect(index(f"{own}/one"), "index.xml", server.place)
        found = await collect(index(f"{own}/none", f"{own}/none?2"), "index.xml", server.place)
    assert found.failures == [(f"{own}/none?2", "only the first 1 sitemaps of an index are read")]
