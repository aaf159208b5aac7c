"""Tokens: made on a server, given to a browser, they stand in the place of a signature for one preset of some sources.

A signature covers a whole path, so that whoever fills in the width needs the key. A token covers a preset and one
source, or all sources below a prefix. Beside it a URL may say what the preset leaves open (``widths``, ``allow``), and
nothing else. ``docs/tokens.md`` has the format: five words with dots between, of which an edge reads the second.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from itsdangerous import Signer as Seal
from itsdangerous.encoding import base64_encode

from imgproxy.errors import BadSignature, ImageError, OutsideToken
from imgproxy.options import Preset
from imgproxy.options.values import from_base64
from imgproxy.origins.prefixes import check_prefix, is_below
from imgproxy.presets import check_allowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imgproxy.model import ImageRequest, Plan
    from imgproxy.options.base import Setting
    from imgproxy.presets import Presets
    from imgproxy.signing import KeyPair

LONGEST = 1024
"""Characters of a token."""

_DIGEST_LENGTH = 43
"""Characters of 32 bytes in base64url without padding: of digests and of signatures."""

_PURPOSE = b"imgproxy-token"
"""Before the salt. Signatures of paths are HMACs of salt and slash: neither can be taken for the other."""

_SHAPE = re.compile(
    r"~([0-9a-f]{8})\.(0|[1-9][0-9]{0,11})\.([A-Za-z0-9_-]+)\.([sp])([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})"
)
_SOURCE, _PREFIX = "s", "p"


def is_token(text: str) -> bool:
    """Whether the text in the place of a signature claims to be a token. No signature has a tilde."""
    return text.startswith("~")


@dataclass(frozen=True, slots=True)
class Token:
    """A permission to ask for one preset, of one source or of all below a prefix."""

    preset: str
    digest: str = ""
    """SHA-256 of the source's URL, in base64url; empty where there is a prefix."""
    prefix: str = ""
    expires: int = 0
    """Unix seconds; 0 for never."""

    @classmethod
    def of(cls, preset: str, source: str, expires: int = 0) -> Token:
        """For one source: its URL as it is fetched, after ``IMGPROXY_URL_REPLACEMENTS`` and ``IMGPROXY_BASE_URL``."""
        return cls(preset, digest=_digest(source), expires=expires)

    @classmethod
    def below(cls, preset: str, prefix: str, expires: int = 0) -> Token:
        """For all sources below a prefix. Raises ``ValueError`` for what is none."""
        check_prefix(prefix)
        return cls(preset, prefix=prefix, expires=expires)

    def check(self, request: ImageRequest, presets: Presets) -> None:
        """Refuse what the token does not permit.

        Raises ``OutsideToken``, ``UnknownPreset`` where the preset is gone, and ``OptionForbidden``.
        """
        self._check_preset(request.settings)
        widths = presets.widths(self.preset)
        check_allowed(self.preset, request.settings, presets.left_open(self.preset), widths)
        if not self._covers(request.source.url):
            # Not quoted: it may hold secrets, and this text goes to the log.
            told = "is not below the token's prefix" if self.prefix else "is not the one that the token was made for"
            raise OutsideToken(f"the source {told}")

    def bound(self, plan: Plan) -> Plan:
        """The plan, with an end of its life no later than the token's."""
        ends = [each for each in (plan.delivery.expires, self.expires) if each]
        return replace(plan, delivery=replace(plan.delivery, expires=min(ends, default=0)))

    def _check_preset(self, settings: Iterable[Setting]) -> None:
        names = [name for each in settings if each.option is Preset for name in dict(each.values)["names"]]
        if not names:
            raise OutsideToken(f"the URL names no preset, and the token is for {self.preset!r}")
        if other := next((name for name in names if name != self.preset), ""):
            raise OutsideToken(f"the URL names the preset {other!r}, and the token is for {self.preset!r}")
        if len(names) > 1:
            raise OutsideToken(f"the URL names the preset {self.preset!r} more than once")

    def _covers(self, source: str) -> bool:
        if not self.prefix:
            return hmac.compare_digest(_digest(source), self.digest)
        try:
            return is_below(source, self.prefix)
        except ImageError as error:
            raise OutsideToken(f"the source cannot be compared with the token's prefix: {error}") from error


class Tokens:
    """Makes tokens with the newest key and reads those of every key."""

    def __init__(self, pairs: Sequence[KeyPair] = ()) -> None:
        self._seals = tuple(_seal(pair) for pair in pairs)
        self.key_ids = tuple(_key_id(seal) for seal in self._seals)
        """What tokens call the keys, in their order. Tells no more of a key than a signature does."""

    def make(self, token: Token) -> str:
        """The text of a token. Raises ``ValueError`` where it would be too long. There is a key."""
        scope = _SOURCE + token.digest if token.digest else _PREFIX + _packed(token.prefix)
        body = f"~{self.key_ids[-1]}.{token.expires}.{_packed(token.preset)}.{scope}"
        text = f"{body}.{self._seals[-1].get_signature(body).decode()}"
        if len(text) > LONGEST:
            raise ValueError(
                f"the token would have {len(text)} characters, and {LONGEST} are the most: shorten the prefix"
            )
        return text

    def read(self, text: str) -> tuple[Token, int]:
        """What a token says, and which key made it. Raises ``BadSignature``."""
        if len(text) > LONGEST:
            raise BadSignature(f"the token has {len(text)} characters, and {LONGEST} are the most")
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            raise BadSignature(_misshapen(text))
        key_id, expires, preset, kind, scope, signature = shape.groups()
        signed_by = self._signed_by(key_id, text.rpartition(".")[0], signature)
        try:
            return _read(int(expires), _unpacked(preset), kind, scope), signed_by
        except ValueError as error:
            raise BadSignature(f"the token was signed, but not made, as it should be: {error}") from None

    def _signed_by(self, key_id: str, body: str, signature: str) -> int:
        if key_id not in self.key_ids:
            raise BadSignature(
                f"the token was made with the key {key_id}, and the keys here are {', '.join(self.key_ids)}"
            )
        # Texts are compared, not bytes: base64 has several spellings for the same bytes, a token has one.
        good = [hmac.compare_digest(seal.get_signature(body), signature.encode()) for seal in self._seals]
        if not any(good):
            raise BadSignature("the token was changed after it was made: its key is known, its signature does not fit")
        return good.index(True)


def _read(expires: int, preset: str, kind: str, scope: str) -> Token:
    """Raises ``ValueError`` for what no maker of ours would write, though the key has signed it."""
    if kind == _PREFIX:
        return Token.below(preset, _unpacked(scope), expires)
    if len(scope) != _DIGEST_LENGTH:
        raise ValueError(f"the source's digest has {len(scope)} characters in place of {_DIGEST_LENGTH}")
    return Token(preset, digest=scope, expires=expires)


def _misshapen(text: str) -> str:
    words = text.split(".")
    if len(words) != 5:
        return f"the token has {len(words)} words with dots between, in place of 5: it was cut, or put together wrongly"
    if len(words[4]) != _DIGEST_LENGTH:
        return (
            f"the token's signature has {len(words[4])} characters in place of {_DIGEST_LENGTH}: it was cut or padded"
        )
    return "the token holds what no token holds: key, expiry, preset and scope are of a few characters only"


def _seal(pair: KeyPair) -> Seal:
    return Seal(pair.key, salt=_PURPOSE + pair.salt, key_derivation="hmac", digest_method=hashlib.sha256)


def _key_id(seal: Seal) -> str:
    return hmac.digest(seal.derive_key(), b"key-id", "sha256")[:4].hex()


def _digest(source: str) -> str:
    return base64_encode(hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()).decode()


def _packed(text: str) -> str:
    return base64_encode(text).decode()


def _unpacked(text: str) -> str:
    """Raises ``ValueError``."""
    raw = from_base64(text)
    if base64_encode(raw).decode() != text:
        raise ValueError("its base64 has spare bits")
    return raw.decode()
