from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.fields import LONGEST_S, directives, seconds
from imgproxy.freshness import (
    EDGE_STALE_S,
    STALE_S,
    FreshnessSettings,
    Outgoing,
    accel_expires,
    age,
    cache_control,
    cdn_cache_control,
    lifetime,
)
from imgproxy.model import Caching, Found, Lifetime

NOW = 1_700_000_000.0
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"  # NOW
LATER = "Tue, 14 Nov 2023 22:14:20 GMT"  # NOW + 60
DAY = 86400.0

STALE = Found("memory", age=300, ttl=-240)
FRESH = Found("memory", age=10, ttl=50)


ALL: dict[str, Any] = {
    "s_maxage": "1h",
    "stale_while_revalidate": "1h",
    "stale_if_error": "1h",
    "cache_control_immutable": True,
    "cdn_ttl": "1h",
}
TIMES = ("ttl", "fallback_image_ttl", "s_maxage", "stale_while_revalidate", "stale_if_error", "cdn_ttl")
SAID = st.none() | st.text() | st.sampled_from(["max-age=5", DATE, LATER, "7"])


def settings(**given_: Any) -> FreshnessSettings:
    return FreshnessSettings.model_validate(given_)


PASSING = settings(cache_control_passthrough=True)


def outgoing(caching: Caching | None = None, found: Found | None = None, **fields: Any) -> Outgoing:
    return Outgoing(NOW, caching or Caching(), found or Found(), **{"lifetime": Lifetime(), **fields})


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({}, Lifetime(60, DAY, DAY)),
        ({"result_cache_ttl": "1h"}, Lifetime(3600, DAY, DAY)),
        ({"ttl": 30}, Lifetime(30, DAY, DAY)),
        ({"ttl": 0}, Lifetime(0, 0, DAY)),
        ({"result_cache_ttl": 0}, Lifetime(0, DAY, DAY)),
        ({"result_cache_stale_while_revalidate": 5, "result_cache_stale_if_error": 6}, Lifetime(60, 5, 6)),
    ],
)
def test_lifetime_is_the_operators(given_: dict[str, Any], expected: Lifetime) -> None:
    assert lifetime(settings(**given_), Caching("no-store, s-maxage=1", "0", "9", "x")) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # nothing said
        (None, Lifetime(60, DAY, DAY)),
        ("public", Lifetime(60, DAY, DAY)),
        # not for us to keep
        ("no-store", Lifetime(storable=False)),
        ("max-age=60, PRIVATE", Lifetime(storable=False)),
        ('private="set-cookie"', Lifetime(storable=False)),
        ("no-store, no-cache", Lifetime(storable=False)),
        ("no-cache, max-age=60, stale-if-error=5", Lifetime()),
        # for how long
        ("max-age=7", Lifetime(7, DAY, DAY)),
        ("max-age=7200", Lifetime(7200, DAY, DAY)),
        ('max-age="7"', Lifetime(7, DAY, DAY)),
        ("max-age=7, max-age=8", Lifetime(7, DAY, DAY)),
        ("max-age=99999999999999999999", Lifetime(LONGEST_S, DAY, DAY)),
        ("max-age=soon", Lifetime(0, DAY, DAY)),
        ("max-age", Lifetime(0, DAY, DAY)),
        ("max-age=-1", Lifetime(0, DAY, DAY)),
        ("max-age=7, s-maxage=9", Lifetime(9)),
        ("s-maxage=0, max-age=7", Lifetime(0)),
        # what comes after
        ("max-age=7, must-revalidate", Lifetime(7)),
        ("max-age=7, proxy-revalidate, stale-while-revalidate=9", Lifetime(7)),
        ("s-maxage=7, stale-if-error=9", Lifetime(7, 0, 9)),
        ("must-revalidate", Lifetime(60)),
        ("max-age=7, stale-while-revalidate=8", Lifetime(7, 8, DAY)),
        ("max-age=7, stale-if-error=8", Lifetime(7, DAY, 8)),
        ("stale-while-revalidate=8, stale-if-error=9", Lifetime(60, 8, 9)),
        ("max-age=7, stale-while-revalidate", Lifetime(7, 0, DAY)),
    ],
)
def test_lifetime_is_the_origins(value: str | None, expected: Lifetime) -> None:
    assert lifetime(PASSING, Caching(value)) == expected


@pytest.mark.parametrize(
    ("caching", "fresh"),
    [
        (Caching(None, LATER, None, DATE), 60),
        (Caching("public", LATER, None, DATE), 60),
        (Caching("max-age=5", LATER, None, DATE), 5),
        (Caching("max-age=soon", LATER, None, DATE), 0),
        (Caching(None, DATE, None, LATER), 0),
        (Caching(None, "0", None, DATE), 0),
        (Caching(None, "", None, DATE), 0),
        (Caching(None, LATER, None, "today"), 0),
        (Caching(None, "Tue, 14 Nov 9023 22:13:20 GMT", None, DATE), LONGEST_S),
        # RFC 9111 §4.2.3: what the answer spent in other caches is gone
        (Caching(None, LATER, "50", DATE), 10),
        (Caching("max-age=60", None, "50"), 10),
        (Caching("max-age=60", None, "50, 20"), 10),
        (Caching("max-age=60", None, "61"), 0),
        (Caching("max-age=60", None, "-5"), 60),
        (Caching("max-age=60", None, "old"), 60),
        (Caching("max-age=60", None, "9" * 5000), 0),
        (Caching(None, None, "50"), 60),
    ],
)
def test_lifetime_counts_from_when_the_origin_gave_it(caching: Caching, fresh: float) -> None:
    assert lifetime(PASSING, caching).fresh == fresh


def test_lifetime_needs_a_date_for_expires() -> None:
    assert lifetime(PASSING, Caching(None, LATER)).fresh == 0
    assert lifetime(PASSING, Caching(None, LATER), NOW + 20).fresh == 40
    assert lifetime(PASSING, Caching(None, LATER, None, DATE), NOW + 20).fresh == 60


@given(st.builds(Caching, SAID, SAID, SAID, SAID))
def test_whatever_an_origin_says_is_a_lifetime(caching: Caching) -> None:
    found = lifetime(PASSING, caching)
    assert all(0 <= each <= LONGEST_S for each in (found.fresh, found.while_revalidate, found.if_error))


@given(st.text(), st.sampled_from(["no-store", "private", "No-Store=1", 'PRIVATE="x,y"']), st.text())
def test_what_must_not_be_stored_is_not(before: str, word: str, after: str) -> None:
    # A quote before it could hold it: then it is no directive, and RFC 9110 says so.
    assert not lifetime(PASSING, Caching(f"{before.replace(chr(34), '')}, {word}, {after}")).storable


@pytest.mark.parametrize(
    ("given_", "fields", "expected"),
    [
        ({}, {}, "max-age=31536000, public"),
        ({"ttl": 60}, {"caching": Caching("no-store", "0")}, "max-age=60, public"),
        ({"ttl": 0}, {}, "no-cache"),
        ({"ttl": 60}, {"expires": int(NOW) + 20}, "max-age=20, public"),
        ({"ttl": 60}, {"expires": int(NOW) + 90}, "max-age=60, public"),
        ({"ttl": 60}, {"expires": int(NOW) - 1}, "no-cache"),
        ({"ttl": 60}, {"found": FRESH}, "max-age=60, public"),
        ({"ttl": 60}, {"fallback": True}, "max-age=60, public"),
        ({"ttl": 60, "fallback_image_ttl": 5}, {"fallback": True}, "max-age=5, public"),
        ({"ttl": 0, "fallback_image_ttl": 5}, {"fallback": True}, "max-age=5, public"),
        ({"fallback_image_ttl": 50}, {"fallback": True, "expires": int(NOW) + 9}, "max-age=9, public"),
    ],
)
def test_cache_control_is_imgproxys(given_: dict[str, Any], fields: dict[str, Any], expected: str) -> None:
    assert cache_control(settings(**given_), outgoing(**fields)) == expected


@pytest.mark.parametrize(
    ("caching", "fields", "expected"),
    [
        (Caching("private, max-age=5", LATER), {}, "private, max-age=5"),
        (Caching("private", LATER), {"found": FRESH}, "private"),
        (Caching("no-cache"), {"found": Found("", "stale", ttl=-0.1)}, "no-cache"),
        (Caching("private"), {"expires": int(NOW) + 20}, "max-age=20, public"),
        (Caching("private"), {"fallback": True}, "private"),
        (Caching("a\r\nb: c"), {}, "max-age=31536000, public"),
        (Caching("", ""), {}, "max-age=31536000, public"),
        (Caching("é", LATER), {}, "max-age=60, public"),
        (Caching(None, LATER), {}, "max-age=60, public"),
        (Caching(None, DATE), {"found": FRESH}, "no-cache"),
        (Caching(None, "0"), {}, "no-cache"),
    ],
)
def test_cache_control_is_the_origins(caching: Caching, fields: dict[str, Any], expected: str) -> None:
    assert cache_control(PASSING, outgoing(caching, **fields)) == expected


def test_the_origins_word_is_not_for_fallback_images_with_a_lifetime_of_their_own() -> None:
    passing = settings(cache_control_passthrough=True, fallback_image_ttl=5)
    assert cache_control(passing, outgoing(Caching("private"), fallback=True)) == "max-age=5, public"


def test_cache_control_counts_no_age_twice() -> None:
    given_ = outgoing(Caching(None, LATER, "7"), FRESH)
    assert cache_control(PASSING, given_) == "max-age=70, public"
    assert age(PASSING, given_) == 10


@pytest.mark.parametrize(
    ("given_", "fields", "expected"),
    [
        ({"s_maxage": "1h"}, {}, "max-age=60, public, s-maxage=3600"),
        ({"s_maxage": "1h"}, {"expires": int(NOW) + 90}, "max-age=60, public, s-maxage=90"),
        ({"s_maxage": "1h"}, {"fallback": True}, "max-age=60, public, s-maxage=60"),
        ({"s_maxage": 9}, {"fallback": True}, "max-age=60, public, s-maxage=9"),
        ({"s_maxage": "1h"}, {"lifetime": Lifetime(storable=False)}, "max-age=60, public"),
        (
            {"stale_while_revalidate": 7, "stale_if_error": "1h"},
            {},
            "max-age=60, public, stale-while-revalidate=7, stale-if-error=3600",
        ),
        ({"stale_while_revalidate": 7, "stale_if_error": 70}, {"fallback": True}, "max-age=60, public"),
        (
            {"stale_while_revalidate": 7, "stale_if_error": 70},
            {"expires": int(NOW) + 75},
            "max-age=60, public, stale-while-revalidate=7, stale-if-error=15",
        ),
        (
            {"s_maxage": 70, "stale_while_revalidate": 7},
            {"expires": int(NOW) + 75},
            "max-age=60, public, s-maxage=70, stale-while-revalidate=5",
        ),
        (
            {"s_maxage": 99, "stale_while_revalidate": 7},
            {"expires": int(NOW) + 75},
            "max-age=60, public, s-maxage=75",
        ),
        ({"cache_control_immutable": True}, {}, "max-age=60, public"),
        ({"cache_control_immutable": True}, {"busted": True}, "max-age=60, public, immutable"),
        ({}, {"busted": True}, "max-age=60, public"),
        ({"cache_control_immutable": True}, {"busted": True, "fallback": True}, "max-age=60, public"),
        (
            {"cache_control_immutable": True},
            {"busted": True, "expires": int(NOW) + 90},
            "max-age=60, public",
        ),
    ],
)
def test_cache_control_has_more_members_where_asked_for(
    given_: dict[str, Any], fields: dict[str, Any], expected: str
) -> None:
    assert cache_control(settings(ttl=60, **given_), outgoing(**fields)) == expected


@pytest.mark.parametrize(
    ("given_", "fields", "expected"),
    [
        ({}, {}, f"max-age={STALE_S}, public"),
        ({"ttl": 3}, {}, "max-age=3, public"),
        ({"ttl": 0}, {}, "no-cache"),
        ({}, {"expires": int(NOW) + 2}, "max-age=2, public"),
        ({"cache_control_passthrough": True}, {"caching": Caching("max-age=600", LATER)}, "max-age=5, public"),
    ],
)
@pytest.mark.parametrize(
    "found", [STALE, replace(STALE, forwarded="stale"), Found("redis", ttl=0.0)], ids=["hit", "no origin", "purged"]
)
def test_cache_control_of_a_stale_answer_is_short(
    given_: dict[str, Any], fields: dict[str, Any], expected: str, found: Found
) -> None:
    of = replace(outgoing(**fields), found=found, busted=True)
    assert cache_control(settings(**ALL, **given_), of) == expected


def test_cache_control_has_no_members_of_ours_beside_the_origins() -> None:
    passing = settings(cache_control_passthrough=True, **ALL)
    assert cache_control(passing, outgoing(Caching("max-age=9"), busted=True)) == "max-age=9"
    assert cache_control(passing, outgoing(Caching(None, LATER), busted=True)) == "max-age=60, public"
    assert cache_control(settings(ttl=0, **ALL), outgoing(busted=True)) == "no-cache"


@given(
    st.fixed_dictionaries({name: st.integers(0, 200) for name in TIMES}),
    st.integers(1, 300),
    st.sampled_from([Found(), FRESH, STALE]),
    st.booleans(),
    st.booleans(),
)
def test_nobody_keeps_an_image_past_the_end_of_its_url(
    given_: dict[str, int], left: int, found: Found, fallback: bool, busted: bool
) -> None:
    known = settings(**given_, cache_control_immutable=True)
    of = outgoing(None, found, expires=int(NOW) + left, fallback=fallback, busted=busted)
    for value in (cache_control(known, of), cdn_cache_control(known, of)):
        said = {name: seconds(text) for name, text in directives(value or "").items()}
        fresh = max(said.get("max-age", 0), said.get("s-maxage", 0))
        assert fresh + max(said.get("stale-while-revalidate", 0), said.get("stale-if-error", 0)) <= left
        assert "immutable" not in said
    assert accel_expires(of) <= left


@pytest.mark.parametrize(
    ("given_", "fields", "expected"),
    [
        ({"cdn_ttl": 0}, {}, None),
        ({}, {}, "max-age=3600"),
        ({"ttl": 0}, {}, "max-age=3600"),
        ({"stale_while_revalidate": 5}, {}, "max-age=3600, stale-while-revalidate=5"),
        ({"stale_if_error": 5}, {}, "max-age=3600, stale-if-error=5"),
        ({"stale_if_error": 5}, {"found": STALE}, "max-age=5"),
        ({}, {"found": STALE, "expires": int(NOW) + 2}, "max-age=2"),
        ({}, {"expires": int(NOW) + 9}, "max-age=9"),
        ({}, {"expires": int(NOW)}, "no-cache"),
        ({}, {"fallback": True}, "max-age=3600"),
        ({"fallback_image_ttl": 7, "stale_if_error": 5}, {"fallback": True}, "max-age=7"),
        ({"ttl": 0}, {"fallback": True}, "no-cache"),
        ({"cache_control_passthrough": True}, {}, "max-age=3600"),
        ({"cache_control_passthrough": True}, {"caching": Caching("max-age=9")}, None),
        ({"cache_control_passthrough": True}, {"caching": Caching(None, LATER)}, None),
        ({}, {"lifetime": Lifetime(storable=False)}, None),
    ],
)
def test_cdn_cache_control(given_: dict[str, Any], fields: dict[str, Any], expected: str | None) -> None:
    assert cdn_cache_control(settings(**{"cdn_ttl": "1h"} | given_), outgoing(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"found": FRESH}, 50),
        ({"found": Found(forwarded="uri-miss", ttl=59.9)}, 59),
        ({"found": STALE}, EDGE_STALE_S),
        ({"found": STALE, "expires": int(NOW) + 1}, 1),
        ({"found": Found("", "stale", ttl=-0.1)}, 0),
        ({"found": Found("memory", "stale", ttl=-9)}, EDGE_STALE_S),
        ({"found": Found("memory", ttl=0.0)}, EDGE_STALE_S),
        ({"found": FRESH, "expires": int(NOW) + 9}, 9),
        ({"found": FRESH, "expires": int(NOW) - 9}, 0),
        ({"found": FRESH, "lifetime": Lifetime(storable=False)}, 0),
        ({"found": FRESH, "fallback": True}, 0),
        ({"found": FRESH, "lifetime": Lifetime(60, 0, 60)}, 0),
    ],
)
def test_the_edge_keeps_answers_as_long_as_we_do(fields: dict[str, Any], expected: int) -> None:
    assert accel_expires(outgoing(**{"lifetime": Lifetime(60, 60, 60), **fields})) == expected


@pytest.mark.parametrize(
    ("caching", "fields", "expected"),
    [
        (Caching(), {}, None),
        (Caching(), {"found": Found(age=9)}, None),
        (Caching("max-age=9", None, "5"), {}, 5),
        (Caching("max-age=9", None, "5"), {"found": FRESH}, 15),
        (Caching("max-age=9", None, "5"), {"found": STALE}, 300),
        (Caching("max-age=9", None, "5"), {"expires": int(NOW) + 9}, None),
        (Caching(None, LATER, "5"), {"found": FRESH}, 10),
        (Caching(), {"found": Found("redis", age=-0.5)}, 0),
        (Caching(), {"found": Found("redis", age=1.9)}, 1),
    ],
)
def test_age(caching: Caching, fields: dict[str, Any], expected: int | None) -> None:
    assert age(PASSING, outgoing(caching, **fields)) == expected


def test_the_origins_age_is_none_of_ours_where_its_lifetime_is_not() -> None:
    assert age(settings(), outgoing(Caching("max-age=9", None, "5"))) is None


def test_a_url_that_never_ends_leaves_all_the_time() -> None:
    assert outgoing().left == math.inf


@pytest.mark.parametrize("name", FreshnessSettings.model_fields)
def test_wrong_settings_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        settings(**{name: "-1"})
