from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.formats import JSON, SVG, WEBP, FormatRule
from imgproxy.freshness import FreshnessSettings
from imgproxy.journey import Journey
from imgproxy.model import Caching, Conditions, Found, RawReply, Reply, Unchanged, Validators
from imgproxy.web.responses import POLICY, Answer, Responses
from imgproxy.web.settings import WebSettings
from tests.web.border import BODY, plan, raw, reply, rooms

NOW = 1_700_000_000.0


def headers(answer: Answer) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in answer.headers}


def answered(outcome: Reply | Unchanged | RawReply, *, vary: tuple[str, ...] = (), **settings: Any) -> dict[str, str]:
    responses = Responses(*rooms(settings), vary, now=lambda: NOW)
    journey = Journey("abc", stages={"queue": 0.001, "downloading": 0.0256})
    if isinstance(outcome, Reply):
        return headers(responses.reply(outcome, journey, Conditions()))
    if isinstance(outcome, Unchanged):
        return headers(responses.unchanged(outcome, journey))
    return headers(responses.raw(outcome, journey))


def test_the_headers_of_an_image_are_these_and_no_others() -> None:
    assert answered(reply(validators=Validators('"e"', "Sat, 01 Jan 2000 00:00:00 GMT"))) == {
        "server": "imgproxy",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "cross-origin",
        "content-type": "image/jpeg",
        "content-length": str(len(BODY)),
        "content-disposition": 'inline; filename="cat.jpg"',
        "accept-ranges": "bytes",
        "etag": '"e"',
        "last-modified": "Sat, 01 Jan 2000 00:00:00 GMT",
        "cache-control": "max-age=31536000, public",
        "x-request-id": "abc",
    }


def test_the_policy_is_imgproxys_byte_for_byte() -> None:
    assert POLICY == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


EXPIRES = "Tue, 14 Nov 2023 22:13:30 GMT"  # NOW + 10


@pytest.mark.parametrize(
    ("settings", "delivery", "caching", "expected"),
    [
        ({}, {}, Caching(), "max-age=31536000, public"),
        ({"ttl": "60"}, {}, Caching("no-store"), "max-age=60, public"),
        ({"ttl": 0}, {}, Caching(), "no-cache"),
        ({"ttl": 60}, {"expires": int(NOW) + 20}, Caching(), "max-age=20, public"),
        ({"ttl": 60}, {"expires": int(NOW) + 90}, Caching(), "max-age=60, public"),
        ({"ttl": 60}, {"expires": int(NOW) - 1}, Caching(), "no-cache"),
        ({"cache_control_passthrough": True}, {}, Caching("private, max-age=5"), "private, max-age=5"),
        ({"cache_control_passthrough": True}, {}, Caching("s-maxage=1", EXPIRES), "s-maxage=1"),
        ({"cache_control_passthrough": True}, {}, Caching(None, EXPIRES), "max-age=10, public"),
        ({"cache_control_passthrough": True}, {}, Caching(None, "0"), "no-cache"),
        (
            {"cache_control_passthrough": True},
            {},
            Caching(None, "Tue, 14 Nov 2023 22:13:30 -0000"),
            "max-age=10, public",
        ),
        ({"cache_control_passthrough": True, "ttl": 7}, {}, Caching(), "max-age=7, public"),
        ({"cache_control_passthrough": True, "ttl": 7}, {}, Caching("a\r\nb: c"), "max-age=7, public"),
        ({"cache_control_passthrough": True}, {"expires": int(NOW) + 20}, Caching("private"), "max-age=20, public"),
    ],
)
def test_cache_control(settings: dict[str, Any], delivery: dict[str, Any], caching: Caching, expected: str) -> None:
    assert answered(reply(of=plan(**delivery), caching=caching), **settings)["cache-control"] == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"ttl": 60}, "max-age=60, public"),
        ({"fallback_image_ttl": 5}, "max-age=5, public"),
        ({"fallback_image_ttl": 5, "cache_control_passthrough": True}, "max-age=5, public"),
    ],
)
def test_a_fallback_image_has_its_own_lifetime(settings: dict[str, Any], expected: str) -> None:
    assert answered(reply(fallback_for=502, caching=Caching("private")), **settings)["cache-control"] == expected


@pytest.mark.parametrize(("setting", "status"), [(200, 200), (404, 404), (0, 502)])
def test_a_fallback_image_has_its_own_status(setting: int, status: int) -> None:
    responses = Responses(WebSettings(fallback_image_http_code=setting), FreshnessSettings())
    assert responses.reply(reply(fallback_for=502), Journey("a"), Conditions()).status == status
    assert responses.reply(reply(), Journey("a"), Conditions()).status == 200


def test_a_304_has_what_caches_need_and_no_content_headers() -> None:
    unchanged = Unchanged(plan(), Validators('"e"'))
    found = answered(unchanged, vary=("Accept",))
    assert found["etag"] == '"e"'
    assert found["cache-control"] == "max-age=31536000, public"
    assert found["vary"] == "Accept"
    assert not {"content-type", "content-length", "content-disposition"} & found.keys()


def test_validators_can_be_switched_off() -> None:
    found = answered(reply(validators=Validators('"e"', "x")), use_etag="0", use_last_modified=False)
    assert "etag" not in found
    assert "last-modified" not in found


def test_vary_names_what_planning_looks_at() -> None:
    assert "vary" not in answered(reply())
    assert answered(reply(), vary=("Accept", "Sec-CH-DPR"))["vary"] == "Accept, Sec-CH-DPR"


def test_what_is_json_is_the_same_for_every_accept() -> None:
    described = replace(plan(), formats=FormatRule(JSON))
    document = replace(reply(b"{}", format_=JSON), plan=described)
    vary = ("Accept", "Sec-CH-DPR")
    sent = answered(document, vary=vary)
    assert (sent["vary"], sent["content-type"]) == ("Sec-CH-DPR", "application/json")
    assert (sent["x-content-type-options"], sent["content-security-policy"]) == ("nosniff", POLICY)
    assert sent["content-disposition"] == 'inline; filename="cat.json"'
    assert answered(Unchanged(described, Validators()), vary=vary)["vary"] == "Sec-CH-DPR"
    assert "vary" not in answered(document, vary=("Accept",))
    responses = Responses(*rooms({}), vary, now=lambda: NOW)
    missing = headers(responses.reply(document, Journey("abc"), Conditions(range="bytes=9-")))
    assert (missing["content-range"], missing["vary"]) == ("bytes */2", "Sec-CH-DPR")


def test_raw_passes_a_closed_set_of_headers() -> None:
    given = raw(
        ("Content-Type", "image/png"),
        ("Content-Length", "6"),
        ("Content-Range", "bytes 0-5/9"),
        ("Accept-Ranges", "bytes"),
        ("ETag", '"raw"'),
        ("Set-Cookie", "a=b"),
        ("Server", "origin"),
        ("Last-Modified", "bad\r\nx: y"),
        status=206,
    )
    found = answered(given)
    assert found["content-type"] == "image/png"
    assert found["content-range"] == "bytes 0-5/9"
    assert found["etag"] == '"raw"'
    assert found["content-disposition"] == 'inline; filename="cat.jpg"'
    assert found["server"] == "imgproxy"
    assert not {"set-cookie", "last-modified"} & found.keys()


def test_raw_takes_part_in_the_passthrough_of_freshness() -> None:
    found = answered(raw(("Cache-Control", "max-age=3"), ("Age", "2")), cache_control_passthrough=True)
    assert (found["cache-control"], found["age"]) == ("max-age=3", "2")
    assert "cache-control" not in answered(raw(status=404))


PARTS = (Conditions(range="bytes=2-4"), Conditions(range="bytes=99-"))


def test_a_part_of_an_image() -> None:
    responses = Responses(WebSettings(enable_debug_headers=True), FreshnessSettings(), now=lambda: NOW)
    given = reply(b"0123456789", validators=Validators('"e"', EXPIRES), found=Found("memory", age=7, ttl=53))
    whole, part = (responses.reply(given, Journey("a"), asked) for asked in (Conditions(), PARTS[0]))
    assert (part.status, part.body) == (206, b"234")
    # RFC 9110 §15.3.7: all that a 200 would have said, of the whole, but for the length.
    changed = {"content-length": "3", "content-range": "bytes 2-4/10"}
    assert headers(part) == headers(whole) | changed


def test_a_part_that_is_not_there() -> None:
    responses = Responses(WebSettings(), FreshnessSettings(), ("Accept",), behind_edge=True)
    answer = responses.reply(reply(b"0123456789", tags=("a",)), Journey("abc"), PARTS[1])
    assert (answer.status, answer.body) == (416, b"")
    assert headers(answer).items() - headers(responses.preflight(Journey("abc"))).items() == {
        ("accept-ranges", "bytes"),
        ("content-range", "bytes */10"),
    }


@pytest.mark.parametrize("asked", PARTS)
def test_a_fallback_image_that_is_an_error_has_no_parts(asked: Conditions) -> None:
    responses = Responses(WebSettings(fallback_image_http_code=404), FreshnessSettings())
    answer = responses.reply(reply(fallback_for=502), Journey("a"), asked)
    assert (answer.status, answer.body) == (404, BODY)
    assert not {"accept-ranges", "content-range"} & headers(answer).keys()


@pytest.mark.parametrize("switch", ["use_etag", "use_last_modified"])
def test_a_validator_that_is_not_sent_vouches_for_no_part(switch: str) -> None:
    responses = Responses(WebSettings.model_validate({switch: False}), FreshnessSettings())
    known = Validators('"e"', EXPIRES)
    asked = Conditions(range="bytes=0-1", if_range=known.etag if switch == "use_etag" else known.last_modified)
    assert responses.reply(reply(validators=known), Journey("a"), asked).status == 200


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:p@example.com/a b.jpg?x=1", '<https://example.com/a%20b.jpg?x=1>; rel="canonical"'),
        ("http://example.com/%C3%A9\r\n", '<http://example.com/%C3%A9>; rel="canonical"'),
        ('http://example.com/">x', '<http://example.com/%22%3Ex>; rel="canonical"'),
        ("s3://bucket/key", None),
        ("https://[broken", None),
    ],
)
def test_canonical_link(url: str, expected: str | None) -> None:
    assert answered(reply(of=plan(url)), set_canonical_header=True).get("link") == expected
    assert "link" not in answered(reply(of=plan(url)))


def test_debug_headers() -> None:
    found = answered(reply(), enable_debug_headers=True)
    assert found["x-origin-content-length"] == "5000"
    assert (found["x-origin-width"], found["x-origin-height"]) == ("1200", "800")
    assert (found["x-result-width"], found["x-result-height"]) == ("300", "200")
    assert found["server-timing"] == "queue;dur=1.0, downloading;dur=25.6"


def test_cors() -> None:
    found = answered(reply(), allow_origin="https://shop.example")
    assert found["access-control-allow-origin"] == "https://shop.example"
    assert found["access-control-allow-methods"] == "GET, OPTIONS"
    assert found["timing-allow-origin"] == "https://shop.example"
    assert {"Age", "Cache-Status", "Content-Range"} <= set(found["access-control-expose-headers"].split(", "))


def test_the_type_is_the_formats() -> None:
    assert answered(reply(format_=WEBP))["content-type"] == "image/webp"
    assert answered(reply(format_=SVG))["content-disposition"] == 'inline; filename="cat.svg"'


@given(st.text(), st.text(), st.booleans())
def test_whatever_a_url_holds_headers_stay_headers(name: str, url: str, attachment: bool) -> None:
    of = plan("https://example.com/" + url, filename=name, attachment=attachment)
    responses = Responses(WebSettings(set_canonical_header=True), FreshnessSettings())
    for _, value in responses.reply(reply(of=of), Journey("a"), Conditions()).headers:
        assert value.decode("ascii").isprintable()


@pytest.mark.parametrize(
    "wrong",
    [
        {"bind": "8080"},
        {"server_name": "a\r\nb"},
        {"allow_origin": "a b"},
        {"fallback_image_http_code": 600},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WebSettings.model_validate(wrong)


def test_the_secret_does_not_show() -> None:
    assert "hush" not in repr(WebSettings.model_validate({"secret": "hush"}))
