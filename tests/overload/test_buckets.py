from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imgproxy.overload.buckets import Buckets, Rates, RateSettings, address_of, client_of

EDGE = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def test_a_burst_and_then_the_rate() -> None:
    buckets = Buckets(rate=2, burst=3)
    assert [buckets.take("a", 100.0) for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a", 100.0) == pytest.approx(0.5)
    assert buckets.take("a", 100.4) == pytest.approx(0.1)
    assert buckets.take("b", 100.4) == 0
    assert buckets.take("a", 100.5) == 0
    assert buckets.take("a", 100.5) == pytest.approx(0.5)
    assert buckets.refused == 3


def test_a_pause_fills_the_bucket_and_no_more() -> None:
    buckets = Buckets(rate=1, burst=2)
    buckets.take("a", 0.0)
    assert [buckets.take("a", 1000.0) for _ in range(3)] == [0, 0, pytest.approx(1)]


def test_no_rate_is_no_limit() -> None:
    buckets = Buckets(rate=0, burst=1)
    assert {buckets.take("a", 0.0) for _ in range(100)} == {0}
    assert len(buckets) == 0


def test_only_so_many_are_remembered() -> None:
    buckets = Buckets(rate=1, burst=1, most=100)
    buckets.take("first", 0.0)
    for number in range(1000):
        buckets.take(number, 0.0)
    assert len(buckets) == 100
    assert buckets.take(999, 0.0) > 0
    assert buckets.take("first", 0.0) == 0


@given(
    st.sampled_from([0.5, 1.0, 3.0, 100.0]),
    st.integers(1, 20),
    st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=200),
)
def test_in_no_stretch_of_time_more_than_burst_and_rate_allow(rate: float, burst: int, pauses: list[float]) -> None:
    buckets, now, granted = Buckets(rate, burst), 0.0, list[float]()
    for pause in pauses:
        now += pause
        wait = buckets.take("a", now)
        if wait:
            assert buckets.take("a", now + wait + 1e-6) == 0  # so long, and no longer
            granted.append(now := now + wait + 1e-6)
        else:
            granted.append(now)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            assert last - first + 1 <= burst + rate * (granted[last] - granted[first]) + 1e-3


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # nobody whom we know says so
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),  # the client made up the first
        ("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.2,fd00::1", "198.51.100.7"),
        ("10.0.0.1", "10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "6.6.6.6, unknown", "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", ",,,", "10.0.0.1"),
        ("10.0.0.1", "\u0661.1.1.1", "10.0.0.1"),
        (None, "198.51.100.7", "198.51.100.7"),
        (None, "", ""),
        ("testclient", "198.51.100.7", "testclient"),
    ],
)
def test_the_client_is_the_last_whom_somebody_trusted_saw(peer: str | None, forwarded: str, address: str) -> None:
    assert address_of(peer, forwarded, EDGE) == address


def test_a_household_is_one_client() -> None:
    assert client_of("2001:db8:0:1::1", "", ()) == client_of("2001:db8:0:1:ffff::2", "", ()) == "2001:db8:0:1::/64"
    assert client_of("2001:db8:0:2::1", "", ()) != "2001:db8:0:1::/64"
    assert client_of("192.0.2.1", "", ()) == "192.0.2.1"
    assert client_of(None, "", ()) == ""


@given(st.text(), st.sampled_from([None, "10.0.0.1", "192.0.2.1"]))
def test_any_header_gives_some_client(forwarded: str, peer: str | None) -> None:
    assert len(client_of(peer, forwarded, EDGE)) < 50


def test_clients_and_keys_have_rates_of_their_own() -> None:
    settings = RateSettings.model_validate({"client_rate": "1", "client_burst": "2", "key_rate": "1", "key_burst": "3"})
    rates = Rates(settings, now=lambda: 50.0)
    assert [rates.take("a", 0), rates.take("a", 0)] == [0, 0]
    assert rates.take("a", 0) == pytest.approx(1)
    assert rates.take("b", 0) == 0
    assert rates.take("c", 0) == pytest.approx(1)
    assert rates.take("c", 1) == 0
    assert rates.refused == {"client": 1, "key": 1}
    assert {Rates(RateSettings()).take("a", None) for _ in range(100)} == {0}


def test_settings() -> None:
    settings = RateSettings.model_validate({"trusted_proxies": "10.0.0.0/8, ::1,"})
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.client_rate == settings.key_rate == 0
    with pytest.raises(ValidationError, match=r"10\.0\.0\.0/8"):
        RateSettings.model_validate({"trusted_proxies": "edge.example.com"})
