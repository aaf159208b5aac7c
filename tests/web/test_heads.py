from __future__ import annotations

import string
from contextlib import suppress

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.web.heads import MAX_FIELDS, BadHead, check_beginning, read


def head(*lines: bytes, line: bytes = b"GET /a?b HTTP/1.1", host: bytes | None = b"Host: x") -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *lines, b"", b""])


GOOD: dict[str, tuple[bytes, bytes, int | None]] = {
    "plain": (head(), b"/a?b", 0),
    "HTTP/1.0 without Host": (head(line=b"GET / HTTP/1.0", host=None), b"/", 0),
    "empty Host": (head(host=b"Host:"), b"/a?b", 0),
    "Host with port": (head(host=b"Host:\t[::1]:8080 "), b"/a?b", 0),
    "bytes above ASCII": (head(b"X: \xff", line=b"GET /\xc3\xa9 HTTP/1.1"), b"/\xc3\xa9", 0),
    "absolute form": (head(line=b"GET http://evil.example:80/a?b HTTP/1.1"), b"/a?b", 0),
    "absolute form, TLS": (head(line=b"GET HTTPS://x/ HTTP/1.1"), b"/", 0),
    "asterisk": (head(line=b"OPTIONS * HTTP/1.1"), b"*", 0),
    "length": (head(b"Content-Length: 17"), b"/a?b", 17),
    "chunked": (head(b"transfer-encoding: CHUNKED"), b"/a?b", None),
    "empty value": (head(b"X:"), b"/a?b", 0),
}
BAD = {
    "both lengths": head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "length twice": head(b"Content-Length: 5", b"Content-Length: 5"),
    "list of lengths": head(b"Content-Length: 5, 5"),
    "negative length": head(b"Content-Length: -5"),
    "length with plus": head(b"Content-Length: +5"),
    "hexadecimal length": head(b"Content-Length: 0x5"),
    "length in odd digits": head("Content-Length: \u0665".encode()),
    "empty length": head(b"Content-Length:"),
    "huge length": head(b"Content-Length: " + b"9" * 40),
    "identity": head(b"Transfer-Encoding: identity"),
    "xchunked": head(b"Transfer-Encoding: xchunked"),
    "chunked twice": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "list of codings": head(b"Transfer-Encoding: gzip, chunked"),
    "vertical tab": head(b"Transfer-Encoding: \x0bchunked"),
    "chunked in HTTP/1.0": head(b"Transfer-Encoding: chunked", line=b"GET / HTTP/1.0"),
    "obs-fold": head(b"X: a", b" b"),
    "obs-fold at first": head(b" X: a", host=None),
    "tab before a name": head(b"\tX: a"),
    "space before colon": head(b"X : a"),
    "no colon": head(b"X"),
    "no name": head(b": a"),
    "NUL in a name": head(b"X\0: a"),
    "NUL in a value": head(b"X: \0"),
    "escape in a value": head(b"X: \x1b[1m"),
    "delete in a value": head(b"X: \x7f"),
    "bytes above ASCII in a name": head(b"X\xe9: a"),
    "bare LF": b"GET / HTTP/1.1\nHost: x\n\n",
    "one bare LF": b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
    "bare CR": head(b"X: a\rY: b"),
    "no Host": head(host=None),
    "two Hosts": head(b"Host: x"),
    "two Hosts, one in small letters": head(b"host: y"),
    "Host with a path": head(host=b"Host: x/y"),
    "Host with a user": head(host=b"Host: a@x"),
    "Host with a space": head(host=b"Host: x y"),
    "Host with a backslash": head(host=b"Host: x\\y"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\n",
    "HTTP/1.2": head(line=b"GET / HTTP/1.2"),
    "HTTP/1.10": head(line=b"GET / HTTP/1.10"),
    "http/1.1": head(line=b"GET / http/1.1"),
    "small method": head(line=b"get / HTTP/1.1"),
    "two spaces": head(line=b"GET  / HTTP/1.1"),
    "space in the target": head(line=b"GET /a b HTTP/1.1"),
    "tab in the target": head(line=b"GET /a\tb HTTP/1.1"),
    "NUL in the target": head(line=b"GET /a\0b HTTP/1.1"),
    "space at the end": head(line=b"GET / HTTP/1.1 "),
    "authority form": head(line=b"CONNECT x:443 HTTP/1.1"),
    "relative target": head(line=b"GET a HTTP/1.1"),
    "absolute form with a user": head(line=b"GET http://a@x/ HTTP/1.1"),
    "absolute form without a path": head(line=b"GET http://x HTTP/1.1"),
    "another scheme": head(line=b"GET file:///etc/passwd HTTP/1.1"),
    "asterisk for GET": head(line=b"GET * HTTP/1.1"),
    "empty line at first": b"\r\n" + head(),
    "too many fields": head(*[b"a: b"] * MAX_FIELDS),
}


@pytest.mark.parametrize(("text", "target", "body"), GOOD.values(), ids=GOOD)
def test_good_heads(text: bytes, target: bytes, body: int | None) -> None:
    found = read(text)
    assert (found.text, found.target, found.body) == (text, target, body)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_bad_heads(text: bytes) -> None:
    with pytest.raises(BadHead):
        read(text)


def test_an_upgrade_is_not_shown_to_the_parser() -> None:
    assert read(head(b"upGRADE: h2c", b"X: a")).text == head(b"X: a")
    assert read(head(b"X-Upgrade: h2c")).text == head(b"X-Upgrade: h2c")


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_good_head_is_good_from_its_first_byte_on(text: tuple[bytes, bytes, int | None]) -> None:
    whole = text[0]
    for end in range(1, len(whole)):
        for searched in {0, max(0, end - 3), end // 2}:
            check_beginning(bytearray(whole[:end]), searched)


@pytest.mark.parametrize("text", [b"GET /\r\n", b"GET / HTTP/1.1\n", b"get / HTTP/1.1\r\n", b"GET / HTTP/1.1\rX"])
def test_what_cannot_become_a_head_is_refused_at_once(text: bytes) -> None:
    with pytest.raises(BadHead):
        check_beginning(bytearray(text), 0)
    with pytest.raises(BadHead):
        check_beginning(bytearray(text), len(text) - 3)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_every_head_that_passes_is_read_alike_by_the_parser(piece: bytes, place: int) -> None:
    base = head(b"Content-Length: 3", b"Accept: */*")
    text = base[:place] + piece + base[place:]
    try:
        found = read(text)
    except BadHead:
        return
    seen: list[tuple[bytes, bytes]] = []

    class Seen:
        def on_header(self, name: bytes, value: bytes) -> None:
            seen.append((name.lower(), value))

    parser = httptools.HttpRequestParser(Seen())
    if found.text.partition(b"\r\n")[0].isascii():
        with suppress(httptools.HttpParserInvalidMethodError):  # of which it has a list
            parser.feed_data(found.text)
            assert [name for name, _ in seen].count(b"host") == 1
            together: dict[str, str] = {}
            for name, value in ((name.decode("latin-1"), value.decode("latin-1")) for name, value in seen):
                together[name] = f"{together[name]}, {value}" if name in together else value
            assert found.headers == together
            lengths = [value for name, value in seen if name == b"content-length"]
            assert [int(each) for each in lengths or [b"0"]] == [found.body]


@given(st.text(string.printable, min_size=1, max_size=30))
def test_no_text_in_a_value_makes_a_second_field(value: str) -> None:
    try:
        found = read(head(b"X: " + value.encode("latin-1")))
    except BadHead:
        return
    assert found.text.count(b"\n") == 4
