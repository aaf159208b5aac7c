from __future__ import annotations

import pytest
from pydantic import ValidationError

from imgproxy.environment import ByteSize, GoBool, RoomSettings, Seconds, Words


class Room(RoomSettings):
    on: GoBool = False
    wait: Seconds = 0
    size: ByteSize = 0
    words: Words = ()
    count: int = 0
    share: float = 0


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        *(("on", text, True) for text in ("1", "t", "T", "TRUE", "true", "True")),
        *(("on", text, False) for text in ("0", "f", "F", "FALSE", "false", "False", "")),
        ("on", True, True),
        ("wait", "10", 10),
        ("wait", "500ms", 0.5),
        ("wait", "1.5s", 1.5),
        ("wait", "2 m", 120),
        ("wait", " 1h ", 3600),
        ("wait", 3, 3),
        ("size", "1024", 1024),
        ("size", "512KiB", 512 * 1024),
        ("size", "1.5 MiB", 1536 * 1024),
        ("size", "1gib", 1024**3),
        ("size", "1kb", 1000),
        ("size", "2MB", 2_000_000),
        ("size", "1 GB", 10**9),
        ("size", "7B", 7),
        ("size", 5, 5),
        ("words", "a, b,,c ", ("a", "b", "c")),
        ("words", "", ()),
        ("words", ("a",), ("a",)),
    ],
)
def test_values_as_they_are_spelled(field: str, text: object, value: object) -> None:
    assert getattr(Room.model_validate({field: text}), field) == value


@pytest.mark.parametrize(
    ("field", "text", "reason"),
    [
        ("on", "yes", "expected true or false"),
        ("on", "tRUE", "expected true or false"),
        ("wait", "soon", "expected seconds or a duration"),
        ("wait", "-1s", "expected seconds"),
        ("wait", "1d", "expected seconds"),
        ("wait", "٣", "expected seconds"),
        ("wait", "0.0001ms", "from 1ms to 2147483648s"),
        ("wait", "9" * 30, "from 1ms to 2147483648s"),
        ("wait", "9" * 400, "from 1ms to 2147483648s"),
        ("size", "9" * 30, "up to 9007199254740992"),
        ("size", "9" * 400 + "MiB", "up to 9007199254740992"),
        ("count", "9" * 400, "up to 9007199254740992"),
        ("share", "1e308", "up to 9007199254740992"),
        ("share", "inf", "finite"),
        ("share", "nan", "finite"),
        ("size", "64 parsec", "expected bytes or a size"),
        ("size", "-1", "expected bytes"),
        ("size", "", "expected bytes"),
    ],
)
def test_other_spellings_are_refused(field: str, text: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Room.model_validate({field: text})


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ValidationError, match="3 validation errors"):
        Room.model_validate({"on": "maybe", "wait": "x", "unknown": 1})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Room().on = True
