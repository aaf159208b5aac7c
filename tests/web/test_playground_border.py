from __future__ import annotations

import pytest

from imgproxy.web.playground.border import host_refusal, refusal

JSON = "application/json"
GOOD = {
    "host": "localhost:8080",
    "origin": "http://localhost:8080",
    "content-type": "application/json",
    "sec-fetch-site": "same-origin",
}


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "app.localhost:1", "127.0.0.1:8080", "127.8.0.1", "[::1]:8080", "LOCALHOST"],
)
def test_loopback_is_open(host: str) -> None:
    assert host_refusal({"host": host}, ()) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "evil.example@localhost",
        "localhost:80:80",
        "0.0.0.0:8080",
        "[::ffff:10.0.0.1]",
        "notlocalhost",
        "2130706433.evil.example",
    ],
)
def test_a_name_that_was_made_to_point_here_is_not(host: str) -> None:
    headers = GOOD | {"host": host, "origin": f"http://{host}"}
    assert (host_refusal(headers, ()) or (0,))[0] == 403
    assert (refusal(headers, (), JSON) or (0,))[0] == 403


def test_named_hosts_are_open() -> None:
    headers = GOOD | {"host": "Images.Internal:8080", "origin": "https://images.internal:8080"}
    assert refusal(headers, ("images.internal",), JSON) is None
    assert refusal(headers, (), JSON) is not None


def test_the_page_itself_may_ask() -> None:
    assert refusal(GOOD, (), JSON) is None
    assert refusal(GOOD | {"content-type": "Application/JSON; charset=utf-8"}, (), JSON) is None
    assert refusal({name: value for name, value in GOOD.items() if name != "sec-fetch-site"}, (), JSON) is None


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://localhost:9999"}, 403),
        ({"origin": "localhost:8080"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": ""}, 415),
    ],
)
def test_other_sites_may_not(changed: dict[str, str], status: int) -> None:
    assert (refusal(GOOD | changed, (), JSON) or (0,))[0] == status


def test_a_request_without_an_origin_is_refused() -> None:
    assert refusal({name: value for name, value in GOOD.items() if name != "origin"}, (), JSON) is not None
