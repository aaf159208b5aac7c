"""The kinds of arguments, each of which can parse and write; shared by the options.

Spellings follow Go, as imgproxy's do: ``ParseBool``, ``Atoi`` and ``ParseFloat``, without what Python would
accept beyond them (``1_000``, blanks, other scripts' digits) and without ``inf`` and ``nan``.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar
from urllib.parse import quote, unquote_to_bytes

from imgproxy.errors import BadOption
from imgproxy.formats import BY_NAME, Format
from imgproxy.geometry import Anchor

W = TypeVar("W", bound=StrEnum)

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\Z")
_HEX_COLOR = re.compile(r"(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")

UNBOUNDED = 2**31 - 1
"""The largest whole number that any argument takes: libvips counts in 32 bits."""


LARGEST = 10**15
"""The largest number, give or take the sign: beyond it floats begin to skip whole pixels, and products overflow."""


@dataclass(frozen=True, slots=True)
class Bool:
    """Go's booleans; anything else counts as false, as in imgproxy."""

    expects = "1, t or true; all else is false"
    reads_empty = True

    def parse(self, text: str) -> bool:
        return text in _TRUE

    def write(self, value: bool) -> str:
        return "1" if value else "0"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number in a range."""

    low: int = 0
    high: int = UNBOUNDED
    unit: str = ""

    @property
    def expects(self) -> str:
        high = f"to {self.high}" if self.high < UNBOUNDED else "or more"
        return f"a whole number, {self.low} {high}{self.unit and ' ' + self.unit}"

    def parse(self, text: str) -> int:
        if not _INTEGER.match(text) or not self.low <= int(text) <= self.high:
            raise BadOption(f"expected {self.expects}, got {text!r}")
        return int(text)

    def write(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Angle:
    """Degrees clockwise, a multiple of 90; kept between 0 and 270."""

    expects = "a multiple of 90"

    def parse(self, text: str) -> int:
        if not _INTEGER.match(text) or int(text) % 90:
            raise BadOption(f"expected {self.expects}, got {text!r}")
        # imgproxy passes -90 on and then mirrors the gravity wrongly; Python's % is the turn that was meant.
        return int(text) % 360

    def write(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a range; ``open_low`` excludes the lower end."""

    low: float = float("-inf")
    high: float = float("inf")
    unit: str = ""
    open_low: bool = False

    @property
    def expects(self) -> str:
        if self.low == float("-inf"):
            return "a number"
        low = f"above {self.low:g}" if self.open_low else f"{self.low:g}"
        high = f" to {self.high:g}" if self.high < float("inf") else "" if self.open_low else " or more"
        return f"a number, {low}{high}{self.unit and ' ' + self.unit}"

    def parse(self, text: str) -> float:
        number = float(text) if _FLOAT.match(text) else float("nan")
        if abs(number) < 1e-15:
            # Too small to be meant: scales made of it would overflow. Also -0.0: equal values must be written alike.
            number = 0.0
        # Not a number, and what overflows to infinity, end here too.
        if not self.low <= number <= self.high or (self.open_low and number == self.low) or abs(number) > LARGEST:
            raise BadOption(f"expected {self.expects}, got {text!r}")
        return number

    def write(self, value: float) -> str:
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)


@dataclass(frozen=True, slots=True)
class Choice(Generic[W]):
    """One word of an enum."""

    words: tuple[W, ...]

    @property
    def expects(self) -> str:
        return "one of " + ", ".join(self.words)

    def parse(self, text: str) -> W:
        for word in self.words:
            if word == text:
                return word
        raise BadOption(f"expected {self.expects}, got {text!r}")

    def write(self, value: W) -> str:
        return value.value


Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Color:
    """A colour as 3 or 6 hexadecimal digits, no "#"."""

    expects = "3 or 6 hexadecimal digits"

    def parse(self, text: str) -> Rgb:
        if not _HEX_COLOR.match(text):
            raise BadOption(f"expected {self.expects}, got {text!r}")
        digits = text if len(text) == 6 else "".join(digit * 2 for digit in text)
        red, green, blue = bytes.fromhex(digits)
        return red, green, blue

    def write(self, value: Rgb) -> str:
        return bytes(value).hex()


@dataclass(frozen=True, slots=True)
class FormatName:
    """The name of an image format."""

    expects = "one of " + ", ".join(BY_NAME)

    def parse(self, text: str) -> Format:
        if text not in BY_NAME:
            raise BadOption(f"expected {self.expects}, got {text!r}")
        return BY_NAME[text]

    def write(self, value: Format) -> str:
        return value.name


@dataclass(frozen=True, slots=True)
class Text:
    """Text, percent-encoded in the URL."""

    expects = "text"
    reads_empty = True

    def parse(self, text: str) -> str:
        return percent_decoded(text)

    def write(self, value: str) -> str:
        return quote(value, safe="")


def base64_text(text: str) -> str:
    """URL-safe base64 to text, padding tolerated; raises ``BadOption``."""
    try:
        return as_text(from_base64(text))
    except ValueError:
        raise BadOption(f"expected URL-safe base64, got {text!r}") from None


def from_base64(text: str) -> bytes:
    """URL-safe base64 to bytes, padding tolerated, no other character; raises ``ValueError``."""
    bare = text.rstrip("=")
    if len(bare) % 4 == 1 or not re.fullmatch(r"[A-Za-z0-9_-]*", bare):
        raise ValueError("not URL-safe base64")
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error as error:  # pragma: no cover - the checks above leave nothing to find
        raise ValueError("not URL-safe base64") from error


def as_text(raw: bytes) -> str:
    """Bytes as UTF-8; what is not UTF-8 stays percent-encoded, so that an origin still gets the same byte."""
    return raw.decode("utf-8", "percent-encode")


def percent_decoded(text: str) -> str:
    """Percent-encoding undone once. ``text`` has a character for each byte of the URL (latin-1)."""
    return as_text(unquote_to_bytes(text.encode("latin-1")))


def _percent_encode(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - the codec registry's contract
    return "".join(f"%{byte:02X}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("percent-encode", _percent_encode)

COMPASS = tuple(anchor for anchor in Anchor if anchor not in {Anchor.SMART, Anchor.FOCUS, Anchor.REPLICATE})
OFFSET = Number()
SHARE = Number(0, 1)


def read_gravity(texts: Sequence[str], anchors: tuple[Anchor, ...]) -> tuple[tuple[str, object], ...]:
    """The values of the fields ``anchor``, ``x`` and ``y`` that ``type[:x[:y]]`` sets.

    ``sm`` takes no offsets and clears earlier ones; ``fp`` needs both, from 0 to 1; other types keep earlier
    offsets that are not given anew.
    """
    if len(texts) > 3:
        raise BadOption(f"expected at most 3 arguments for a gravity, got {len(texts)}")
    anchor = Choice(anchors).parse(texts[0])
    given = texts[1:]
    if anchor is Anchor.SMART:
        if given:
            raise BadOption("sm takes no offsets")
        return ("anchor", anchor), ("x", 0.0), ("y", 0.0)
    if anchor is Anchor.FOCUS:
        if len(given) < 2:
            raise BadOption("fp needs two coordinates, fp:x:y, each 0 to 1")
        return ("anchor", anchor), ("x", SHARE.parse(given[0])), ("y", SHARE.parse(given[1]))
    offsets = tuple((name, OFFSET.parse(text)) for name, text in zip("xy", given, strict=False) if text)
    return ("anchor", anchor), *offsets


def read_own_gravity(texts: Sequence[str], anchors: tuple[Anchor, ...]) -> tuple[tuple[str, object], ...]:
    """As ``read_gravity``, where the gravity belongs to another option and may be left out."""
    return read_gravity(texts, anchors) if any(texts) or len(texts) > 3 else ()
