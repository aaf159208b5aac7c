"""How the server writes its log: one event, one line, in JSON, logfmt, or a form for people.

An event is a message and, where there is more to say, fields:
``log.info("request", extra={"fields": {...}})``. What comes from outside cannot forge a line or
drive a terminal: every character that is not printable is written as an escape.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TextIO, cast

from pydantic import Field

from imgproxy.environment import RoomSettings
from imgproxy.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_COLOURS = {
    logging.DEBUG: "\x1b[2m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[31;1m",
}
# json.dumps() with an argument of its own makes a new encoder for every line.
_encode = json.JSONEncoder(default=str).encode
_GOOGLE = {"ts": "time", "level": "severity"}
"""What Cloud Logging calls the fields that it reads."""
_PLAIN = "\x1b[0m"
_BARE = re.compile(r"[!#-<>-\[\]-~]+")
"""Most values: no blank, quote, equals sign or backslash, and nothing beyond ASCII."""
_SPECIAL = re.compile(r'[ ="\\]')


class LogSettings(RoomSettings):
    """How much is logged, and in which form."""

    log_format: Literal["pretty", "structured", "json", "gcp"] = Field(
        default="pretty",
        description="pretty (for people), structured (logfmt), json, or gcp (Google Cloud's json).",
    )
    log_level: Literal["debug", "info", "warn", "warning", "error"] = Field(
        default="info", description="The least important level that is still written."
    )


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send every logger to ``stream`` (standard error, so that ``imgproxy sign`` can be piped)."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target) if stream else _handler(target)
    handler.setFormatter(_formatter(settings.log_format, colours=target.isatty()))
    root = logging.getLogger()
    for former in root.handlers:
        if isinstance(former, Sink):
            former.close()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[settings.log_level])
    logging.captureWarnings(capture=True)
    # What no line of ours says costs more to find out than the rest of a line ("Optimization" in logging's how-to).
    logging._srcfile = None  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Their "info" is about connections and requests, which have their own line; and uvicorn formats
    # a trace message per connection unless its logger has a level of its own.
    for chatty in ("uvicorn.error", "httpx", "httpcore", "aiohttp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def dropped_lines() -> int:
    """Lines that were dropped because nobody read them in time."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, Sink))


def _handler(target: TextIO) -> logging.Handler:
    try:
        return Sink(target.fileno())
    except OSError:  # not opened by this user, or no file at all: then it is waited for
        return logging.StreamHandler(target)


def _formatter(log_format: str, *, colours: bool) -> logging.Formatter:
    if log_format in {"json", "gcp"}:
        return JsonLines(_GOOGLE if log_format == "gcp" else {})
    if log_format == "structured":
        return Logfmt()
    return Pretty(colours=colours)


class JsonLines(logging.Formatter):
    """A JSON object per line: ``ts, level, logger, message``, then the fields of the event."""

    def __init__(self, renamed: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._renamed = renamed or {}

    def format(self, record: logging.LogRecord) -> str:
        # Its ASCII form also escapes C1 controls, bidi marks and U+2028, which JSON itself lets pass.
        text = _encode({self._renamed.get(name, name): value for name, value in _event(self, record)})
        return text.replace("\x7f", "\\u007f")


class Logfmt(logging.Formatter):
    """``key=value`` pairs, quoted where they have to be."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_quoted(value)}" for key, value in _event(self, record))


class Pretty(logging.Formatter):
    """A line for people, coloured by level; a traceback is indented, so that it poses as no event."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        moment = _moment(record.created, "%H:%M:%S")
        level = f"{record.levelname:<7}"
        if self._colours and (colour := _COLOURS.get(record.levelno)):
            level = f"{colour}{level}{_PLAIN}"
        line = f"{moment} {level} {printable(record.getMessage())}"
        for key, value in _fields(record).items():
            if value is not None and value not in ("", {}):
                line += f" {key}={_quoted(value)}"
        for row in _traceback(self, record).splitlines():
            line += f"\n    {printable(row)}"
        return line


def printable(text: str) -> str:
    r"""``text`` with control, bidi, surrogate and line-breaking characters as ``\x..`` escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _event(formatter: logging.Formatter, record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    yield "ts", _moment(record.created, "%Y-%m-%dT%H:%M:%S") + "Z"
    yield "level", record.levelname.lower()
    yield "logger", record.name
    yield "message", record.getMessage()
    yield from _fields(record).items()
    if traceback := _traceback(formatter, record):
        yield "traceback", traceback


def _moment(seconds: float, form: str) -> str:
    """A time in UTC, with milliseconds."""
    whole = int(seconds)
    return f"{_written(whole, form)}.{int(1000 * (seconds - whole)):03}"


@lru_cache(maxsize=4)
def _written(seconds: int, form: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", None)
    return cast("Mapping[str, object]", fields) if isinstance(fields, Mapping) else {}


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _quoted(value: object) -> str:
    """A logfmt value: bare if it is one plain word, else in double quotes."""
    if type(value) is not str:
        if isinstance(value, Mapping):
            pairs = cast("Mapping[object, object]", value).items()
            value = ",".join(f"{key}:{item}" for key, item in pairs)
        value = str(value)
    if _BARE.fullmatch(value):
        return value
    text = printable(value)
    if text and not _SPECIAL.search(text):
        return text
    return '"' + text.replace('"', '\\"') + '"'
