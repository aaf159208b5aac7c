from __future__ import annotations

import time
from pathlib import Path

import pytest

from imgproxy.explanation import Step, explain
from imgproxy.settings import Settings
from imgproxy.signing import KeyPair
from tests.serving import KEY, SALT, SIGNER, signed

SOURCE = "http://example.com/cat.jpg"
KEYS = {"IMGPROXY_KEY": f"{'00' * 8},{KEY}", "IMGPROXY_SALT": f"{'00' * 8},{SALT}"}


def steps(url: str, **given: str) -> list[Step]:
    return explain(url, Settings.read(KEYS | {f"IMGPROXY_{name.upper()}": value for name, value in given.items()}))


def texts(url: str, **given: str) -> dict[str, str]:
    """What is said by each step of a good URL."""
    found = steps(url, **given)
    assert all(step.good for step in found)
    return {step.name: step.text for step in found}


def failure(url: str, **given: str) -> Step:
    (bad,) = [step for step in steps(url, **given) if not step.good]
    return bad


def test_a_good_url_is_told_step_by_step() -> None:
    found = steps(signed(SOURCE, "rs:fill:300:200", "f:webp"))
    assert [(step.name, step.good) for step in found] == [
        (name, True) for name in ("signature", "source", "option", "format", "quality", "key", "origin")
    ]
    said = texts(signed(SOURCE, "rs:fill:300:200", "f:webp"))
    assert said["signature"] == "good: key 2 of 2"
    assert said["source"] == SOURCE
    assert said["option"] == "rs:fill:300:200 (the URL)"
    assert said["format"] == "webp"
    assert "webp 79" in said["quality"]
    assert found[0].as_dict() == {"name": "signature", "text": "good: key 2 of 2", "good": True, "remedy": ""}


def test_a_url_is_as_good_as_its_path() -> None:
    path = signed(SOURCE, "w:30")
    assert steps(f"https://images.example.com:8080{path}") == steps(path)


def test_presets_are_told_as_what_they_stand_for() -> None:
    assert texts(signed(SOURCE, "pr:thumb"), presets="thumb=rs:fill:40:40")["option"] == (
        "rs:fill:40:40 (preset 'thumb')"
    )


SHOP = """version = 1
owner = "shop"
[defaults]
quality = 70
sharpen = 1
[presets.tile]
description = "Tile"
resize = { type = "fill", width = 320, height = 320 }
widths = [160, 320]
[presets.tile.canary]
share = 1.0
sharpen = 0.5
[presets.old]
alias = "tile"
deprecated = { note = "use tile" }
"""


def test_each_option_is_told_with_who_set_it(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(SHOP)
    found = steps(signed(SOURCE, "pr:old", "w:160", "bl:2"), presets_dir=str(tmp_path), enforce_thumbnail="1")
    assert all(step.good for step in found)
    assert [step.text for step in found if step.name == "preset"] == [
        "default (shop.toml:3:2)",
        "old (shop.toml:13:10; deprecated: use tile)",
        "tile (shop.toml:6:10)",
    ]
    assert [step.text for step in found if step.name == "option"] == [
        "eth:1 (the settings)",
        "rs:fill:160:160 (preset 'tile', the URL)",
        "bl:2 (the URL)",
        "sh:0.5 (the canary of preset 'tile')",
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (SIGNER.sign("/wdth:30/plain/x:y"), f"did you mean width? {SIGNER.sign('/width:30/plain/x:y')}"),
        ("https://i.example.com/unsafe/w:3/plain/x:y", f"https://i.example.com{SIGNER.sign('/w:3/plain/x:y')}"),
        ("/w:30/plain/x:y", SIGNER.sign("/w:30/plain/x:y")),
        (SIGNER.sign("/w:abc/plain/x:y"), ""),
    ],
)
def test_what_would_be_right_comes_last(url: str, said: str) -> None:
    last = steps(url)[-1]
    assert (last.text if last.name == "corrected" else "") == said


def test_a_url_that_was_signed_whole_is_recognised() -> None:
    whole = "https://i.example.com/w:3/plain/x:y"
    url = f"https://i.example.com/{PAIR.sign(whole)}/w:3/plain/x:y"
    assert "was signed with its host" in failure(url).text


def test_repairs_and_losses_are_mentioned() -> None:
    assert texts(signed(SOURCE, "w:30").replace("http://", "http:/"))["repaired path"] == f"/w:30/plain/{SOURCE}"
    assert "?v=1" in texts(signed(SOURCE, "w:30") + "?v=1")["ignored"]


def test_without_a_check_it_says_so() -> None:
    assert "trusted" in texts(f"/open/plain/{SOURCE}", trusted_signatures="open")["signature"]
    (first, *_) = explain(f"/x/plain/{SOURCE}", Settings.read({}))
    assert first == Step("signature", "not checked: no key is configured")


PAIR = KeyPair(bytes.fromhex(KEY), bytes.fromhex(SALT))
PATH = f"/w:30/plain/{SOURCE}?a=b"


@pytest.mark.parametrize(
    ("signature", "path", "mistake"),
    [
        (PAIR.sign(PATH), f"/w:30/plain/{SOURCE}%3Fa=b", "percent-encoded after it was signed"),
        (PAIR.sign("/w:1/plain/x:b%20c"), "/w:1/plain/x:b%2520c", "encoded twice"),
        (PAIR.sign("/w:1/plain/x:y", 8), "/w:1/plain/x:y", "of 8 bytes, and IMGPROXY_SIGNATURE_SIZE is 32"),
        (PAIR.sign("w:1/plain/x:y"), "/w:1/plain/x:y", "without its leading slash"),
        (KeyPair(KEY.encode(), SALT.encode()).sign("/w:1/plain/x:y"), "/w:1/plain/x:y", "used as text"),
        (KeyPair(PAIR.key, b"").sign("/w:1/plain/x:y"), "/w:1/plain/x:y", "without the salt"),
        (KeyPair(PAIR.salt, PAIR.key).sign("/w:1/plain/x:y"), "/w:1/plain/x:y", "exchanged"),
        (PAIR.sign("/w:1/plain/x:y") + "=", "/w:1/plain/x:y", "padded"),
        ("A" * 43, "/w:1/plain/x:y", "by any configured key (2)"),
    ],
)
def test_the_usual_mistakes_of_signing_are_named(signature: str, path: str, mistake: str) -> None:
    found = failure(f"/{signature}{path}")
    assert found.name == "bad signature"
    assert "403 Forbidden" in found.text
    assert mistake in found.text
    assert found.remedy


@pytest.mark.parametrize(
    ("url", "name", "part"),
    [
        ("/w:30/plain/http://x/y", "missing signature", "looks like an option"),
        ("/nothing", "invalid url", "expected /<signature>/"),
        (SIGNER.sign("/wdth:30/plain/x:y"), "bad option", "did you mean"),
        (SIGNER.sign("/w:abc/plain/x:y"), "bad option", "'abc'"),
        (SIGNER.sign("/pr:nosuch/plain/x:y"), "unknown preset", "'nosuch'"),
        (SIGNER.sign("/msr:9/plain/x:y"), "option forbidden", "IMGPROXY_ALLOW_SECURITY_OPTIONS"),
        (SIGNER.sign("/f:jxl/plain/x:y"), "unsupported format", "jxl"),
        (SIGNER.sign("/w:30/plain/s3://bucket/y"), "scheme forbidden", "s3://"),
        (SIGNER.sign("/w:30/plain/local:///y"), "scheme forbidden", "local://"),
    ],
)
def test_the_first_mistake_ends_the_walk(url: str, name: str, part: str) -> None:
    found = failure(url)
    assert found.name == name
    assert part in found.text


def test_a_source_that_is_not_allowed() -> None:
    assert "not among the allowed sources" in failure(signed(SOURCE), allowed_sources="http://cdn.example.com/").text


def test_expiry_is_shown_and_judged() -> None:
    soon, past = int(time.time()) + 1000, 1_000_000_000
    assert texts(signed(SOURCE, f"exp:{soon}"))["expires"].endswith("UTC")
    (found,) = [step for step in steps(signed(SOURCE, f"exp:{past}")) if not step.good]
    assert found == Step("expires", "2001-09-09 01:46:40 UTC, which is over", good=False)


def test_a_url_with_letters_of_any_script() -> None:
    path = "/w:30/plain/http://example.com/café.jpg"
    url = SIGNER.sign(path.encode().decode("latin-1")).encode("latin-1").decode()
    assert texts(url)["source"] == "http://example.com/café.jpg"
