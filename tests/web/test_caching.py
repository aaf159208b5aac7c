from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.freshness import FreshnessSettings
from imgproxy.model import Caching, Found, Lifetime, Reply, Unchanged, Validators
from imgproxy.options import Cachebuster, Options
from imgproxy.web.caching import TAGS_BYTES, CacheHeaders, cache_status, tag_headers
from tests.web.border import plan, reply

NOW = 1_700_000_000.0


def headers(answer: Reply | Unchanged, *, behind_edge: bool = False, **settings: Any) -> dict[str, str]:
    caches = CacheHeaders(FreshnessSettings.model_validate(settings), lambda: NOW, behind_edge=behind_edge)
    return dict(caches.image(answer))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Found("memory", age=1, ttl=59.9), "imgproxy; hit; ttl=59; detail=memory"),
        (Found("redis", ttl=0.5), "imgproxy; hit; ttl=0; detail=redis"),
        (Found("memory", ttl=-5), "imgproxy; hit; ttl=-5; detail=memory/stale"),
        (Found("store", ttl=-0.5), "imgproxy; hit; ttl=-1; detail=store/stale"),
        (Found(forwarded="uri-miss"), "imgproxy; fwd=uri-miss"),
        (Found(forwarded="uri-miss", stored=True), "imgproxy; fwd=uri-miss; stored"),
        (Found(forwarded="uri-miss", stored=True, collapsed=True), "imgproxy; fwd=uri-miss; stored; collapsed"),
        (Found("memory", ttl=0.0), "imgproxy; hit; ttl=0; detail=memory/stale"),
        (Found("", "stale", stored=True, renewed=True, ttl=60), "imgproxy; fwd=stale; stored; fwd-status=304"),
        (Found("memory", "stale", ttl=-9), "imgproxy; fwd=stale; ttl=-9; detail=memory/stale"),
        (
            Found("memory", "stale", collapsed=True, ttl=-9),
            "imgproxy; fwd=stale; collapsed; ttl=-9; detail=memory/stale",
        ),
        (Found("", "stale", stored=True), "imgproxy; fwd=stale; stored"),
        (Found(forwarded="bypass"), "imgproxy; fwd=bypass"),
    ],
)
def test_cache_status(found: Found, expected: str) -> None:
    assert cache_status(found) == [("Cache-Status", expected)]


def test_without_a_cache_there_is_no_cache_status() -> None:
    assert cache_status(Found()) == []


def test_a_hit_says_how_old_it_is_and_what_it_can_be_purged_by() -> None:
    given_ = reply(found=Found("memory", age=7.9, ttl=52.1), tags=("host:example.com", "shoes"))
    assert headers(given_) == {
        "Cache-Control": "max-age=31536000, public",
        "Age": "7",
        "Cache-Status": "imgproxy; hit; ttl=52; detail=memory",
        "Surrogate-Key": "host:example.com shoes",
        "Cache-Tag": "host:example.com,shoes",
    }
    assert not {"Surrogate-Key", "Cache-Tag"} & headers(given_, cache_tag_headers=False).keys()


def test_a_304_says_the_same_as_the_image() -> None:
    given_ = reply(
        of=plan(expires=int(NOW) + 30),
        found=Found("memory", age=7, ttl=53, generation=4),
        tags=("a",),
        lifetime=Lifetime(60),
        caching=Caching("max-age=9"),
    )
    unchanged = Unchanged(given_.plan, Validators(), given_.caching, given_.found, given_.tags, given_.lifetime)
    assert headers(given_, behind_edge=True) == headers(unchanged, behind_edge=True)


def test_the_edge_is_told_more() -> None:
    given_ = reply(found=Found(forwarded="uri-miss", ttl=60, generation=4), lifetime=Lifetime(60, 60))
    plain, edge = headers(given_), headers(given_, behind_edge=True)
    assert edge.items() - plain.items() == {("X-Accel-Expires", "60"), ("X-Imgproxy-Generation", "4")}
    expiring = replace(given_, plan=plan(expires=int(NOW) + 30))
    told = headers(expiring, behind_edge=True)
    assert (told["X-Accel-Expires"], told["X-Imgproxy-Expires"]) == ("30", str(int(NOW) + 30))


def test_the_edge_keeps_no_fallback_image() -> None:
    given_ = reply(fallback_for=502, found=Found(ttl=60))
    assert headers(given_, behind_edge=True, negative_cache_ttl=3)["X-Accel-Expires"] == "0"


def test_cdns_have_a_header_of_their_own() -> None:
    assert headers(reply(), cdn_ttl="1h")["CDN-Cache-Control"] == "max-age=3600"


def test_only_a_cachebuster_makes_an_image_immutable() -> None:
    busted = replace(plan(), options=Options((Cachebuster("v2"),)))
    assert headers(reply(of=busted), cache_control_immutable=True)["Cache-Control"].endswith(", immutable")
    assert "immutable" not in headers(reply(), cache_control_immutable=True)["Cache-Control"]


@pytest.mark.parametrize(("status", "freshness"), [(200, True), (206, True), (304, True), (404, False)])
def test_raw(status: int, freshness: bool) -> None:
    caches = CacheHeaders(FreshnessSettings(cdn_ttl=9), lambda: NOW, behind_edge=True)
    lifetime = {"Cache-Control": "max-age=31536000, public", "CDN-Cache-Control": "max-age=9"} if freshness else {}
    found = dict(caches.raw(plan(), status, Caching()))
    assert found == lifetime | {"Cache-Status": "imgproxy; fwd=bypass", "X-Accel-Expires": "0"}
    assert "X-Accel-Expires" not in dict(CacheHeaders(FreshnessSettings(), lambda: NOW).raw(plan(), status, Caching()))


def test_raw_that_must_not_be_stored_is_not_given_to_cdns() -> None:
    caches = CacheHeaders(FreshnessSettings(cdn_ttl=9, cache_control_passthrough=True), lambda: NOW)
    found = dict(caches.raw(plan(expires=int(NOW) + 5), 200, Caching("no-store")))
    assert "CDN-Cache-Control" not in found


def test_tags_that_would_be_two_or_none_are_left_out() -> None:
    assert tag_headers(("a,b", "a b", "", "é", "a\r\nb", "preset:thumb@3")) == [
        ("Surrogate-Key", "preset:thumb@3"),
        ("Cache-Tag", "preset:thumb@3"),
    ]
    assert tag_headers(("a,b",)) == []


@given(st.lists(st.text(max_size=50) | st.just("x" * 1000)))
def test_tags_stay_short_and_plain(tags: list[str]) -> None:
    for _, value in tag_headers(tags):
        assert 0 < len(value) <= TAGS_BYTES
        assert value.isascii()
        assert value.isprintable()


def test_as_many_tags_as_there_is_room_for() -> None:
    (_, value), _ = tag_headers(["x" * 99] * 50)
    assert len(value) == 40 * 100 - 1
