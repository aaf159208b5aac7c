from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.errors import BadOption
from imgproxy.geometry import Fit
from imgproxy.options.values import (
    Angle,
    Bool,
    Choice,
    Color,
    FormatName,
    Number,
    Text,
    Whole,
    as_text,
    base64_text,
    from_base64,
    percent_decoded,
)


@pytest.mark.parametrize(
    ("kind", "expects"),
    [
        (Whole(), "a whole number, 0 or more"),
        (Whole(1, 9), "a whole number, 1 to 9"),
        (Whole(unit="px"), "a whole number, 0 or more px"),
        (Number(), "a number"),
        (Number(0), "a number, 0 or more"),
        (Number(0, 1), "a number, 0 to 1"),
        (Number(0, open_low=True), "a number, above 0"),
        (Number(0, 9, "px", open_low=True), "a number, above 0 to 9 px"),
        (Choice(tuple(Fit)), "one of fit, fill, fill-down, force, auto"),
    ],
)
def test_a_kind_says_what_it_expects(kind: Whole | Number | Choice[Fit], expects: str) -> None:
    assert kind.expects == expects


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("-1", -1), ("+1", 1), (".5", 0.5), ("5.", 5), ("1e3", 1000), ("1E-2", 0.01), ("-0", 0), ("1e-16", 0)],
)
def test_numbers_as_go_reads_them(text: str, number: float) -> None:
    found = Number().parse(text)
    assert found == number
    assert Number().write(found) == Number().write(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-",
        "1_0",
        " 1",
        "1 ",
        "1\n",
        "nan",
        "inf",
        "-inf",
        "1e16",
        "1e999",
        "0x1p2",
        "1e",
        "\u0661",
        "1,5",
        "--1",
    ],
)
def test_not_numbers(text: str) -> None:
    with pytest.raises(BadOption):
        Number().parse(text)
    with pytest.raises(BadOption):
        Whole().parse(text)


@pytest.mark.parametrize("text", ["2147483648", "99999999999999999999999", "-1", "1.0", "1e1"])
def test_not_whole_numbers(text: str) -> None:
    with pytest.raises(BadOption):
        Whole().parse(text)


@given(st.floats(-1e15, 1e15).filter(lambda number: number == 0 or abs(number) >= 1e-15))
def test_numbers_are_written_so_that_they_read_back(number: float) -> None:
    assert Number().parse(Number().write(number)) == number


@pytest.mark.parametrize(
    ("number", "text"), [(1.0, "1"), (0.1, "0.1"), (0.123456789, "0.123456789"), (1e15, "1e+15"), (0.0, "0")]
)
def test_numbers_are_written_short(number: float, text: str) -> None:
    assert Number().write(number) == text


@given(st.text())
def test_text_reads_back(text: str) -> None:
    assert Text().parse(Text().write(text)) == text


@given(st.binary(max_size=3).map(lambda raw: (raw * 3)[:3]).filter(lambda raw: len(raw) == 3))
def test_colours_read_back(raw: bytes) -> None:
    red, green, blue = raw
    assert Color().parse(Color().write((red, green, blue))) == (red, green, blue)


@given(st.integers(-10_000, 10_000))
def test_angles_are_what_the_turn_comes_to(quarters: int) -> None:
    assert Angle().parse(str(90 * quarters)) == 90 * (quarters % 4)
    assert Angle().write(90) == "90"


def test_other_kinds_write_what_they_read() -> None:
    assert [Bool().write(Bool().parse(text)) for text in ("T", "nonsense")] == ["1", "0"]
    assert FormatName().write(FormatName().parse("jpg")) == "jpeg"
    assert Choice(tuple(Fit)).write(Fit.FILL_DOWN) == "fill-down"


@pytest.mark.parametrize(
    ("text", "raw"),
    [("", b""), ("YQ", b"a"), ("YQ==", b"a"), ("YWI", b"ab"), ("YWJj", b"abc"), ("_-8", b"\xff\xef"), ("YR", b"a")],
)
def test_base64(text: str, raw: bytes) -> None:
    assert from_base64(text) == raw


@pytest.mark.parametrize("text", ["A", "ABCDE", "+/8", "YQ=a", "Y Q", "YQ\n", "http://x", "é"])
def test_not_base64(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        from_base64(text)
    with pytest.raises(BadOption, match="base64"):
        base64_text(text)


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"caf\xc3\xa9", "café"), (b"caf\xe9", "caf%E9"), (b"\xff\xfe", "%FF%FE"), (b"\xc3\xa9\xe9", "é%E9")],
)
def test_bytes_that_are_no_utf8_stay_percent_encoded(raw: bytes, text: str) -> None:
    assert as_text(raw) == text


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("a%2520b", "a%20b"),  # once
        ("caf%C3%A9", "café"),
        ("caf\xc3\xa9", "café"),  # raw bytes of the target, a character each
        ("%zz%", "%zz%"),
    ],
)
def test_percent_decoding_happens_once(text: str, decoded: str) -> None:
    assert percent_decoded(text) == decoded
