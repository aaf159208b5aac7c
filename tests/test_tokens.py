"""Tokens: what each permits, and that nothing else is one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import re
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.dialects.imgproxy import Dialect, DialectSettings
from imgproxy.errors import BadSignature, OptionForbidden, OutsideToken, RequestError, UnknownPreset
from imgproxy.model import Client, ImageRequest
from imgproxy.planning import Planner
from imgproxy.presets import Definition, Presets
from imgproxy.presets.lines import read_options
from imgproxy.signing import KeyPair, Signer
from imgproxy.tokens import LONGEST, Token, Tokens, is_token

OLD, NEW = KeyPair(b"old", b"salt"), KeyPair(b"new", b"pepper")
TOKENS = Tokens([OLD, NEW])
SOURCE = "https://cdn.example.com/products/a.jpg"
PREFIX = "https://cdn.example.com/products/"
NEVER = 4102444800


def definition(name: str, options: str, widths: tuple[int, ...] = (), *allow: str) -> Definition:
    return Definition(name, read_options(options, ":"), widths, allow if allow or widths else None)


PRESETS = Presets(
    {
        each.name: each
        for each in (
            definition("card", "rs:fill:320:240", (160, 320), "dpr"),
            definition("open", "rs:fit:99:99"),
            definition("any", "q:5", (), "format", "preset", "raw"),
            Definition("lead", read_options("pr:card", ":")),
        )
    }
)
EXACT, BELOW = Token.of("card", SOURCE), Token.below("card", PREFIX, NEVER)


def request(path: str, **settings: object) -> ImageRequest:
    return Dialect(DialectSettings.model_validate(settings)).read(path)


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def resealed(body: str) -> str:
    """A body with a good signature: of a maker that has the key, and writes tokens wrongly."""
    derived = hmac.digest(NEW.key, b"imgproxy-token" + NEW.salt, "sha256")
    return f"{body}.{base64url(hmac.digest(derived, body.encode(), 'sha256'))}"


@pytest.mark.parametrize("token", [EXACT, BELOW, Token.below("bücher/ä", "local:///a b/"), Token.of("x", "", 1)])
def test_what_is_made_is_read(token: Token) -> None:
    text = TOKENS.make(token)
    assert is_token(text)
    assert TOKENS.read(text) == (token, 1)
    assert Tokens([NEW]).read(text) == (token, 0)
    assert quote(text, safe="~") == text, "nothing in it that anybody would escape"


@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, 10**12 - 1))
def test_every_token_is_read_as_it_was_made(preset: str, source: str, expires: int) -> None:
    for token in (Token.of(preset or "x", source, expires), Token.below("p", "http://h.test/" + quote(source) + "x/")):
        try:
            text = TOKENS.make(token)
        except ValueError:
            continue  # too long, or not text at all
        assert TOKENS.read(text) == (token, 1)


def test_the_format_is_the_documented_one() -> None:
    derived = hmac.digest(b"new", b"imgproxy-token" + b"pepper", "sha256")
    key = hmac.digest(derived, b"key-id", "sha256")[:4].hex()
    digest = base64url(hashlib.sha256(SOURCE.encode()).digest())
    assert TOKENS.make(EXACT) == resealed(f"~{key}.0.{base64url(b'card')}.s{digest}")
    assert TOKENS.make(BELOW) == resealed(f"~{key}.{NEVER}.{base64url(b'card')}.p{base64url(PREFIX.encode())}")
    assert TOKENS.key_ids[1] == key


def test_a_token_is_no_signature_and_a_signature_no_token() -> None:
    text, path = TOKENS.make(EXACT), "/pr:card/plain/" + SOURCE
    with pytest.raises(BadSignature):
        Signer([OLD, NEW]).verify(text, path)
    with pytest.raises(BadSignature):
        TOKENS.read("~" + NEW.sign(path))
    body = text.rpartition(".")[0]
    for sealed in (NEW.sign(body), NEW.sign("/" + body), NEW.sign(body[1:])):
        with pytest.raises(BadSignature, match="changed after it was made"):
            TOKENS.read(f"{body}.{sealed}")
    assert not is_token("unsafe")


def test_keys_are_told_apart() -> None:
    old = Tokens([OLD]).make(EXACT)
    assert TOKENS.read(old) == (EXACT, 0)
    with pytest.raises(BadSignature, match=f"key {TOKENS.key_ids[0]}, and the keys here are {TOKENS.key_ids[1]}"):
        Tokens([NEW]).read(old)
    assert Tokens([NEW, NEW]).read(TOKENS.make(EXACT)) == (EXACT, 0)
    assert len({*Tokens([KeyPair(b"a", b"b"), KeyPair(b"ab", b""), KeyPair(b"", b"ab")]).key_ids}) == 3


@pytest.mark.parametrize("token", [EXACT, BELOW])
def test_every_bit_of_a_token_counts(token: Token) -> None:
    raw = TOKENS.make(token).encode()
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            TOKENS.read(flipped.decode("latin-1"))


def test_no_mutation_of_a_token_is_one() -> None:
    chance = random.Random(7)
    alphabet = string.ascii_letters + string.digits + "-_.~=%/\0é "
    makes = [TOKENS.make(each) for each in (EXACT, BELOW, Token.of("open", SOURCE, 7))]
    good = {*makes}
    tried = 0
    while tried < 10_000:
        text = chance.choice(makes)
        for _ in range(chance.randint(1, 4)):
            at, to = sorted(chance.choices(range(len(text) + 1), k=2))
            piece = chance.choice(
                [chance.choice(alphabet), "", text[at:to], text[at:to].swapcase(), chance.choice(makes)[at:to]]
            )
            text = text[:at] + piece + text[chance.choice([at, at + 1, to]) :]
        if text in good:
            continue
        tried += 1
        with pytest.raises(BadSignature):
            TOKENS.read(text)


def test_words_of_tokens_cannot_be_exchanged() -> None:
    one, other = (TOKENS.make(each).split(".") for each in (EXACT, BELOW))
    for word in range(5):
        if one[word] != other[word]:
            with pytest.raises(BadSignature):
                TOKENS.read(".".join([*one[:word], other[word], *one[word + 1 :]]))


KEY = TOKENS.key_ids[1]
DIGEST = EXACT.digest


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("~", "has 1 words"),
        ("~" + "a" * LONGEST, f"has {LONGEST + 1} characters"),
        (TOKENS.make(EXACT)[:-20], "has 23 characters in place of 43"),
        (TOKENS.make(EXACT) + "=", "has 44 characters in place of 43"),
        (TOKENS.make(EXACT) + ".x", "has 6 words"),
        (TOKENS.make(EXACT).replace("~", "~~"), "holds what no token holds"),
        (TOKENS.make(EXACT).replace(KEY, KEY.upper() + "A"), "holds what no token holds"),
        (TOKENS.make(BELOW).replace(str(NEVER), f"0{NEVER}"), "holds what no token holds"),
        (TOKENS.make(BELOW).replace(str(NEVER), f"{NEVER + 1}"), "changed after it was made"),
        (resealed(f"~{KEY}.0.Y2FyZB.s{DIGEST}"), "as it should be: its base64 has spare bits"),
        (resealed(f"~{KEY}.0.Y2FyZ.s{DIGEST}"), "not URL-safe base64"),
        (resealed(f"~{KEY}.0.gICA.s{DIGEST}"), "can't decode byte"),
        (resealed(f"~{KEY}.0.Y2FyZA.s{DIGEST[1:]}"), "digest has 42 characters"),
        (resealed(f"~{KEY}.0.Y2FyZA.p{base64url(b'https://h.test/a')}"), "slash at the end"),
    ],
)
def test_each_refusal_has_its_reason(text: str, reason: str) -> None:
    with pytest.raises(BadSignature, match=reason):
        TOKENS.read(text)


def test_a_token_has_a_longest() -> None:
    def made(letters: int) -> str:
        return TOKENS.make(Token.below("card", "http://h.test/" + "a" * letters + "/"))

    assert len(made(600)) < LONGEST
    with pytest.raises(ValueError, match="shorten the prefix"):
        made(800)


@pytest.mark.parametrize(
    "path",
    [
        "/pr:card/plain/{}",
        "/preset:card/w:160/plain/{}",
        "/pr:card/width:320/dpr:2/plain/{}",
        "/w%3A160/pr:card/w:320/plain/{}@",
        "//pr:card/dpr:1.5//w:160/{base64}",
    ],
)
@pytest.mark.parametrize("token", [EXACT, BELOW])
def test_permitted(token: Token, path: str) -> None:
    encoded = base64url(SOURCE.encode())
    path = path.format(quote(SOURCE, safe=":/"), base64=f"{encoded[:9]}/{encoded[9:]}").replace("%3A", ":", 1)
    token.check(request(path), PRESETS)


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ("w:160", OutsideToken, "names no preset, and the token is for 'card'"),
        ("pr:open", OutsideToken, "names the preset 'open', and the token is for 'card'"),
        ("pr:lead", OutsideToken, "names the preset 'lead'"),
        ("pr:card:open", OutsideToken, "names the preset 'open'"),
        ("pr:card:card", OutsideToken, "more than once"),
        ("pr:card/pr:card", OutsideToken, "more than once"),
        ("pr:open/pr:card", OutsideToken, "names the preset 'open'"),
        ("pr:card/w:161", OptionForbidden, "has the widths 160, 320; got 161"),
        ("pr:card/w:0", OptionForbidden, "got 0"),
        ("w:1/pr:card/w:160", OptionForbidden, "got 1"),
        ("pr:card/h:9", OptionForbidden, "open to URLs: dpr, width; got 'rs:fit:0:9'"),
        ("pr:card/rs:fill:160:120", OptionForbidden, "got 'rs:fill:160:120'"),
        ("pr:card/q:1", OptionForbidden, "got 'q:1'"),
        ("pr:card/exp:1", OptionForbidden, "got 'exp:1'"),
        ("pr:card/raw:1", OptionForbidden, "got 'raw:1'"),
    ],
)
def test_beside_the_preset_only_what_it_leaves_open(options: str, error: type[RequestError], reason: str) -> None:
    for token in (EXACT, BELOW):
        with pytest.raises(error, match=reason):
            token.check(request(f"/{options}/plain/{SOURCE}"), PRESETS)


@pytest.mark.parametrize("end", ["@webp", "@png"])
def test_an_extension_is_a_format(end: str) -> None:
    for path in (f"/plain/{SOURCE}{end}", f"/{base64url(SOURCE.encode())}{end.replace('@', '.')}"):
        with pytest.raises(OptionForbidden, match="got 'f:"):
            EXACT.check(request("/pr:card" + path), PRESETS)
        Token.of("any", SOURCE).check(request("/pr:any" + path), PRESETS)


def test_a_preset_that_says_nothing_opens_nothing() -> None:
    token = Token.of("open", SOURCE)
    token.check(request(f"/pr:open/plain/{SOURCE}"), PRESETS)
    for option in ("w:160", "q:5", "cb:1"):
        with pytest.raises(OptionForbidden, match="open to URLs: none"):
            token.check(request(f"/pr:open/{option}/plain/{SOURCE}"), PRESETS)


def test_one_preset_also_where_it_allows_others() -> None:
    with pytest.raises(OutsideToken, match="'open'"):
        Token.of("any", SOURCE).check(request(f"/pr:any:open/plain/{SOURCE}"), PRESETS)


def test_an_alias_has_the_widths_of_what_it_stands_for() -> None:
    Token.of("lead", SOURCE).check(request(f"/pr:lead/w:160/plain/{SOURCE}"), PRESETS)
    with pytest.raises(OptionForbidden, match="got 161"):
        Token.of("lead", SOURCE).check(request(f"/pr:lead/w:161/plain/{SOURCE}"), PRESETS)


def test_a_preset_that_is_gone_is_refused() -> None:
    with pytest.raises(UnknownPreset):
        EXACT.check(request(f"/pr:card/plain/{SOURCE}"), Presets())


def test_where_presets_are_all_there_is_the_token_needs_the_same_one() -> None:
    EXACT.check(request(f"/card/plain/{SOURCE}", only_presets=True), PRESETS)
    for presets in ("open", "card:open", "card:card"):
        with pytest.raises(OutsideToken):
            EXACT.check(request(f"/{presets}/plain/{SOURCE}", only_presets=True), PRESETS)


@pytest.mark.parametrize(
    "source", [SOURCE + "?", SOURCE + "#", SOURCE[:-1], SOURCE.upper(), "https://cdn.example.com/products/./a.jpg", "x"]
)
def test_a_source_is_exactly_that_one(source: str) -> None:
    for path in (f"/pr:card/plain/{quote(source, safe='')}", f"/pr:card/{base64url(source.encode())}"):
        with pytest.raises(OutsideToken, match="not the one that the token was made for"):
            EXACT.check(request(path), PRESETS)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("https://cdn.example.com/a.jpg", "not below"),
        ("https://cdn.example.com/products/..%2fsecret", "not below"),
        ("https://cdn.example.com\\@evil.test/products/a.jpg", "cannot be compared.* more than one way"),
    ],
)
def test_a_prefix_is_left_by_nobody(source: str, reason: str) -> None:
    for path in (f"/pr:card/plain/{quote(source, safe='')}", f"/pr:card/{base64url(source.encode())}"):
        with pytest.raises(OutsideToken, match=reason):
            BELOW.check(request(path), PRESETS)


def test_the_source_is_compared_as_it_is_fetched() -> None:
    rewriting = {"base_url": "https://cdn.example.com/", "url_replacements": "shop:=products/;evil/=../"}
    for token in (EXACT, BELOW):
        token.check(request("/pr:card/plain/shop:a.jpg", **rewriting), PRESETS)
        for source in ("a.jpg", "shop:/b%2f../../../a.jpg", "evil/a.jpg"):
            with pytest.raises(OutsideToken):
                token.check(request(f"/pr:card/plain/{source}", **rewriting), PRESETS)


def test_the_height_goes_with_the_width() -> None:
    plan = Planner(presets=PRESETS).plan(request(f"/pr:card/w:160/plain/{SOURCE}"), Client())
    assert str(plan.options).startswith("rs:fill:160:120"), "also where `allow` does not repeat what `widths` say"


@pytest.mark.parametrize(("url", "token", "end"), [(0, 0, 0), (5, 0, 5), (0, 5, 5), (3, 5, 3), (5, 3, 3)])
def test_the_sooner_end_counts(url: int, token: int, end: int) -> None:
    plan = Planner().plan(request(f"/exp:{url}/plain/{SOURCE}"), Client())
    bound = Token.of("card", SOURCE, token).bound(plan)
    assert bound.delivery.expires == end
    assert bound.key == plan.key


PAGE = (Path(__file__).parents[1] / "docs" / "tokens.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("token", [Token.of("hero", "https://h.test/é"), Token.below("hero", PREFIX, NEVER)])
def test_the_page_shows_how_others_make_them(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGPROXY_KEY", b"secret".hex())
    monkeypatch.setenv("IMGPROXY_SALT", b"hello".hex())
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    made = Tokens([KeyPair(b"secret", b"hello")]).make(token)
    assert names["imgproxy_token"](token.preset, token.prefix or "https://h.test/é", token.expires) == made
    if token.prefix:
        assert f"\n{made}\n" in PAGE
