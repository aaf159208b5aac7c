"""Source URLs as parsed: literal keys, redirect targets, and no surprises from any text."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.errors import InvalidUrl, SchemeForbidden, SourceForbidden, SourceUnreachable
from imgproxy.origins.asking import origin_of
from imgproxy.origins.http import _target
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
    "host",
    [
        # what WHATWG's parser, C's inet_aton or Go's take for 127.0.0.1, and others for a name
        *("127.1", "0x7f.1", "0X7F000001", "2130706433", "0177.0.0.1", "127.0.0.1.", "0", "1.2.3.4.5", "a.0x"),
        # who is the host, who the user?
        *("a@b@c", "a\\@b", "a\\b", "[::1]@b@c", "a@[::1]x"),
        # ports
        *("a:99999", "a:0", "a:65536", "a:-1", "a:+80", "a:8_0", "a: 80", "a:\uff18\uff10", "a:80:81", "a:\u0668"),
        # names
        *(
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "a" * 64,
            "a." * 130 + "a",
            "a%41",
            "a%00b",
            "%31",
            "a b",
            "a\tb",
            "\ufb00.c%m",
        ),
        *("[::1%25lo]", "[::1%lo]", "[127.0.0.1]", "[v1.a]", "[::1", "::1", "[:::]", "\u2460.1", "\u2603.example"),
    ],
)
def test_hosts_that_parsers_read_differently_are_refused(host: str) -> None:
    for text in (f"http://{host}/", f"HTTPS://{host}", f"http://{host}?a", f"http://{host}#a"):
        with pytest.raises(InvalidUrl):
            parse(text)
    with pytest.raises(SourceUnreachable):
        follow(parse("http://a.example/"), f"http://{host}/")


@pytest.mark.parametrize(
    ("host", "read"),
    [
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com."),
        ("foo_bar", "foo_bar"),
        ("-a-", "-a-"),
        ("127.0.0.1", "127.0.0.1"),
        ("1.2\uff0e3\u30024", "1.2.3.4"),
        ("b\xfccher.example", "xn--bcher-kva.example"),
        ("fa\xdf.example", "xn--fa-hia.example"),
        ("[::1]", "::1"),
        ("[::FFFF:1.2.3.4]:8080", "::FFFF:1.2.3.4"),
        ("user:pa:ss@example.com:", "example.com"),
        ("u%40:p%3A@example.com:080", "example.com"),
    ],
)
def test_hosts_that_all_read_alike(host: str, read: str) -> None:
    assert parse(f"http://{host}/").raw_host.decode() == read


_HOSTILE = st.text(
    st.sampled_from("ab.:@/\\[]%#?0178xX-_ \t\uff0e\uff11\u3002\u2460\xdf\xad\u200d") | st.characters(), max_size=25
)


@given(_HOSTILE)
def test_what_is_connected_to_is_what_was_judged(text: str) -> None:
    """Aiohttp is handed the parts, and its own parser reads the same host and port from them."""
    try:
        url = parse(f"http://{text}")
    except (InvalidUrl, SchemeForbidden):
        return
    asked = _target(url)
    assert asked.raw_host == url.raw_host.decode()
    assert asked.port == (url.port or 80)
    assert asked.raw_path_qs.encode() == url.raw_path.removesuffix(b"?")  # an empty query is none
    assert asked.user is None
    assert origin_of(url) == f"http://{url.netloc.decode()}"


@given(_HOSTILE)
def test_a_redirect_is_judged_like_a_source(text: str) -> None:
    try:
        target = follow(parse("http://a.example/b/"), text)
    except (SourceUnreachable, SchemeForbidden):
        return
    if not re.match(r"//|https?:", text, re.IGNORECASE):
        assert target.raw_host == b"a.example"
    assert _target(target).raw_host == target.raw_host.decode()


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


@pytest.mark.parametrize(
    "location",
    ["http://[", "http://a:0/", "http://a b/", "/\x7f", "http:///127.0.0.1/", "http:a", "//a@b@c/", "//a:8_0/"],
)
def test_redirects_to_nowhere(location: str) -> None:
    with pytest.raises(SourceUnreachable):
        follow(parse("http://a.example/x/y"), location)


def test_no_redirect_leaves_tls() -> None:
    assert follow(parse("http://a.example/"), "https://a.example/").scheme == "https"
    for location in ("http://a.example/", "HTTP://b.example"):
        with pytest.raises(SchemeForbidden):
            follow(parse("https://a.example/"), location)


@pytest.mark.parametrize("location", ["ftp://a/", "local:///a", "file:///a", "mailto:a"])
def test_redirects_to_other_schemes(location: str) -> None:
    with pytest.raises(SchemeForbidden):
        follow(parse("http://a.example/x/y"), location)
