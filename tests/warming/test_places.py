from __future__ import annotations

import pytest

from imgproxy.signing import Signer
from imgproxy.warming.places import BadPlace, Item, Place, items, lines_of, shaped
from tests.serving import SIGNER, signed

PLACE = Place("https", "img.example.com", 443)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://a", Place("http", "a", 80)),
        ("https://A.example/", Place("https", "a.example", 443)),
        ("http://[::1]:81/img/", Place("http", "::1", 81, "/img")),
    ],
)
def test_places(url: str, place: Place) -> None:
    assert Place.parse(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "ftp://a",
        "http://",
        "http://a:x",
        "http://a:99999",
        "http://u:p@a",
        "http://a?x",
        "http://[",
        "http://é",
    ],
)
def test_what_is_no_place(url: str) -> None:
    with pytest.raises(BadPlace):
        Place.parse(url)


def test_origins() -> None:
    assert Place("http", "a", 80).origin == "http://a"
    assert Place("http", "::1", 443).origin == "http://[::1]:443"


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("https://img.example.com/x/../plain/a%20b@webp", "/x/../plain/a%20b@webp"),
        ("HTTPS://IMG.example.com:443/x", "/x"),
        ("https://img.example.com", "/"),
        ("https://img.example.com/a?b#c", "/a?b"),
        ("/x/é y\x01", "/x/%C3%A9%20y%01"),
    ],
)
def test_targets(line: str, target: str) -> None:
    assert PLACE.target_of(line) == target


def test_paths_stand_below_the_places_own() -> None:
    assert Place("http", "a", 80, "/img").target_of("/x") == "/img/x"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("http://img.example.com/x", "only https://img.example.com is asked"),
        ("https://img.example.com:444/x", "only https"),
        ("https://img.example.com.evil/x", "only https"),
        ("https://img.example.com@evil/x", "without user"),
        ("https://evil\\@img.example.com/x", "user"),
        ("//evil/x", "expected a URL"),
        ("x.jpg", "expected a URL"),
        ("local:///a.jpg", "--preset"),
    ],
)
def test_what_is_elsewhere_is_never_asked(line: str, reason: str) -> None:
    with pytest.raises(BadPlace, match=reason):
        PLACE.target_of(line)


def test_each_target_once_with_each_accept() -> None:
    assert list(items(["/a", "/b", "/a"], ())) == [Item("/a"), Item("/b")]
    assert list(items(["/a"], ("image/webp", "*/*"))) == [Item("/a", "image/webp"), Item("/a")]


def test_sources_in_presets() -> None:
    source = "http://example.com/a.jpg"
    assert list(shaped(source, ["card", "hero"], SIGNER, "/img", only_presets=False)) == [
        "/img" + signed(source, "pr:card"),
        "/img" + signed(source, "pr:hero"),
    ]
    assert list(shaped(source, ["card"], Signer(), "", only_presets=True)) == [f"/unsafe/card/plain/{source}"]


def test_lines() -> None:
    assert list(lines_of("\ufeff# all\n\n /a \r\n/b\n")) == ["/a", "/b"]
