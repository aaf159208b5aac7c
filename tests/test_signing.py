from __future__ import annotations

import base64
import hashlib
import hmac
import random
import string
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from imgproxy.dialects.imgproxy import Dialect
from imgproxy.errors import BadSignature, ImageError, MissingSignature
from imgproxy.signing import KeyPair, Signer, SigningSettings, path_of

# Spec §1.2: recomputed vectors.
VECTORS = [
    (
        b"secret",
        b"hello",
        "/rs:fill:300:400:0/g:sm/aHR0cDovL2V4YW1w/bGUuY29tL2ltYWdl/cy9jdXJpb3NpdHku/anBn.png",
        32,
        "oKfUtW34Dvo2BGQehJFR4Nr0_rIjOtdtzJ3QFsUcXH8",
    ),
    (b"test-key", b"test-salt", "/asd", 32, "oWaL7QoW5TsgbuiS9-5-DI8S3Ibbo1gdB2SteJh3a20"),
    (b"test-key", b"test-salt", "/asd", 8, "oWaL7QoW5Ts"),
]
OLD, NEW = KeyPair(b"old", b"salt"), KeyPair(b"new", b"pepper")


@pytest.mark.parametrize(("key", "salt", "path", "size", "signature"), VECTORS)
def test_vectors(key: bytes, salt: bytes, path: str, size: int, signature: str) -> None:
    pair = KeyPair(key, salt)
    assert pair.sign(path, size) == signature
    assert Signer([pair], size).verify(signature, path) == 0
    assert Signer([pair], size).sign(path) == f"/{signature}{path}"


@given(st.binary(max_size=80), st.binary(max_size=80), st.text(st.characters(max_codepoint=255)), st.integers(1, 32))
def test_a_signature_is_a_cut_hmac(key: bytes, salt: bytes, path: str, size: int) -> None:
    digest = hmac.new(key, salt + path.encode("latin-1"), hashlib.sha256).digest()
    assert KeyPair(key, salt).sign(path, size) == base64.urlsafe_b64encode(digest[:size]).decode().rstrip("=")


@given(
    st.text(string.printable, max_size=50),
    st.integers(1, 32),
    st.integers(0, 42),
    st.sampled_from(string.ascii_letters + string.digits + "-_=%:"),
)
def test_every_one_character_change_is_refused(path: str, size: int, place: int, character: str) -> None:
    signer = Signer([NEW], size)
    good = NEW.sign(path, size)
    place %= len(good)
    assume(good[place] != character)
    for bad in (
        good[:place] + character + good[place + 1 :],
        good[:place] + character + good[place:],
        good[:place] + good[place + 1 :],
    ):
        with pytest.raises((BadSignature, MissingSignature)):
            signer.verify(bad, path)
    assert signer.verify(good, path) == 0


@pytest.mark.parametrize("size", [1, 8, 31])
def test_only_the_configured_length_is_good(size: int) -> None:
    signer = Signer([NEW], size)
    for other in {1, 8, 31, 32} - {size}:
        with pytest.raises(BadSignature):
            signer.verify(NEW.sign("/asd", other), "/asd")


@pytest.mark.parametrize("padding", ["=", "==", "%3D", "\n", " "])
def test_padding_is_refused(padding: str) -> None:
    with pytest.raises(BadSignature):
        Signer([NEW]).verify(NEW.sign("/asd") + padding, "/asd")


def test_other_spellings_of_the_same_bytes_are_refused() -> None:
    good = NEW.sign("/asd")  # 43 characters: the last one carries two bits that are ignored on decoding
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    twin = good[:-1] + alphabet[alphabet.index(good[-1]) + 1]
    assert base64.urlsafe_b64decode(twin + "=") == base64.urlsafe_b64decode(good + "=")
    with pytest.raises(BadSignature):
        Signer([NEW]).verify(twin, "/asd")


def test_any_pair_that_matches_is_accepted_and_the_newest_signs() -> None:
    signer = Signer([OLD, NEW])
    assert signer.verify(OLD.sign("/asd"), "/asd") == 0
    assert signer.verify(NEW.sign("/asd"), "/asd") == 1
    assert signer.sign("/asd") == f"/{NEW.sign('/asd')}/asd"
    with pytest.raises(BadSignature, match="by any configured key"):
        signer.verify(KeyPair(b"old", b"pepper").sign("/asd"), "/asd")  # a pair is a pair


@pytest.mark.parametrize("signature", ["unsafe", "insecure", "_", "-", "", "%FF", "\xff"])
def test_without_keys_every_text_is_good(signature: str) -> None:
    assert Signer().verify(signature, "/asd") is None
    assert Signer().sign("/asd") == "/unsafe/asd"


@pytest.mark.parametrize("signer", [Signer(), Signer([NEW])])
def test_an_option_in_the_place_of_the_signature_is_named(signer: Signer) -> None:
    with pytest.raises(MissingSignature, match="'rs:fill:300:200', which looks like an option"):
        signer.verify("rs:fill:300:200", "/plain/http://x")


def test_a_broken_signature_is_not_told() -> None:
    with pytest.raises(MissingSignature, match="is 44 characters with a colon, which looks like an option"):
        Signer([NEW]).verify(f"{NEW.sign('/asd')}:", "/asd")


@pytest.mark.parametrize(("text", "checked"), [("~x", True), ("~partner", False), ("", True)])
def test_what_is_checked(text: str, checked: bool) -> None:
    assert Signer([NEW], trusted=("~partner",)).checks(text) is checked
    assert not Signer(trusted=("~partner",)).checks(text)


@pytest.mark.parametrize("pairs", [[], [NEW]])
def test_trusted_texts_need_no_check(pairs: list[KeyPair]) -> None:
    signer = Signer(pairs, trusted=("partner", "a:b", "gr\xfcn"))
    assert [signer.verify(each, "/any") for each in ("partner", "a:b", "gr\xfcn")] == [None, None, None]
    if pairs:
        with pytest.raises(BadSignature):
            signer.verify("Partner", "/any")


def test_settings_make_a_signer() -> None:
    settings = SigningSettings.model_validate(
        {"key": "6f6c64,6e6577", "salt": "73616c74,706570706572", "signature_size": 8, "trusted_signatures": "a, b"}
    )
    signer = Signer.of(settings)
    assert signer.pairs == (OLD, NEW)
    assert signer.verify(NEW.sign("/asd", 8), "/asd") == 1
    assert signer.verify("b", "/asd") is None
    assert SigningSettings(key=(b"k",), salt=(b"s",)).key == (b"k",)
    assert SigningSettings().key == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"key": "zz", "salt": "00"}, "expected hexadecimal digits"),
        ({"key": "000", "salt": "00"}, "expected hexadecimal digits"),
        ({"key": "00,11", "salt": "00"}, "IMGPROXY_KEY has 2 keys and IMGPROXY_SALT 1 salts"),
        ({"key": "00"}, "IMGPROXY_KEY has 1 keys and IMGPROXY_SALT 0 salts"),
        ({"salt": "00"}, "IMGPROXY_KEY has 0 keys"),
        ({"signature_size": 0}, "greater than or equal to 1"),
        ({"signature_size": 33}, "less than or equal to 32"),
    ],
)
def test_bad_settings_are_refused(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        SigningSettings.model_validate(fields)


def test_secrets_are_not_shown() -> None:
    settings = SigningSettings.model_validate({"key": "6f6c64", "salt": "6f6c64", "trusted_signatures": "partner"})
    assert "old" not in repr(settings)
    assert "partner" not in repr(settings)


SIGNED = "/rs:fit:300:300/plain/http://x/a%20b.jpg"
HEX = KeyPair(NEW.key.hex().encode(), NEW.salt.hex().encode())


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (NEW.sign(SIGNED, 16), "has another length"),
        (NEW.sign(SIGNED)[:8], "has another length"),
        (NEW.sign(SIGNED)[:7], "another key or salt"),  # too short to tell
        (NEW.sign(SIGNED) + "=", "padded"),
        (NEW.sign("/rs:fit:300:300/plain/http://x/a b.jpg"), "percent-encoded after it was signed"),
        (NEW.sign(SIGNED[1:]), "without its leading slash"),
        (HEX.sign(SIGNED), "decode them from hexadecimal"),
        (KeyPair(NEW.key, b"").sign(SIGNED), "without the salt"),
        (KeyPair(NEW.salt, NEW.key).sign(SIGNED), "exchanged"),
        (NEW.sign("/another"), "another key or salt was used, or the path was changed"),
        ("unsafe", "another key or salt"),
        ("\xff" * 43, "another key or salt"),
    ],
)
def test_a_refusal_names_the_likely_mistake(signature: str, reason: str) -> None:
    with pytest.raises(BadSignature, match=reason):
        Signer([OLD, NEW]).verify(signature, SIGNED)


@pytest.mark.parametrize(
    ("source", "options", "base64", "path"),
    [
        ("http://x/cat.jpg", (), False, "/plain/http://x/cat.jpg"),
        ("http://x/a b@2x.jpg?q=1#f", ("w:1", "g:no"), False, "/w:1/g:no/plain/http://x/a%20b%402x.jpg%3Fq=1%23f"),
        ("http://x/%41.jpg", (), False, "/plain/http://x/%2541.jpg"),
        ("http://x/é.jpg", (), False, "/plain/http://x/%C3%A9.jpg"),
        ("http://x/cat.jpg", ("w:1",), True, "/w:1/aHR0cDovL3gvY2F0LmpwZw"),
    ],
)
def test_paths_of_sources(source: str, options: tuple[str, ...], base64: bool, path: str) -> None:
    assert path_of(source, options, base64=base64) == path
    assert Dialect().read(path).source.url == source


def test_every_bit_of_a_signature_counts() -> None:
    signer, path = Signer([OLD, NEW]), "/rs:fit:300:300/plain/https://example.com/a.jpg"
    digest = base64.urlsafe_b64decode(NEW.sign(path) + "=")
    for bit in range(256):
        flipped = bytearray(digest)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            signer.verify(base64.urlsafe_b64encode(flipped).decode().rstrip("="), path)
    assert signer.verify(NEW.sign(path), path) == 1


def test_a_signature_has_one_spelling() -> None:
    # The fourth-to-last character of base64 carries bits that no byte needs: decoders take any of them.
    signer, path = Signer([NEW]), next(path for n in range(99) if {"-", "_"} <= set(NEW.sign(path := f"/{n}")))
    good = NEW.sign(path)
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    last = alphabet.index(good[-1])
    assert last % 4 == 0
    others = {good[:-1] + alphabet[last + spare] for spare in (1, 2, 3)}
    others |= {
        good.replace("-", "+"),
        good.replace("_", "/"),
        good + "=",
        good.swapcase(),
        quote(good, safe="").lower(),
    }
    others |= {good.replace("-", "%2D"), good + "A", good + good, "A" + good, "\0" + good, good + "\0", " " + good}
    others |= {good[:size] for size in range(43)} | {good[start:] for start in range(1, 43)}
    for other in others - {good}:
        with pytest.raises(BadSignature):
            signer.verify(other, path)


PIECES = ["%", "%2F", "/", "//", ":", "@", "=", "+", "-", "_", "\xff", "?", "#", ".", "../", "plain/", "\0"]


def change(url: str, chance: random.Random, others: list[str]) -> str:
    at = chance.randrange(1, max(2, len(url)))
    match chance.randrange(5):
        case 0:
            return url[:at] + chr(chance.randrange(256)) + url[at + 1 :]
        case 1:
            return url[:at] + chance.choice(PIECES) + url[at:]
        case 2:
            return url[:at] + url[at + chance.randint(1, 5) :]
        case 3:
            return url[:at] + chr(ord(url[at : at + 1] or "x") ^ (1 << chance.randrange(8))) + url[at + 1 :]
        case _:
            return url[:1] + chance.choice(others)[1:44] + url[44:]  # the signature of another one


def mutated(seed: int, count: int) -> Iterator[str]:
    """Signed URLs that something happened to; none of them is the one that was signed."""
    chance, dialect, signer = random.Random(seed), Dialect(), Signer([NEW])
    good = [
        signer.sign(path_of(source, options, base64=encoded))
        for source in ("https://example.com/a.jpg", "local:///photo.png")
        for options in ([], ["rs:fill:300:200"], ["w:9", "f:webp", "cb:v1"])
        for encoded in (False, True)
    ]
    signed = {(split.signature, split.path) for split in map(dialect.split, good)}
    while count:
        url = chance.choice(good)
        for _ in range(chance.randint(1, 3)):
            url = change(url, chance, good)
        try:
            split = dialect.split(url)
        except ImageError:
            count -= 1
            continue
        # What the dialect repairs to the very same bytes is the same URL.
        if (split.signature, split.path) not in signed:
            count -= 1
            yield url


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_no_mutated_url_is_accepted(count: int) -> None:
    signer, dialect = Signer([OLD, NEW]), Dialect()
    tried = 0
    for url in mutated(count, count):
        split = dialect.split(url)
        with pytest.raises((BadSignature, MissingSignature)):
            signer.verify(split.signature, split.path)
        tried += 1
    assert tried > count / 2


def files(tmp_path: Path, key: str, salt: str) -> dict[str, str]:
    (tmp_path / "key").write_text(key)
    (tmp_path / "salt").write_text(salt)
    return {"key_path": str(tmp_path / "key"), "salt_path": str(tmp_path / "salt")}


def test_keys_from_files(tmp_path: Path) -> None:
    given = files(tmp_path, "# old\naa\n\n  # new\nBB\n", "01\r\n02")
    settings = SigningSettings.model_validate(given)
    assert (settings.key, settings.salt) == ((b"\xaa", b"\xbb"), (b"\x01", b"\x02"))
    assert "aa" not in repr(settings).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("key", "salt", "also", "said"),
    [
        ("", "01", {}, "IMGPROXY_KEY_PATH: there is nothing in"),
        ("# nothing\n", "01", {}, "there is nothing in"),
        ("deadbee", "01", {}, "expected hexadecimal digits"),
        ("aa\nsecret", "01\n02", {}, "line 2"),
        ("aa\nbb", "01", {}, "2 keys"),
        ("\xe9", "01", {}, "is not text"),
        ("aa", "01", {"key": "bb"}, "give one of IMGPROXY_KEY and IMGPROXY_KEY_PATH"),
        ("aa", "01", {"salt_path": "/nowhere/salt"}, "IMGPROXY_SALT_PATH: No such file or directory: /nowhere/salt"),
    ],
)
def test_bad_key_files(tmp_path: Path, key: str, salt: str, also: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SigningSettings.model_validate(files(tmp_path, key, salt) | also)
    (mistake,) = caught.value.errors(include_input=False, include_url=False)
    assert said in mistake["msg"]
    assert not {"deadbee", "secret"} & set(mistake["msg"].split())
