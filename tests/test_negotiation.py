from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imgproxy.formats import AVIF, GIF, JPEG, PNG, WEBP, Format, FormatRule
from imgproxy.model import Client
from imgproxy.negotiation import NegotiationSettings, Negotiator, accepts, default_width

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI_13 = "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"


def negotiator(**fields: object) -> Negotiator:
    return Negotiator(NegotiationSettings.model_validate(fields))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (CHROME, True),
        (SAFARI_13, False),
        ("image/webp", True),
        ("IMAGE/WebP", True),
        (" image/webp ; q=0.1", True),
        ("image/webp;level=1;q=1.000", True),
        ("image/webp;q=0", False),  # RFC 9110: not acceptable
        ("image/webp;q=0.000", False),
        ("image/webp;q=2", False),
        ("image/webp;q=x", False),
        ("image/webp;q=", False),
        ("image/*", False),
        ("*/*", False),
        ("image/webp2", False),
        ("", False),
        (",;,", False),
    ],
)
def test_accepts(header: str, accepted: bool) -> None:
    assert (accepts(header).get("image/webp", 0) > 0) is accepted


@given(st.text())
def test_any_header_can_be_read(header: str) -> None:
    accepts(header)
    negotiator(auto_webp=True, enable_client_hints=True).client({"accept": header, "dpr": header, "width": header})


@pytest.mark.parametrize(
    ("settings", "formats"),
    [
        ({}, ()),
        ({"auto_webp": True}, ("webp",)),
        ({"auto_avif": True}, ("avif",)),
        ({"enforce_webp": "1", "auto_avif": "t"}, ("avif", "webp")),
        ({"enforce_avif": True}, ("avif",)),  # enforcing implies offering
    ],
)
def test_a_client_is_a_class(settings: dict[str, object], formats: tuple[str, ...]) -> None:
    asked = negotiator(**settings)
    assert asked.client({"accept": CHROME, "dpr": "2"}) == Client(frozenset(formats))
    assert asked.client({"accept": SAFARI_13}) == Client()
    assert asked.client({}) == Client()


@pytest.mark.parametrize(
    ("headers", "dpr", "width"),
    [
        ({}, None, None),
        ({"dpr": "2"}, 2, None),
        ({"dpr": "1", "sec-ch-dpr": "2.5"}, 2.5, None),
        ({"width": "640", "sec-ch-width": "321"}, None, 321),
        ({"width": "320.2"}, None, 321),
        ({"dpr": "8"}, 8, None),
        ({"dpr": "8.1"}, None, None),
        ({"dpr": "0"}, None, None),
        ({"dpr": "-1"}, None, None),
        ({"dpr": "nan"}, None, None),
        ({"dpr": "1e3", "width": "12345678"}, None, None),
        ({"dpr": ""}, None, None),
    ],
)
def test_client_hints(headers: dict[str, str], dpr: float | None, width: int | None) -> None:
    assert negotiator(enable_client_hints=True).client(headers) == Client(dpr=dpr, width=width)
    assert negotiator().client(headers) == Client()


@pytest.mark.parametrize(
    ("client", "width"),
    [(Client(), None), (Client(width=640), 640), (Client(dpr=2, width=641), 321), (Client(dpr=3, width=1), 0)],
)
def test_the_default_width_is_in_css_pixels(client: Client, width: int | None) -> None:
    assert default_width(client) == width


@pytest.mark.parametrize(
    ("settings", "vary"),
    [
        ({}, ()),
        ({"auto_webp": True}, ("Accept",)),
        ({"enforce_avif": True}, ("Accept",)),
        ({"enable_client_hints": True}, ("Sec-CH-DPR", "DPR", "Sec-CH-Width", "Width")),
        (
            {"auto_avif": True, "enable_client_hints": True},
            ("Accept", "Sec-CH-DPR", "DPR", "Sec-CH-Width", "Width"),
        ),
    ],
)
def test_vary(settings: dict[str, object], vary: tuple[str, ...]) -> None:
    assert negotiator(**settings).vary == vary


BOTH = Client(frozenset({"avif", "webp"}))


@pytest.mark.parametrize(
    ("settings", "requested", "client", "rule"),
    [
        ({}, None, BOTH, FormatRule()),
        ({"auto_webp": True, "auto_avif": True}, None, BOTH, FormatRule(automatic=(AVIF, WEBP))),
        ({"auto_webp": True, "auto_avif": True}, None, Client(), FormatRule()),
        ({"auto_webp": True, "auto_avif": True}, None, Client(frozenset({"webp"})), FormatRule(automatic=(WEBP,))),
        ({"auto_webp": True}, PNG, BOTH, FormatRule(PNG, preferred=(JPEG,))),
        ({"enforce_webp": True}, PNG, BOTH, FormatRule(PNG, enforced=(WEBP,), preferred=(JPEG,))),
        ({"enforce_webp": True}, PNG, Client(), FormatRule(PNG, preferred=(JPEG,))),
        ({"enforce_webp": True}, None, BOTH, FormatRule(automatic=(WEBP,))),
        ({"preferred_formats": "webp, png"}, None, BOTH, FormatRule(preferred=(WEBP, PNG))),
        ({"always_rasterize_svg": True}, None, BOTH, FormatRule(rasterize_svg=True)),
        ({"always_rasterize_svg": True, "preferred_formats": "gif"}, PNG, BOTH, FormatRule(PNG, preferred=(JPEG,))),
    ],
)
def test_rule(settings: dict[str, object], requested: Format | None, client: Client, rule: FormatRule) -> None:
    assert negotiator(**settings).rule(requested, client) == rule


def test_preferred_formats_are_formats_that_can_be_written() -> None:
    assert NegotiationSettings(preferred_formats=(GIF,)).preferred_formats == (GIF,)
    for text, named in (("heic,png,foo", "heic, foo"), ("", "none")):
        with pytest.raises(ValidationError, match=f"got {named}"):
            NegotiationSettings.model_validate({"preferred_formats": text})
