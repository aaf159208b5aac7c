"""URLs as real client libraries write them (spec/clients.md §2.1), signed here by an HMAC of our own."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

import pytest

from imgproxy.dialects.imgproxy import Dialect, DialectSettings
from imgproxy.errors import BadSignature, InvalidUrl, RequestError
from imgproxy.model import Client, Plan
from imgproxy.planning import Planner
from imgproxy.presets import Presets
from imgproxy.signing import Signer, SigningSettings

KEY = "943b421c9eb07c830af81030552c86009268de4e532ba2ee2eab8247c6da0881"
SALT = "520f986b998545b4785e0defbc4f3c1203f22de2374a3d53cb7a7fe9fea309c5"

CAT = "http://src.test/cat.jpg"
CAT64 = "aHR0cDovL3NyYy50ZXN0L2NhdC5qcGc"
CHUNKS = "aHR0cDovL3NyYy50/ZXN0L2NhdC5qcGc"
CAFE = "http://src.test/a b/café.jpg?x=1"

PRESETS = Presets.parse([("test", "thumb=rs:fill:100:100"), ("test", "wm=bl:2")])


def signature(path: str, size: int = 32) -> str:
    """HMAC-SHA256 over salt and path, with nothing of ours."""
    digest = hmac.new(bytes.fromhex(KEY), bytes.fromhex(SALT) + path.encode("ascii"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:size]).rstrip(b"=").decode()


@dataclass(frozen=True)
class Case:
    """A client's URL, without the signature, and what it means."""

    client: str
    path: str
    options: str = ""
    format: str | None = None
    source: str = CAT
    size: int = 32
    signed: str | None = None
    """In place of a signature of ours: the marker that the client writes for "unsigned"."""
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    delivery: tuple[str, int] = ("", 0)


CASES = [
    # @imgproxy/imgproxy-node
    Case("node", f"/el:t/f:webp/g:no/rt:fill/w:300/{CAT64}", "g:no/rs:fill:300:0:1", "webp"),
    Case("node", f"/f:webp/rs:fill:300:200/plain/{CAT}", "rs:fill:300:200", "webp"),
    Case("node", f"/pr:thumb:wm/{CAT64}", "rs:fill:100:100/bl:2", signed="insecure"),
    Case("node", f"/{CAT64}"),
    Case("node", f"/plain/{CAT}"),
    # @bitpatty/imgproxy-url-builder
    Case("url-builder", f"/rs:fill:300:200/g:sm/f:webp/{CAT64}", "g:sm/rs:fill:300:200", "webp"),
    Case("url-builder", f"/rs:fill:300:200/plain/{CAT}", "rs:fill:300:200"),
    Case("url-builder", f"/rot:90/{CAT64}", "rot:90", signed="-"),
    Case("url-builder", f"/bl:10/ar:true/{CAT64}", "bl:10"),
    # npm imgproxy
    Case("npm imgproxy", f"/rs:fill:300:200:0/g:noea/dpr:2/{CAT64}.webp", "g:noea/rs:fill:300:200/dpr:2", "webp"),
    Case("npm imgproxy", f"/rs:fill:300:200:0/plain/{CAT}@webp", "rs:fill:300:200", "webp"),
    Case("npm imgproxy", f"/c:100:50:fp:0.3:0.4/{CAT64}", "c:100:50:fp:0.3:0.4"),
    Case("npm imgproxy", f"/thumb:wm/{CAT64}", "rs:fill:100:100/bl:2", settings={"only_presets": "true"}),
    Case("npm imgproxy", f"/w:1/{CAT64}", "rs:fit:1", settings={"path_prefix": "/img"}),
    Case("npm imgproxy", f"/w:1/{CAT64}", "rs:fit:1", signed="insecure", settings={"path_prefix": "/img"}),
    # @nuxt/image
    Case("nuxt", f"/w:300/h:200/f:webp/q:80/rt:fill/{CAT64}", "rs:fill:300:200", "webp"),
    Case("nuxt", f"/w:300/h:200/rt:fit/ex:1/{CAT64}", "rs:fit:300:200/ex:1"),
    Case("nuxt", f"/c:10:20:no/bg:fff/{CAT64}", "c:10:20:no/bg:ffffff", signed="unsafe"),
    # PyPI imgproxykit
    Case(
        "imgproxykit",
        "/resize:fill:300:200/preset:thumb:wm/quality:80/format:webp/enlarge:1/filename:bXkgY2F0:1/dpr:2/" + CAT64,
        "rs:fill:100:100:1/dpr:2/bl:2",
        "webp",
        delivery=("my cat", 0),
        size=8,
    ),
    Case(
        "imgproxykit",
        f"/resize,fill,300,200/gravity,fp,0.5,0/{CAT64}",
        "g:fp:0.5:0/rs:fill:300:200",
        settings={"arguments_separator": ","},
    ),
    # PyPI pyimgproxy
    Case("pyimgproxy", f"/resize:fill:300:200:True/gravity:sm/plain/{CAT}", "g:sm/rs:fill:300:200:1"),
    Case("pyimgproxy", f"/resize:fit:300:200:False/min-width:50/plain/{CAT}", "rs:fit:300:200/mw:50"),
    Case(
        "pyimgproxy",
        "/width:5/" + base64.urlsafe_b64encode(CAFE.encode()).decode().rstrip("="),
        "rs:fit:5",
        source=CAFE,
        signed="_",
    ),
    # PyPI django-imgproxy
    Case(
        "django-imgproxy",
        "/rs:fill:300:200/fn:my%20cat/plain/http%3A//src.test/a%20b/caf%C3%A9.jpg%3Fx%3D1@webp",
        "rs:fill:300:200",
        "webp",
        source=CAFE,
        delivery=("my cat", 0),
    ),
    Case(
        "django-imgproxy",
        f"/rs:fill:300:200/{CAT64}.webp/my%20cat.webp",
        "rs:fill:300:200",
        "webp",
        settings={"base64_url_includes_filename": "true"},
    ),
    Case("django-imgproxy", f"/thumb/plain/{CAT}", "rs:fill:100:100", settings={"only_presets": "1"}),
    Case("django-imgproxy", "/plain/http%3A//src.test/cat.jpg"),
    Case("django-imgproxy", f"/raw:true/expires:4102444800/plain/{CAT}", "raw:1", delivery=("", 4102444800)),
    # PyPI imgproxy (klen)
    Case("klen", f"/q:80/pr:thumb/g:ce/rs:auto:300:0:0/{CAT64}.webp", "rs:auto:300", "webp"),
    Case("klen", f"/rs:auto:300:0:0/{CAT64}", "rs:auto:300", signed="insecure"),
    # PyPI mkimgproxy: an empty segment
    Case("mkimgproxy", f"/resize:fill:300:200/gravity:sm//{CAT64}.webp", "g:sm/rs:fill:300:200", "webp"),
    # imgproxy.rb, laravel-imgproxy, Elixir imgproxy
    Case("imgproxy.rb", f"/rs:fill:300:200/plain/{CAT}@jpg", "rs:fill:300:200", "jpeg"),
    Case("imgproxy.rb", f"/w:300/{CHUNKS}.png", "rs:fit:300", "png", signed="unsafe"),
    Case("imgproxy.rb", "/w:300/plain/s3://bucket/cat.jpg", "rs:fit:300", source="s3://bucket/cat.jpg"),
    Case("laravel", f"/rs:fit:300:200:0/{CHUNKS}.jpg", "rs:fit:300:200", "jpeg", signed="insecure"),
    Case("elixir", f"/rs:fit:10:10:false/g:sm/{CAT64}", "g:sm/rs:fit:10:10"),
]


def answered(case: Case, target: str) -> Plan:
    """The plan of a request target, its signature checked."""
    fields: dict[str, Any] = {"key": KEY, "salt": SALT, "signature_size": case.size}
    if case.signed:
        fields["trusted_signatures"] = case.signed  # with keys, a marker has to be trusted
    dialect = Dialect(DialectSettings.model_validate(case.settings))
    split = dialect.split(target)
    Signer.of(SigningSettings.model_validate(fields)).verify(split.signature, split.path)
    return Planner(presets=PRESETS).plan(dialect.read(split.path), Client())


def target(case: Case) -> str:
    prefix = case.settings.get("path_prefix", "")
    return f"{prefix}/{case.signed or signature(case.path, case.size)}{case.path}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.client} {case.path[:40]}")
def test_a_client_is_understood(case: Case) -> None:
    plan = answered(case, target(case))
    assert plan.source.url == case.source
    assert plan.path == case.options
    assert (plan.formats.requested.name if plan.formats.requested else None) == case.format
    assert (plan.delivery.filename, plan.delivery.expires) == case.delivery


SIGNED = [case for case in CASES if not case.signed]


@pytest.mark.parametrize("case", SIGNED, ids=lambda case: f"{case.client} {case.path[:40]}")
def test_what_a_browser_or_a_proxy_adds_does_no_harm(case: Case) -> None:
    sent = target(case)
    assert answered(case, f"{sent}?utm_source=x") == answered(case, sent)
    if f"/plain/{CAT}" in sent:
        assert answered(case, sent.replace("/plain/http://", "/plain/http:/")) == answered(case, sent)
    options, plain, source = sent.partition("/plain/")
    if ":" not in options.partition("/plain/")[0].split("/")[1]:
        assert answered(case, options.replace(":", "%3A") + plain + source) == answered(case, sent)


@pytest.mark.parametrize(
    "damage",
    [
        lambda sent: sent.replace("http:", "https:", 1) if "http:" in sent else sent[:-1],
        lambda sent: sent.replace("/", "/x", 1),  # a flipped byte in the signature
        lambda sent: sent[:2] + sent[3:],
        lambda sent: sent.replace(":", "%3a", 1) if ":" in sent else sent + "x",  # lower case is not repaired
        lambda sent: sent.replace("%", "%25") if "%" in sent else sent + "/",  # double-escaped
        lambda sent: sent.replace("rs:", "resize:", 1) if "rs:" in sent else sent + "=",
    ],
)
def test_a_damaged_url_is_refused(damage: Any) -> None:
    for case in SIGNED:
        if case.settings.get("path_prefix"):
            continue
        with pytest.raises(BadSignature):
            answered(case, damage(target(case)))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        # imgproxy-python, drf-imgproxy: removed in imgproxy 3
        (f"/fill/300/200/ce/0/{CHUNKS}.png", "the basic URL format"),
        # paid features that are not here yet: they must be refused, not misread
        (f"/-/rot:90/{CAT64}", "nor URL-safe base64"),
        (f"/bl:10/-/ar:true/{CAT64}", "nor URL-safe base64"),
        (f"/brightness:10/{CAT64}", "unknown option 'brightness'"),
    ],
)
def test_what_is_not_understood_is_refused(path: str, reason: str) -> None:
    case = Case("", path)
    with pytest.raises(RequestError, match=reason) as caught:
        answered(case, target(case))
    assert caught.value.status == 404


def test_an_option_without_a_signature_is_no_signature() -> None:
    with pytest.raises(RequestError, match="looks like an option"):
        answered(CASES[0], CASES[0].path)
    with pytest.raises(InvalidUrl):
        answered(CASES[0], "/")


@pytest.mark.parametrize(
    ("key", "salt", "path", "expected"),
    [
        (
            b"secret",
            b"hello",
            "/rs:fill:300:400:0/g:sm/aHR0cDovL2V4YW1w/bGUuY29tL2ltYWdl/cy9jdXJpb3NpdHku/anBn.png",
            "oKfUtW34Dvo2BGQehJFR4Nr0_rIjOtdtzJ3QFsUcXH8",
        ),
    ],
)
def test_the_official_example_is_understood(key: bytes, salt: bytes, path: str, expected: str) -> None:
    split = Dialect().split(f"/{expected}{path}")
    signer = Signer.of(SigningSettings(key=(key,), salt=(salt,)))
    assert signer.verify(split.signature, split.path) == 0
    assert Dialect().read(split.path).source.url == "http://example.com/images/curiosity.jpg"
