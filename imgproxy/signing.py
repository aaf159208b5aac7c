"""Signatures over raw paths: HMAC-SHA256 by a list of key and salt pairs, oldest first (spec §1.2)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote, unquote_to_bytes

from itsdangerous.encoding import base64_encode
from itsdangerous.signer import HMACAlgorithm
from pydantic import BeforeValidator, Field, model_validator

from imgproxy.environment import RoomSettings, Words
from imgproxy.errors import BadSignature, MissingSignature

_HMAC = HMACAlgorithm(hashlib.sha256)


def _hex_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(bytes.fromhex(each) for each in value.split(",") if each)
    except ValueError:
        raise ValueError("expected hexadecimal digits, several keys separated by commas") from None


HexList = Annotated[tuple[bytes, ...], BeforeValidator(_hex_list)]


def _path(value: object) -> object:
    return Path(value) if value and isinstance(value, str) else value or None


FilePath = Annotated[Path | None, BeforeValidator(_path)]


class SigningSettings(RoomSettings):
    """Which signatures are good."""

    key: HexList = Field(
        default=(),
        repr=False,
        description="Hex-encoded keys, separated by commas; with salts, URLs must be signed.",
    )
    salt: HexList = Field(default=(), repr=False, description="Hex-encoded salts, one for each key.")
    key_path: FilePath = Field(
        default=None,
        description="File with a hex-encoded key on each line, in the place of IMGPROXY_KEY; `#` begins a comment. "
        "Read again when it changes.",
    )
    salt_path: FilePath = Field(
        default=None, description="File with a hex-encoded salt on each line, in the place of IMGPROXY_SALT."
    )
    signature_size: int = Field(
        default=32,
        ge=1,
        le=32,
        description="Bytes of the digest that a signature carries. Fewer than 16 can be found by trying: "
        "for 8 one URL in 2^64 tries, for 4 one in 2^32.",
    )
    trusted_signatures: Words = Field(
        default=(), repr=False, description="Texts accepted in the place of a signature, without any check."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_files(cls, given: object) -> object:
        named = cast("dict[str, object]", given)  # pydantic hands over the keyword arguments
        return named | {name: _filed(named, name) for name in ("key", "salt") if named.get(f"{name}_path")}

    @model_validator(mode="after")
    def _pairs(self) -> SigningSettings:
        if len(self.key) != len(self.salt):
            raise ValueError(
                f"IMGPROXY_KEY has {len(self.key)} keys and IMGPROXY_SALT {len(self.salt)} salts: give one salt per key"
            )
        return self

    @property
    def fingerprint(self) -> str:
        """What servers with the same keys call themselves to each other. Tells nothing of the keys."""
        if not self.key:
            return "imgproxy-unsigned"
        return "imgproxy-" + hashlib.sha256(b"CDN-Loop" + self.key[0] + self.salt[0]).hexdigest()[:16]


def _filed(given: Mapping[str, object], name: str) -> tuple[bytes, ...]:
    """The keys or salts in the file that the settings name, imgproxy 3's ``-keypath`` format. Raises ``ValueError``."""
    variable, path = f"IMGPROXY_{name.upper()}", Path(str(given[f"{name}_path"]))
    if given.get(name):
        raise ValueError(f"give one of {variable} and {variable}_PATH")
    try:
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError as error:
        raise ValueError(f"{variable}_PATH: {error.strerror}: {path}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{variable}_PATH: {path} is not text") from None
    found: list[bytes] = []
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#"):
            try:
                found.append(bytes.fromhex(line))
            except ValueError:
                raise ValueError(f"{variable}_PATH: expected hexadecimal digits in {path}, line {number}") from None
    if not found:
        # A file that is being written is empty for a moment; no keys would mean that nothing is checked.
        raise ValueError(f"{variable}_PATH: there is nothing in {path}")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key and its salt."""

    key: bytes
    salt: bytes

    def sign(self, path: str, size: int = 32) -> str:
        """The signature of a path (with its leading slash): base64url without padding, cut before encoding."""
        digest = _HMAC.get_signature(self.key, self.salt + path.encode("latin-1", "replace"))
        return base64_encode(digest[:size]).decode()


class Signer:
    """Signs with the newest pair, verifies with every pair. Without pairs every signature is good."""

    def __init__(self, pairs: Sequence[KeyPair] = (), size: int = 32, trusted: Sequence[str] = ()) -> None:
        self.pairs = tuple(pairs)
        self.size = size
        self._trusted = tuple(each.encode("latin-1", "replace") for each in trusted)

    @classmethod
    def of(cls, settings: SigningSettings) -> Signer:
        pairs = [KeyPair(key, salt) for key, salt in zip(settings.key, settings.salt, strict=True)]
        return cls(pairs, settings.signature_size, settings.trusted_signatures)

    def sign(self, path: str) -> str:
        """``path`` with its signature in front; "unsafe" stands there when there is no key."""
        return f"/{self.pairs[-1].sign(path, self.size) if self.pairs else 'unsafe'}{path}"

    def checks(self, signature: str) -> bool:
        """Whether a text in the place of a signature matters: there is a key, and it is not trusted without."""
        return bool(self.pairs) and not self._trusts(signature.encode("latin-1", "replace"))

    def _trusts(self, given: bytes) -> bool:
        # Every comparison is made, whatever the earlier ones said: the time tells nothing.
        trust = [hmac.compare_digest(given, trusted) for trusted in self._trusted]
        return any(trust)

    def verify(self, signature: str, path: str) -> int | None:
        """The index of the pair that signed the path; None if no check was asked for.

        Raises ``MissingSignature`` if the segment is most likely an option, else ``BadSignature``. Texts are
        compared, not decoded bytes: base64 has several spellings for the same bytes, a signature has one.
        """
        given = signature.encode("latin-1", "replace")
        if self._trusts(given):
            return None
        good = [hmac.compare_digest(given, pair.sign(path, self.size).encode()) for pair in self.pairs]
        if any(good):
            return good.index(True)
        if ":" in signature:
            # A long one may be a token or a signature with a mistake in it, and this text goes to the log.
            told = repr(signature) if len(signature) <= _QUOTED else f"{len(signature)} characters with a colon"
            raise MissingSignature(f"the signature segment is {told}, which looks like an option")
        if self.pairs:
            raise BadSignature(self._cause(signature, path))
        return None

    def _cause(self, signature: str, path: str) -> str:
        """Why a signature is not good, as far as the usual mistakes explain it."""
        if "=" in signature:
            return "the signature is padded: write base64url without ="
        if signature[:3] in ("%7E", "%7e"):
            return "a token begins with ~, and that was percent-encoded on its way: send it as it is"
        given = signature.encode("latin-1", "replace")
        for pair in self.pairs:
            for tried, mistake in _mistakes(pair, path):
                # Of the given length: cut before encoding, which changes the last character.
                wanted = tried.sign(mistake.path, len(given) * 3 // 4).encode()
                if len(given) >= _TELLING and hmac.compare_digest(wanted, given):
                    return mistake.text
        return (
            f"this is not the path's signature by any configured key ({len(self.pairs)}):"
            " another key or salt was used, or the path was changed after signing"
        )


@dataclass(frozen=True, slots=True)
class _Mistake:
    path: str
    text: str


_QUOTED = 40
"""Characters of an option that are quoted: fewer than a signature has."""

_TELLING = 8
"""Characters of a signature that cannot agree by chance."""


def _mistakes(pair: KeyPair, path: str) -> Iterator[tuple[KeyPair, _Mistake]]:
    """What people sign instead, and what to tell them."""
    decoded = unquote_to_bytes(path.encode("latin-1", "replace")).decode("latin-1")
    spelled = KeyPair(pair.key.hex().encode(), pair.salt.hex().encode())
    yield pair, _Mistake(path, "the signature has another length than IMGPROXY_SIGNATURE_SIZE says")
    yield (
        pair,
        _Mistake(decoded, "the path was percent-encoded after it was signed: encode it before, or use base64"),
    )
    yield pair, _Mistake(path.removeprefix("/"), "the path was signed without its leading slash")
    yield spelled, _Mistake(path, "key and salt were used as text: decode them from hexadecimal before signing")
    yield KeyPair(pair.key, b""), _Mistake(path, "the path was signed without the salt")
    yield KeyPair(pair.salt, pair.key), _Mistake(path, "key and salt were exchanged")


def path_of(source: str, options: Sequence[str] = (), *, base64: bool = False) -> str:
    """The unsigned path of a source URL with options: ``/rs:fit:300:300/plain/http://…``."""
    # What would end the URL or be read as its grammar is encoded; so is what a client would encode anyway.
    plain = "plain/" + quote(source, safe="/:!$&'()*+,;=~")
    return "/" + "/".join((*options, base64_encode(source.encode()).decode() if base64 else plain))
