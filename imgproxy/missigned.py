"""What was signed instead of the path, or done to the signature: the mistakes that people make. Pure.

For those who ask why (``imgproxy explain``, the page of development mode), not for requests: it takes a dozen
signatures for each key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, unquote_to_bytes

from itsdangerous.encoding import base64_decode, base64_encode

from imgproxy.signing import KeyPair

if TYPE_CHECKING:
    from imgproxy.signing import Signer

_TELLING = 8
"""Characters of a signature that cannot agree by chance."""
_HEX = re.compile(r"[0-9A-Fa-f]{16,}")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_EXTENSION = re.compile(r"(?:@[A-Za-z0-9]*|\.[A-Za-z0-9]{1,5})$")
_QUOTED = "/:!$&'()*+,;=~@"
_MOST_OPTIONS = 20
_PLACEHOLDERS = ("unsafe", "insecure", "_", "signature")


def cause(signer: Signer, target: str, signature: str, path: str, *, prefix: str = "", host: str = "") -> str:
    """Why a signature is not good, in a sentence; empty if none of the usual mistakes explains it.

    ``target`` is all that was sent; ``signature`` and ``path`` are what the dialect makes of it (``SignedPath``);
    ``prefix`` is IMGPROXY_PATH_PREFIX and ``host`` what the URL was asked with: "https://images.example.com".
    """
    size = signer.size
    if signature in _PLACEHOLDERS and signer.pairs:
        return f"{signature!r} stands in the place of the signature, and this server has keys: sign the path"
    for pair in signer.pairs:
        if found := _spelled(pair, signature, path, size):
            return found
    for found, text in _texts(target, signature, path, prefix, host):
        # What changed nothing is no mistake.
        if found != path and any(_is_by(pair, signature, found, size) for pair in signer.pairs):
            return text
    for pair, text in _pairs(signer.pairs):
        if _is_by(pair, signature, path, size):
            return text
    return next((text for pair in signer.pairs if (text := _hashed(pair, signature, path, size))), "")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _is_by(pair: KeyPair, signature: str, path: str, size: int) -> bool:
    return len(signature) >= _TELLING and _same(pair.sign(path, size), signature)


def _spelled(pair: KeyPair, signature: str, path: str, size: int) -> str:
    """What is wrong with a signature of the right path by the right key."""
    good, given = pair.sign(path, size), unquote(signature, "latin-1")
    if given == good:
        return ""
    if _same(given.rstrip("="), good):
        return "the signature is padded: write base64url without = at its end"
    if _HEX.fullmatch(given) and _same(given.lower(), base64_decode(good).hex()):
        return "the signature is in hexadecimal: write the digest in base64url"
    if _same(_urlsafe(given), good):
        return "the signature is in standard base64: write base64url, with - for + and _ for /"
    if _same(given.lower(), good.lower()):
        return "letters of the signature were made small or capital on the way: they matter"
    return _parted(pair, given, path, size) or (_measured(pair, given, path, size) if len(given) >= _TELLING else "")


def _parted(pair: KeyPair, given: str, path: str, size: int) -> str:
    """Standard base64 has slashes, and one of them ends the signature, as far as anybody can see."""
    whole, rest = given, path
    while len(whole) < len(pair.sign("", size)) and "/" in rest[1:]:
        taken, _, rest = rest[1:].partition("/")
        whole, rest = f"{whole}/{taken}", f"/{rest}"
        if _same(_urlsafe(whole), pair.sign(rest, size)):
            return (
                "the signature is in standard base64, and a / of it ends it: write base64url, with _ for / and - for +"
            )
    return ""


def _measured(pair: KeyPair, given: str, path: str, size: int) -> str:
    """What is wrong with the length of a signature."""
    good, has = pair.sign(path, size), len(given)
    if _same(pair.sign(path, has * 3 // 4), given):
        # Cut before it was encoded, which changes the last character.
        return f"the signature is of {has * 3 // 4} bytes, and IMGPROXY_SIGNATURE_SIZE is {size}"
    if _same(good[:has], given):
        return f"the signature is cut short: {has} of its {len(good)} characters are there"
    if _same(given[: len(good)], good):
        return f"the signature goes on behind its {len(good)} characters: leave {given[len(good) :]!r} out"
    return ""


def _texts(target: str, signature: str, path: str, prefix: str, host: str) -> Iterator[tuple[str, str]]:
    """What may have been signed instead of the path, and what to tell who did."""
    raw, mark, query = target.partition("?")
    sent = raw.removeprefix(f"{prefix}/{signature}")
    if mark:
        yield (
            f"{path}?{query}",
            "the ? of the source was not encoded, and all behind it is no part of the path: write %3F, or base64",
        )
    yield sent, "the path was signed as it was sent, with : as %3A or // as /: sign it with : and //"
    yield path.removeprefix("/"), "the path was signed without its leading slash"
    if prefix:
        yield prefix + path, f"the path was signed with IMGPROXY_PATH_PREFIX: leave {prefix} out of what is signed"
    for each in _origins(host):
        yield each + path, "the URL was signed with its host: sign the path alone, from the / behind the signature"
        yield f"{each}{prefix}{path}", "the URL was signed with its host and prefix: sign the path alone"
    for word in _PLACEHOLDERS:
        yield f"/{word}{path}", f"the path was signed with /{word} before it: sign what comes behind the signature"
    yield from _escaped(path)
    yield from _ended(path)
    yield from _without(path)


def _escaped(path: str) -> Iterator[tuple[str, str]]:
    """The path with other escapes."""
    decoded = unquote_to_bytes(path.encode("latin-1", "replace")).decode("latin-1")
    again = "encoded twice" if "%25" in path else "percent-encoded after it was signed"
    yield decoded, f"the path was {again}: encode it once, before signing, or use base64"
    options, plain, source = path.partition("/plain/")
    for safe in (_QUOTED, "/:", ""):
        yield (
            f"{options}{plain}{quote(source, safe=safe, encoding='latin-1')}",
            "the path was decoded after it was signed, by a client or a proxy: stop that, or use base64",
        )
    for case in (str.upper, str.lower):
        yield (
            _ESCAPE.sub(lambda each, case=case: case(each[0]), path),
            "the hex digits of percent escapes were made small or capital after signing: they matter",
        )


def _ended(path: str) -> Iterator[tuple[str, str]]:
    """The path with another end."""
    yield path + "\n", "the path was signed with a line break at its end, as echo writes it: use printf or echo -n"
    yield path.rstrip("/"), "a slash was put behind the path after it was signed"
    yield path + "/", "the slash at the end of the path was lost after it was signed"
    if (extension := _EXTENSION.search(path)) is not None:
        yield path[: extension.start()], f"{extension[0]} was put behind the path after it was signed: sign it as well"


def _without(path: str) -> Iterator[tuple[str, str]]:
    """The path less one option each time."""
    segments = path.split("/")
    for place, segment in enumerate(segments[: _MOST_OPTIONS + 1]):
        if ":" in segment and "plain" not in segments[:place]:
            rest = "/".join((*segments[:place], *segments[place + 1 :]))
            yield rest, f"the option {segment!r} was put into the path after it was signed"


def _origins(host: str) -> Iterable[str]:
    bare = host.rstrip("/").partition("://")[2] or host.rstrip("/")
    return dict.fromkeys((f"https://{bare}", f"http://{bare}", f"//{bare}", bare)) if bare else ()


def _pairs(pairs: Sequence[KeyPair]) -> Iterator[tuple[KeyPair, str]]:
    """Whose signature it may be instead."""
    for number, pair in enumerate(pairs, 1):
        spelled = KeyPair(pair.key.hex().encode(), pair.salt.hex().encode())
        yield spelled, "key and salt were used as text: decode them from hexadecimal before signing"
        yield KeyPair(spelled.key, pair.salt), "the key was used as text: decode it from hexadecimal before signing"
        yield KeyPair(pair.key, spelled.salt), "the salt was used as text: decode it from hexadecimal before signing"
        yield KeyPair(pair.key, b""), "the path was signed without the salt"
        yield KeyPair(pair.salt, pair.key), "key and salt were exchanged"
        for other, further in enumerate(pairs, 1):
            if other != number:
                yield (
                    KeyPair(pair.key, further.salt),
                    f"key {number} was used with the salt of key {other}: each has its own",
                )


def _hashed(pair: KeyPair, signature: str, path: str, size: int) -> str:
    """Which other digest it is."""
    said = path.encode("latin-1", "replace")
    salted = {
        "the salt stands behind the path in what was signed: it belongs before it": hmac.digest(
            pair.key, said + pair.salt, "sha256"
        ),
        "the signature is a plain SHA-256 of key, salt and path: use HMAC-SHA256": hashlib.sha256(
            pair.key + pair.salt + said
        ).digest(),
        **{
            f"the signature is an HMAC with {name.upper()}: use SHA-256": hmac.digest(pair.key, pair.salt + said, name)
            for name in ("sha1", "sha512", "md5")
        },
    }
    for text, digest in salted.items():
        spellings = (base64_encode(digest), base64_encode(digest[:size]), digest.hex().encode())
        if any(_same(each.decode(), signature.rstrip("=")) for each in spellings):
            return text
    return ""


def _urlsafe(text: str) -> str:
    # A "+" that a form decoder met is a blank.
    return text.replace(" ", "-").replace("+", "-").replace("/", "_").rstrip("=")
