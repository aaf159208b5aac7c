from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.logs import JsonLines, Logfmt, LogSettings, Pretty, configure, printable
from imgproxy.sink import Sink

NASTY = "a\r\nlevel=error\x1b[31m\u2028\u202e\udc80\x7f\x9b\0"


def record(message: str = "request", fields: object = None, *, fault: Exception | None = None) -> logging.LogRecord:
    info = (type(fault), fault, fault.__traceback__) if fault else None
    made = logging.LogRecord("imgproxy.request", logging.WARNING, "", 0, message, (), info)
    made.created = 1_700_000_000.25
    made.fields = fields
    return made


def test_json() -> None:
    assert json.loads(JsonLines().format(record(fields={"status": 404, "stages": {"queue": 1.5}, "code": None}))) == {
        "ts": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "imgproxy.request",
        "message": "request",
        "status": 404,
        "stages": {"queue": 1.5},
        "code": None,
    }


def test_google_has_names_of_its_own() -> None:
    stream = io.StringIO()
    configure(LogSettings(log_format="gcp"), stream)
    logging.getLogger("imgproxy.request").warning("request")
    event = json.loads(stream.getvalue())
    assert event["severity"] == "warning"
    assert {"time", "message"} <= event.keys()


def test_logfmt() -> None:
    line = Logfmt().format(
        record("two words", {"reason": 'say "no"', "empty": "", "stages": {"queue": 1.5, "load": 2}})
    )
    assert line == (
        "ts=2023-11-14T22:13:20.250Z level=warning logger=imgproxy.request"
        ' message="two words" reason="say \\"no\\"" empty="" stages=queue:1.5,load:2'
    )


def test_pretty_leaves_out_what_is_empty() -> None:
    line = Pretty(colours=False).format(record(fields={"status": 404, "code": None, "stages": {}, "options": ""}))
    assert line == "22:13:20.250 WARNING request status=404"


def test_pretty_is_coloured_on_a_terminal() -> None:
    assert "\x1b[33mWARNING\x1b[0m" in Pretty(colours=True).format(record())


def test_tracebacks() -> None:
    fault = ValueError("first\n12:00:00 INFO forged")
    assert "ValueError" in json.loads(JsonLines().format(record(fault=fault)))["traceback"]
    assert "\n" not in Logfmt().format(record(fault=fault))
    rows = Pretty(colours=False).format(record(fault=fault)).splitlines()
    assert all(row.startswith("    ") for row in rows[1:])


@pytest.mark.parametrize("formatter", [JsonLines(), Logfmt(), Pretty(colours=False)])
@pytest.mark.parametrize("text", [NASTY, '" forged="1', "\\"])
def test_nothing_from_outside_forges_a_line(formatter: logging.Formatter, text: str) -> None:
    line = formatter.format(record(text, {"reason": text}))
    assert line.isprintable()
    if isinstance(formatter, JsonLines):
        assert json.loads(line)["reason"] == text


@given(st.text())
def test_printable_is_printable(text: str) -> None:
    assert printable(text).isprintable()


@pytest.fixture
def _root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


@pytest.mark.usefixtures("_root")
def test_configure_sends_everything_to_one_stream() -> None:
    stream = io.StringIO()
    configure(LogSettings(log_format="json", log_level="warn"), stream)
    logging.getLogger("anything").info("no")
    logging.getLogger("anything").warning("yes")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["yes"]
    configure(LogSettings())
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, Sink)
    assert os.path.samestat(os.fstat(handler._fd), os.fstat(sys.stderr.fileno()))
    configure(LogSettings())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handler._fd)


@pytest.mark.parametrize("wrong", [{"log_format": "xml"}, {"log_level": "loud"}])
def test_wrong_settings(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LogSettings.model_validate(wrong)
