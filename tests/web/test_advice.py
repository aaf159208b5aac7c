"""Who gets URLs signed by a page of development mode."""

from __future__ import annotations

import pytest

from imgproxy.dialects.imgproxy import Dialect, DialectSettings
from imgproxy.errors import BadOption, BadSignature, ImageError
from imgproxy.planning import Planner
from imgproxy.readings import Rules
from imgproxy.signing import Signer
from imgproxy.tokens import Tokens
from imgproxy.web.advice import Advising, is_at_this_machine
from tests.serving import SIGNER

SOURCE = "plain/https://example.com/a.jpg"
LOCAL = {"host": "localhost:8080"}


@pytest.mark.parametrize(
    ("peer", "headers", "near"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:8080"}, True),
        ("127.0.0.1", {"host": "localhost"}, True),
        ("127.0.0.1", {"host": "demo.localhost:80"}, True),
        ("::1", {"host": "[::1]:8080"}, True),
        ("::1", {"host": "[::1]"}, True),
        ("127.0.0.1", LOCAL | {"sec-fetch-site": "none"}, True),
        ("127.0.0.1", LOCAL | {"sec-fetch-site": "same-origin"}, True),
        # another machine
        ("192.168.1.7", LOCAL, False),
        ("not an address", LOCAL, False),
        (None, LOCAL, False),
        # a proxy beside us
        ("127.0.0.1", LOCAL | {"x-forwarded-for": "1.2.3.4"}, False),
        ("127.0.0.1", LOCAL | {"forwarded": "for=1.2.3.4"}, False),
        ("127.0.0.1", LOCAL | {"via": "1.1 nginx"}, False),
        ("127.0.0.1", {"host": "images.example.com"}, False),
        # a page of somebody else in a browser here
        ("127.0.0.1", {"host": "rebound.example.com:8080"}, False),
        ("127.0.0.1", {}, False),
        ("127.0.0.1", LOCAL | {"origin": "https://evil.example.com"}, False),
        ("127.0.0.1", LOCAL | {"sec-fetch-site": "cross-site"}, False),
    ],
)
def test_who_sits_at_this_machine(peer: str | None, headers: dict[str, str], near: bool) -> None:
    assert is_at_this_machine(peer, headers) is near


def advising(signer: Signer = SIGNER, **given: str) -> Advising:
    return Advising(
        Dialect(DialectSettings.model_validate(given)), lambda: Rules(signer, Planner(), Tokens(signer.pairs))
    )


def link(target: str, error: ImageError | None = None, path_prefix: str = "") -> str:
    return advising(path_prefix=path_prefix).on(target, error or BadOption(), "127.0.0.1", LOCAL).link


def test_a_corrected_url_is_signed_with_the_prefix_before_it() -> None:
    target = SIGNER.sign(f"/wdth:30/{SOURCE}")
    assert link(target) == SIGNER.sign(f"/width:30/{SOURCE}")
    assert link(f"/img{target}", path_prefix="/img") == f"/img{SIGNER.sign(f'/width:30/{SOURCE}')}"


def test_a_wrong_signature_is_replaced_here_and_nowhere_else() -> None:
    target = f"/wrong/w:30/{SOURCE}"
    assert link(target, error=BadSignature()) == SIGNER.sign(f"/w:30/{SOURCE}")
    far = advising().on(target, BadSignature(), "10.0.0.7", LOCAL)
    assert (far.link, far.diagnosis.path) == ("", f"/w:30/{SOURCE}")


def test_without_keys_there_is_nothing_to_give_away() -> None:
    found = advising(Signer()).on(f"/x/wdth:30/{SOURCE}", BadOption(), "10.0.0.7", {})
    assert found.link == f"/unsafe/width:30/{SOURCE}"


def test_what_no_link_can_hold_is_none() -> None:
    assert link(SIGNER.sign("/wdth:30/plain/https://x/\xc3\xa9")) == ""
    assert link("/nothing") == ""
