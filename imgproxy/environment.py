"""The kinds of values that a setting can have, spelled as imgproxy spells them in ``IMGPROXY_*`` variables.

Each room defines one ``*Settings`` class beside its consumer; ``settings.py`` is their sum and the only
reader of the environment.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, field_validator

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False", ""}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_BYTES = {
    "": 1,
    "b": 1,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
}
_BRIEFEST_S, _LONGEST_S = 0.001, 2**31
"""Nothing can be done in less, and clocks and headers end beyond (RFC 9111 §1.2.2)."""
_LARGEST = 2**53
"""Up to which a float holds each whole number; a product of two such still fits."""


def _go_bool(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError("expected true or false (1, t, true, 0, f, false)")


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h)?", value.strip())
    if match is None:
        raise ValueError('expected seconds or a duration such as "500ms", "10s" or "2m"')
    seconds = float(match[1]) * _SECONDS[match[2] or "s"]
    if seconds and not _BRIEFEST_S <= seconds <= _LONGEST_S:
        raise ValueError(f"expected a duration from 1ms to {_LONGEST_S}s, which is 68 years")
    return seconds


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)", value.strip())
    if match is None or match[2].lower() not in _BYTES:
        raise ValueError('expected bytes or a size such as "512KiB" or "64MiB"')
    return int(min(float(match[1]) * _BYTES[match[2].lower()], 2.0 * _LARGEST))


def _words(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(word.strip() for word in value.split(",") if word.strip())


GoBool = Annotated[bool, BeforeValidator(_go_bool)]
"""true or false, in the words of Go's strconv.ParseBool."""
Seconds = Annotated[float, BeforeValidator(_seconds)]
"""A number of seconds, or a duration with its unit ("500ms")."""
ByteSize = Annotated[int, BeforeValidator(_bytes)]
"""A number of bytes, or a size with its unit ("64MiB")."""
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""A comma-separated list."""


def one_word(secret: SecretStr) -> SecretStr:
    """A token as it can stand in a header. Raises ``ValueError`` for others: a line's end from a file, above all."""
    if not re.fullmatch(r"[\x21-\x7e]*", secret.get_secret_value()):
        raise ValueError("expected visible ASCII characters without spaces or line ends")
    return secret


class RoomSettings(BaseModel):
    """The settings of one room. Field ``max_redirects`` is the variable ``IMGPROXY_MAX_REDIRECTS``.

    A field's ``description`` is its documentation; ``json_schema_extra`` may hold ``imgproxy`` (imgproxy's
    own default) and ``why`` (the reason where ours differs).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _can_be_counted_with(cls, value: object) -> object:
        """Beyond are numbers that nobody means, and that overflow where they are first used."""
        if isinstance(value, int | float) and abs(value) > _LARGEST:
            raise ValueError(f"expected a number up to {_LARGEST}")
        return value
