from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgproxy.fields import (
    LONGEST_S,
    directives,
    is_field_value,
    is_loop,
    is_loop_id,
    is_loopback,
    is_path,
    moment,
    seconds,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"": ""}),
        ("max-age=60, public", {"max-age": "60", "public": ""}),
        ('Max-Age="60",PUBLIC', {"max-age": "60", "public": ""}),
        ("max-age = 60 ,, ", {"max-age": "60", "": ""}),
        ("max-age=1, max-age=2", {"max-age": "1"}),
        ('private="a, no-store", b', {"private": "a, no-store", "b": ""}),
        (r'x="a\", no-store", b', {"x": r"a\", no-store", "b": ""}),
        ('x="a, no-store', {"x": "a", "no-store": ""}),
        ('x="a", y="b, c, no-store', {"x": "a", "y": "b", "c": "", "no-store": ""}),
        ("=5", {"": "5"}),
    ],
)
def test_directives(text: str, expected: dict[str, str]) -> None:
    assert directives(text) == expected


_NAMES = st.from_regex(r"[a-z-]{1,12}", fullmatch=True)
_TOKENS = st.from_regex(r"[A-Za-z0-9]{0,12}", fullmatch=True)
_QUOTED = st.text("abc,= -").map(lambda text: f'"{text}"')


@given(st.dictionaries(_NAMES, _TOKENS | _QUOTED), st.sampled_from([",", ", ", " ,\t"]))
def test_directives_are_read_as_they_are_written(given_: dict[str, str], comma: str) -> None:
    text = comma.join(f"{name.title()}={value}" for name, value in given_.items())
    expected = {name: value.strip('"') for name, value in given_.items()}
    assert directives(text) == (expected or {"": ""})


@given(st.text())
@example('"' * 5000)
@example('\\"' * 50_000)
def test_junk_hides_no_directive_before_it(junk: str) -> None:
    assert "no-store" in directives("no-store," + junk)
    assert seconds(directives(f"max-age=5, {junk}")["max-age"]) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("60", 60),
        ("0" * 9000 + "7", 7),
        ("2147483649", LONGEST_S),
        ("9" * 9000, LONGEST_S),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("1e3", 0),
        ("+1", 0),
        ("٣", 0),
        ("60;", 0),
        ("60\n", 0),
    ],
)
def test_seconds(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 -0000",
        "Sun, 06 Nov 1994 09:49:37 +0100",
    ],
)
def test_moments(text: str) -> None:
    assert moment(text) == 784111777


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "-1", "tomorrow"),
        "Sun, 06 Nov 1994 08:49:37 +99999999999999999999",
        "Sun, 06 Nov 1994 99999999999999:49:37 GMT",
        "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        f"Sun, 06 Nov {'9' * 5000} 08:49:37 GMT",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    assert moment(text) is None


@given(st.text() | st.from_regex(r"\w{3}, \d+ (Nov|Feb) \d+ \d+:\d+:\d+ [+-]?\w+", fullmatch=True))
def test_any_text_is_a_moment_or_none(text: str) -> None:
    assert moment(text) is None or isinstance(moment(text), float)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", True),
        ("/a/b-c.d~", True),
        *((text, False) for text in ("/{x}", "/a b", "/a?b", "/a#b", "/%61", "/é", "/\n")),
    ],
)
def test_paths(text: str, path: bool) -> None:
    assert is_path(text) is path


@pytest.mark.parametrize(
    ("text", "sendable"),
    [("a", True), ("a b\tc", True), ("", False), (" a", False), ("a ", False), ("a\r\nb: c", False), ("é", False)],
)
def test_field_values(text: str, sendable: bool) -> None:
    assert is_field_value(text) is sendable


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("imgproxy-1", True),
        ("IMGPROXY-1", True),
        ("other, imgproxy-1", True),
        ("other;a=b , imgproxy-1 ; c=d,third", True),
        ('other;a="x, y", imgproxy-1', True),
        ('"never closed, imgproxy-1', True),
        ("imgproxy-10", False),
        ("imgproxy", False),
        ("other;imgproxy-1", False),
        ("", False),
        (",", False),
    ],
)
def test_loops(text: str, loop: bool) -> None:
    assert is_loop(text, "imgproxy-1") is loop
    assert is_loop(text, "") is False


@pytest.mark.parametrize(
    ("text", "usable"),
    [("imgproxy-0a1b", True), ("img.example.com", True), ("a", True), ("", False), ("a b", False), ("a,b", False),
     ("-a", False), ("a;b", False), ("a\n", False), ("a\r\nb: c", False), ('"a"', False), ("\xe9", False)],
)  # fmt: skip
def test_names_for_loops(text: str, usable: bool) -> None:
    assert is_loop_id(text) is usable
    if usable:
        assert is_loop(f"x;a=b,{text}", text)


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machines_own_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.example.com", "10.0.0.1", "[::2]", "127.0.0.1.nip.io", "notlocalhost"])
def test_names_of_others(host: str) -> None:
    assert not is_loopback(host)
