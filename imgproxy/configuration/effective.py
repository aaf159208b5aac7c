"""Every setting as it is in force, and where it comes from. For ``imgproxy config``."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr, ValidationError

from imgproxy.configuration import incumbent
from imgproxy.formats import Format
from imgproxy.settings import PREFIX, ROOMS, extras, known, meant, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

    from imgproxy.settings import Given

MASK = "***"
_LONG = 80
"""Characters of a value that are shown: data in base64 has many."""
_USER = re.compile(r"(?<=://)[^/\s@]*@")


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting as it is in force. Texts are as variables are written; secrets are masked."""

    name: str
    room: str
    value: str
    default: str
    place: str
    """Where the value comes from: "default", "environment", "PORT", or a file."""
    changed: bool
    """Whether it is another value than the default."""
    about: str
    imgproxy: str | None = None
    """imgproxy's default where ours differs."""
    why: str = ""
    """And the reason."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A variable that is no setting of this server."""

    name: str
    text: str
    """What was probably meant, or what became of a variable of imgproxy's."""
    harmless: bool = False
    """It is one of imgproxy's that is not needed here."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def effective(given: Mapping[str, Given]) -> Iterator[Effective]:
    """All settings, in the order of the documentation. What cannot be read is shown as it is written."""
    for title, room in ROOMS.items():
        for name, field in room.model_fields.items():
            yield _effective(title, room, name, field, given)


def unknown(given: Mapping[str, Given]) -> Iterator[Unknown]:
    """The variables with this server's prefix that mean nothing to it."""
    for name in sorted(given.keys() - {*known()}):
        theirs = incumbent.find(name.removeprefix(PREFIX))
        close = meant(name)
        if theirs is not None:
            yield Unknown(name, f"imgproxy's; {theirs.fate} here: {theirs.text}", theirs.fate == "not needed")
        else:
            yield Unknown(name, f"did you mean {close}?" if close else "no setting of this server, nor of imgproxy")


def _effective(title: str, room: type[BaseModel], name: str, field: FieldInfo, given: Mapping[str, Given]) -> Effective:
    own, *others = names(name, field)
    found = next((given[each] for each in (own, *others) if each in given), None)
    extra = extras(field)
    secret = is_secret(field)
    default = written(field.default)
    value = default if found is None else found.value
    return Effective(
        own,
        title,
        shown(value, secret=secret),
        shown(default, secret=secret),
        found.place if found else "default",
        found is not None and _differs(room, name, found.value),
        str(field.description),
        _plain(extra["imgproxy"]) if "imgproxy" in extra else None,
        extra.get("why", ""),
    )


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting's value must not be shown."""
    return field.annotation is SecretStr or not field.repr


def shown(value: str, *, secret: bool = False) -> str:
    """A value as it can be shown: secrets and users of URLs masked, long ones cut."""
    if secret:
        return MASK if value else ""
    value = _USER.sub(f"{MASK}@", value)
    return value if len(value) <= _LONG else f"{value[: _LONG // 2]}… ({len(value)} characters)"


def written(value: object) -> str:
    """A value as it stands in a variable; empty for none."""
    if value is None or isinstance(value, SecretStr | bytes):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Format):
        return value.name
    if isinstance(value, tuple | frozenset):
        return ",".join("=".join(map(written, each)) if isinstance(each, tuple) else written(each) for each in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    return text.lower() if text in {"True", "False"} else text


def _differs(room: type[BaseModel], name: str, value: str) -> bool:
    try:
        read = getattr(room.model_validate({name: value}), name)
    except ValidationError:  # a mistake, or one that needs another variable beside it
        return True
    return bool(read != room.model_fields[name].default)
