"""Source URLs as parsed: literal keys, redirect targets, and no surprises from any text."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.errors import InvalidUrl, SchemeForbidden, SourceForbidden, SourceUnreachable
from imgproxy.origins.targets import follow, key, parse


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_a_local_key_survives(name: str) -> None:
    if ".." in name.split("/"):
        with pytest.raises(SourceForbidden):
            parse(f"local:///{name}", "")
    else:
        parts = [part for part in key(parse(f"LOCAL:///{name}", "")).split(b"/") if part not in (b"", b".")]
        assert parts == [os.fsencode(part) for part in name.split("/") if part not in ("", ".")]


@given(st.text(max_size=60), st.sampled_from(["http://", "https://", "http://h/", "http://u@h:80/", ""]))
def test_any_text_is_a_url_or_refused(text: str, start: str) -> None:
    try:
        url = parse(start + text)
    except (InvalidUrl, SchemeForbidden, SourceForbidden):
        return
    if url.scheme in ("http", "https"):
        assert re.fullmatch(rb"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", url.raw_host)
        assert url.port is None or 0 < url.port < 65536


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "http://a.example/b"),
        ("b", "http://a.example/x/b"),
        ("?q", "http://a.example/x/y?q"),
        ("//b.example/c", "http://b.example/c"),
        ("https://b.example", "https://b.example"),
        ("../../b", "http://a.example/b"),
    ],
)
def test_redirects_are_resolved(location: str, target: str) -> None:
    assert str(follow(parse("http://a.example/x/y"), location)) == target


@pytest.mark.parametrize("location", ["http://[", "http://a:0/", "http://a b/", "/\x7f"])
def test_redirects_to_nowhere(location: str) -> None:
    with pytest.raises(SourceUnreachable):
        follow(parse("http://a.example/x/y"), location)


@pytest.mark.parametrize("location", ["ftp://a/", "local:///a", "file:///a", "mailto:a"])
def test_redirects_to_other_schemes(location: str) -> None:
    with pytest.raises(SchemeForbidden):
        follow(parse("http://a.example/x/y"), location)
