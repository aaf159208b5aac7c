"""Signatures as people get them wrong: each is built the way that somebody would, with nothing of ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import quote

import pytest

from imgproxy.dialects.imgproxy import Dialect, DialectSettings
from imgproxy.missigned import cause
from imgproxy.signing import KeyPair, Signer
from tests.serving import KEY, SALT

HOST = "images.example.com"
PATH = "/rs:fill:300:200/plain/https://cdn.example.com/a%20cat.jpg@webp"
OTHER_KEY, OTHER_SALT = "c0ffee00", "0ddba11"[:6]
RAW_KEY, RAW_SALT = bytes.fromhex(KEY), bytes.fromhex(SALT)


def digest(path: str, key: bytes = RAW_KEY, salt: bytes = RAW_SALT) -> bytes:
    return hmac.new(key, salt + path.encode(), hashlib.sha256).digest()


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def good(path: str = PATH) -> str:
    return b64(digest(path))


def standard(wanted: str) -> tuple[str, str]:
    """A path whose digest in standard base64 has these characters and no "/" else, and that signature."""
    for number in range(9999):
        path = f"/w:{number}/plain/https://x/y"
        signature = base64.b64encode(digest(path)).decode()
        if wanted in signature and ("/" in wanted or "/" not in signature):
            return signature, path
    raise AssertionError


def why(url: str, *, prefix: str = "", size: int = 32, keys: tuple[tuple[str, str], ...] = ((KEY, SALT),)) -> str:
    dialect = Dialect(DialectSettings(path_prefix=prefix))
    signer = Signer([KeyPair(bytes.fromhex(key), bytes.fromhex(salt)) for key, salt in keys], size)
    signed = dialect.split(url)
    raw = url.partition("?")[0].removeprefix(dialect.prefix).partition("/")[0]
    return cause(signer, url, raw, signed.path, prefix=prefix, host=HOST)


PLUS, PLUS_PATH = standard("+")
SLASH, SLASH_PATH = standard("/")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"/unsafe{PATH}", "'unsafe' stands in the place of the signature"),
        # the signature's own spelling
        (f"/{good()}={PATH}", "padded"),
        (f"/{good()}%3D{PATH}", "padded"),
        (f"/{digest(PATH).hex()}{PATH}", "in hexadecimal"),
        (f"/{digest(PATH).hex().upper()}{PATH}", "in hexadecimal"),
        (f"/{PLUS}{PLUS_PATH}", "standard base64: write base64url"),
        (f"/{quote(PLUS, safe='')}{PLUS_PATH}", "standard base64: write base64url"),
        (f"/{SLASH}{SLASH_PATH}", "a / of it ends it"),
        (f"/{quote(SLASH, safe='')}{SLASH_PATH}", "standard base64: write base64url"),
        (f"/{good()[:-2]}{PATH}", "cut short: 41 of its 43"),
        (f"/{good()[:10]}{PATH}", "cut short: 10 of its 43"),
        (f"/{good()}ab{PATH}", "goes on behind its 43 characters: leave 'ab' out"),
        (f"/{good().lower()}{PATH}", "made small or capital"),
        (f"/{b64(digest(PATH)[:20])}{PATH}", "of 20 bytes, and IMGPROXY_SIGNATURE_SIZE is 32"),
        # what was signed
        (f"/{good(PATH[1:])}{PATH}", "without its leading slash"),
        (f"/{good('/unsafe' + PATH)}{PATH}", "with /unsafe before it"),
        (f"/{good('/insecure' + PATH)}{PATH}", "with /insecure before it"),
        (f"/{good(f'https://{HOST}{PATH}')}{PATH}", "with its host"),
        (f"/{good(f'{HOST}{PATH}')}{PATH}", "with its host"),
        (f"/{good(PATH + chr(10))}{PATH}", "line break at its end"),
        (f"/{good(PATH.replace(':', '%3A'))}{PATH.replace(':', '%3A')}", "with : as %3A"),
        (f"/{good(PATH.replace('https://', 'https:/'))}{PATH.replace('https://', 'https:/')}", "// as /"),
        # what happened after
        (f"/{good(PATH.replace('%20', ' '))}{PATH}", "percent-encoded after it was signed"),
        (f"/{good()}{PATH.replace('%20', '%2520')}", "encoded twice"),
        (f"/{good()}{PATH.replace('%20', ' ')}", "decoded after it was signed"),
        (
            f"/{good('/plain/' + quote('https://x/y', safe=''))}/plain/https://x/y",
            "decoded after it was signed",
        ),
        (f"/{good('/plain/https://x/%c3%a9')}/plain/https://x/%C3%A9", "hex digits of percent escapes"),
        (f"/{good('/plain/https://x/%C3%A9')}/plain/https://x/%c3%a9", "hex digits of percent escapes"),
        (f"/{good(PATH.removesuffix('@webp'))}{PATH}", "@webp was put behind the path"),
        (f"/{good('/w:3/aHR0cDovL3gveQ')}/w:3/aHR0cDovL3gveQ.png", ".png was put behind the path"),
        (f"/{good('/plain/https://x/y')}/plain/https://x/y/", "a slash was put behind"),
        (f"/{good('/plain/https://x/y/')}/plain/https://x/y", "slash at the end of the path was lost"),
        (f"/{good('/plain/https://x/y?v=1')}/plain/https://x/y?v=1", "? of the source was not encoded"),
        (f"/{good()}/w:9{PATH}", "the option 'w:9' was put into the path"),
        # keys
        (f"/{b64(digest(PATH, KEY.encode(), SALT.encode()))}{PATH}", "key and salt were used as text"),
        (f"/{b64(digest(PATH, KEY.encode()))}{PATH}", "the key was used as text"),
        (f"/{b64(digest(PATH, salt=SALT.encode()))}{PATH}", "the salt was used as text"),
        (f"/{b64(digest(PATH, salt=b''))}{PATH}", "without the salt"),
        (f"/{b64(digest(PATH, RAW_SALT, RAW_KEY))}{PATH}", "exchanged"),
        # digests
        (f"/{b64(hmac.digest(RAW_KEY, PATH.encode() + RAW_SALT, 'sha256'))}{PATH}", "salt stands behind the path"),
        (f"/{b64(hashlib.sha256(RAW_KEY + RAW_SALT + PATH.encode()).digest())}{PATH}", "a plain SHA-256"),
        (f"/{b64(hmac.new(RAW_KEY, RAW_SALT + PATH.encode(), 'sha1').digest())}{PATH}", "an HMAC with SHA1"),
        (f"/{hmac.new(RAW_KEY, RAW_SALT + PATH.encode(), 'sha512').hexdigest()}{PATH}", "an HMAC with SHA512"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_from_the_others(url: str, said: str) -> None:
    assert said in why(url)


@pytest.mark.parametrize(
    "url",
    [
        f"/{b64(digest(PATH, b'another key'))}{PATH}",
        f"/{good()}{PATH.replace('cat', 'dog')}",
        f"/{good('/plain/x')[:7]}/plain/x",  # too short to tell
        f"/unsave{PATH}",
        f"/{'0' * 64}{PATH}",
        f"/\xff\xe9{PATH}",
        f"/{good()[:7]}?/plain/x",
    ],
)
def test_what_nobody_can_know_is_not_guessed(url: str) -> None:
    dialect, raw = Dialect(), url.partition("?")[0]
    signature, _, rest = raw.removeprefix(dialect.prefix).partition("/")
    signer = Signer([KeyPair(RAW_KEY, RAW_SALT)])
    assert cause(signer, url, signature, f"/{rest}") == ""


def test_a_good_signature_is_no_mistake() -> None:
    assert why(f"/{good()}{PATH}") == ""


def test_the_prefix_is_no_part_of_what_is_signed() -> None:
    assert "IMGPROXY_PATH_PREFIX: leave /img out" in why(f"/img/{good('/img' + PATH)}{PATH}", prefix="/img")
    assert "host and prefix" in why(f"/img/{good(f'https://{HOST}/img{PATH}')}{PATH}", prefix="/img")
    assert "padded" in why(f"/img/{good()}={PATH}", prefix="/img")


def test_each_key_has_its_own_salt() -> None:
    keys = ((KEY, SALT), (OTHER_KEY, OTHER_SALT))
    mixed = b64(digest(PATH, bytes.fromhex(OTHER_KEY)))
    assert why(f"/{mixed}{PATH}", keys=keys) == "key 2 was used with the salt of key 1: each has its own"


def test_short_signatures_are_understood_too() -> None:
    assert "of 32 bytes, and IMGPROXY_SIGNATURE_SIZE is 8" in why(f"/{good()}{PATH}", size=8)
    assert "without its leading slash" in why(f"/{b64(digest(PATH[1:])[:8])}{PATH}", size=8)


def test_a_path_of_bytes_can_be_explained() -> None:
    odd: Callable[[str], str] = lambda path: b64(hmac.digest(RAW_KEY, RAW_SALT + path.encode("latin-1"), "sha256"))  # noqa: E731
    path = "/plain/http://x/\xc3\xa9\xff"
    assert "leading slash" in why(f"/{odd(path[1:])}{path}")
