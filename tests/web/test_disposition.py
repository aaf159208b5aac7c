from __future__ import annotations

import string
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.fields import is_field_value
from imgproxy.web.disposition import content_disposition, source_name


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("cat", 'inline; filename="cat.jpg"'),
        ("my cat (1)", 'inline; filename="my cat (1).jpg"'),
        ("", 'inline; filename="image.jpg"'),
        ("...", 'inline; filename="image.jpg"'),
        ("../../etc/passwd", 'inline; filename="_.._etc_passwd.jpg"'),
        ("Käse", "inline; filename=\"K_se.jpg\"; filename*=UTF-8''K%C3%A4se.jpg"),
        ("100%41", "inline; filename=\"100_41.jpg\"; filename*=UTF-8''100%2541.jpg"),
        ('a"\r\nSet-Cookie: x', 'inline; filename="a_Set-Cookie_ x.jpg"'),
        ("invoice\u202egpj.exe", 'inline; filename="invoicegpj.exe.jpg"'),
        ("\udc80", 'inline; filename="image.jpg"'),
    ],
)
def test_names(stem: str, expected: str) -> None:
    assert content_disposition(stem, ".jpg", attachment=False) == expected


def test_attachment() -> None:
    assert content_disposition("a", "", attachment=True) == 'attachment; filename="a"'


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/a/cat.jpg?x=y.png", ("cat", ".jpg")),
        ("https://example.com/a%20b.tar.gz", ("a b.tar", ".gz")),
        ("https://example.com/a%2Fcat.png", ("a/cat", ".png")),
        ("https://example.com/cat", ("cat", "")),
        ("https://example.com/.jpg", ("", ".jpg")),
        ("https://example.com", ("", "")),
        ("local:///dir/x.webp", ("x", ".webp")),
        ("https://[x/cat.jpg", ("", "")),
    ],
)
def test_source_names(url: str, expected: tuple[str, str]) -> None:
    assert source_name(url) == expected


@given(st.text())
def test_no_name_leaves_its_quotes(stem: str) -> None:
    value = content_disposition(stem, ".png", attachment=True)
    plain, _, encoded = value.removeprefix('attachment; filename="').partition('"')
    assert plain.isascii()
    assert plain.isprintable()
    assert not set(plain) & set('\\/%:"')
    assert encoded == "" or encoded.startswith("; filename*=UTF-8''")


def test_no_code_point_breaks_out() -> None:
    allowed = set(string.ascii_letters + string.digits + "._()+,=@~- %';\"*")
    for start in range(0, sys.maxunicode + 1, 100):
        text = "".join(chr(each) for each in range(start, min(start + 100, sys.maxunicode + 1)))
        for stem, extension in (("a" + text + "a", ".png"), ("a", "." + text)):
            value = content_disposition(stem, extension, attachment=False)
            assert set(value) <= allowed, hex(start)
            assert value.count('"') == 2
            assert is_field_value(value)
