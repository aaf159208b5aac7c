"""srcsets: every address in the shape of its box, escaped as HTML wants it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.dialects.imgproxy import Dialect
from imgproxy.errors import OptionForbidden, UnknownPreset
from imgproxy.formats import AVIF, WEBP
from imgproxy.presets import Definition, Presets
from imgproxy.presets.lines import read_options
from imgproxy.srcset import Box, Wanted, srcset

SOURCE = "http://h.test/a.jpg"
PRESETS = Presets(
    {
        "card": Definition("card", read_options("rs:fill:320:240", ":"), (160, 320), ("width",)),
        "plain": Definition("plain", read_options("rs:fill:30:20", ":")),
    }
)


def address(path: str) -> str:
    return "/s" + path


def box(options: str, presets: Presets = PRESETS) -> Box:
    return Box.of(read_options(options, ":"), presets, SOURCE)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("pr:card", Box(320, 240, filled=True, follows=True)),
        ("pr:card/w:160", Box(160, 120, filled=True, follows=True)),
        ("pr:plain", Box(30, 20, filled=True)),
        ("rs:fit:300:200", Box(300, 200)),
        ("rs:auto:300:200", Box(300, 200)),
        ("rs:fill-down:300:200", Box(300, 200, filled=True)),
        ("rs:force:300:200", Box(300, 200, filled=True)),
        ("rs:fit:300:200:0:1", Box(300, 200, filled=True)),
        ("w:300", Box(300)),
        ("h:300", Box(0, 300)),
        ("q:5", Box()),
        ("rs:fill:300:200/pd:1", Box(300, 200)),
        ("rs:fill:300:200/rot:90", Box(300, 200)),
        ("rs:fill:300:200/z:2", Box(300, 200)),
        ("rs:fill:300:200/dpr:2", Box(300, 200)),
        ("rs:fill:300:200/mw:400", Box(300, 200)),
        ("rs:fill:300:200/exar:1", Box(300, 200)),
    ],
)
def test_boxes(options: str, expected: Box) -> None:
    assert box(options) == expected


def test_the_default_preset_has_its_part_in_the_box() -> None:
    presets = Presets({"default": Definition("default", read_options("rs:fill:8:6", ":"))})
    assert box("q:5", presets) == Box(8, 6, filled=True)


@pytest.mark.parametrize(("options", "error"), [("pr:nosuch", UnknownPreset), ("pr:card/q:1", OptionForbidden)])
def test_a_box_of_what_is_refused(options: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        box(options)


def test_a_preset_in_its_widths() -> None:
    found = srcset(Wanted(SOURCE, ("pr:card",), widths=(320, 160, 320), sizes="50vw"), address, box("pr:card"))
    assert found.as_dict() == {
        "src": "/s/pr:card/plain/http://h.test/a.jpg",
        "srcset": [
            {"url": "/s/pr:card/w:160/plain/http://h.test/a.jpg", "width": 160},
            {"url": "/s/pr:card/w:320/plain/http://h.test/a.jpg", "width": 320},
        ],
        "sizes": "50vw",
        "width": 320,
        "height": 240,
        "sources": [],
    }
    assert found.text() == (
        "/s/pr:card/w:160/plain/http://h.test/a.jpg 160w,\n/s/pr:card/w:320/plain/http://h.test/a.jpg 320w"
    )
    assert found.img() == (
        '<img src="/s/pr:card/plain/http://h.test/a.jpg" '
        'srcset="/s/pr:card/w:160/plain/http://h.test/a.jpg 160w, /s/pr:card/w:320/plain/http://h.test/a.jpg 320w" '
        'sizes="50vw" width="320" height="240" alt="">'
    )


def test_a_picture_in_formats() -> None:
    wanted = Wanted(SOURCE, ("pr:card",), widths=(160,), formats=(AVIF, WEBP, AVIF), alt="A cat")
    assert srcset(wanted, address, box("pr:card")).picture() == (
        "<picture>\n"
        '  <source type="image/avif" srcset="/s/pr:card/w:160/f:avif/plain/http://h.test/a.jpg 160w" sizes="100vw">\n'
        '  <source type="image/webp" srcset="/s/pr:card/w:160/f:webp/plain/http://h.test/a.jpg 160w" sizes="100vw">\n'
        '  <img src="/s/pr:card/plain/http://h.test/a.jpg" srcset="/s/pr:card/w:160/plain/http://h.test/a.jpg 160w" '
        'sizes="100vw" width="320" height="240" alt="A cat">\n'
        "</picture>"
    )
    assert srcset(wanted, address, box("pr:card")).as_dict()["sources"] == [
        {"type": f"image/{name}", "srcset": [{"url": f"/s/pr:card/w:160/f:{name}/plain/{SOURCE}", "width": 160}]}
        for name in ("avif", "webp")
    ]


def test_one_size_needs_no_widths() -> None:
    found = srcset(Wanted(SOURCE, ("pr:card",), width=160, formats=(WEBP,)), address, box("pr:card"))
    assert found.picture() == (
        "<picture>\n"
        '  <source type="image/webp" srcset="/s/pr:card/w:160/f:webp/plain/http://h.test/a.jpg">\n'
        '  <img src="/s/pr:card/w:160/plain/http://h.test/a.jpg" width="160" height="120" alt="">\n'
        "</picture>"
    )
    assert found.text() == found.src == "/s/pr:card/w:160/plain/http://h.test/a.jpg"
    assert found.as_dict()["sizes"] == ""


@pytest.mark.parametrize(
    ("options", "own", "other", "size"),
    [
        ("rs:fill:300:200", "", "/w:150/h:100", (300, 200)),
        ("rs:fit:300:200", "", "/w:150/h:100", None),
        ("pr:plain", "", "/w:150/h:100", (30, 20)),
        ("w:300", "", "/w:150", None),
        ("q:5", "/w:600", "/w:150", None),
        ("rs:fill:1000:1", "", "/w:150/h:1", (1000, 1)),
    ],
)
def test_all_have_the_same_shape(options: str, own: str, other: str, size: tuple[int, int] | None) -> None:
    found = srcset(Wanted(SOURCE, (options,), widths=(150, 600)), address, box(options))
    assert found.src == f"/s/{options}{own}/plain/{SOURCE}"
    assert found.candidates[0].url == f"/s/{options}{other}/plain/{SOURCE}"
    assert found.size == size
    assert ("height=" in found.img()) == bool(size)


def test_other_separators_and_base64() -> None:
    wanted = Wanted(SOURCE, ("q,5",), width=5, formats=(WEBP,), separator=",", base64=True)
    found = srcset(wanted, address, Box(20, 10))
    assert found.src == "/s/q,5/w,5/h,3/aHR0cDovL2gudGVzdC9hLmpwZw"
    assert found.offers[0].candidates[0].url == "/s/q,5/w,5/h,3/f,webp/aHR0cDovL2gudGVzdC9hLmpwZw"


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def urls_of(text: str) -> list[str]:
    """As browsers split a srcset attribute (HTML, "parsing a srcset attribute"), where each has a descriptor."""
    found: list[str] = []
    rest = text
    while rest := rest.lstrip(" \t\n\f\r,"):
        url, _, after = rest.partition(" ")
        assert not url.endswith(",")
        found.append(url)
        _, _, rest = after.partition(",")
    return found


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(), st.text())
def test_whatever_is_in_it_html_has_the_same(source: str, alt: str, sizes: str) -> None:
    wanted = Wanted(f"http://h.test/{source},", ("pr:card",), widths=(160, 320), formats=(AVIF,), sizes=sizes, alt=alt)
    found = srcset(wanted, address, box("pr:card"))
    tags = Elements(found.picture()).found
    assert [tag for tag, _ in tags] == ["picture", "source", "img"]
    (_, offer), (_, img) = tags[1:]
    assert img["src"] == found.src
    # Browsers and this parser read NUL and CR as other characters, escaped or not.
    if not {"\0", "\r"} & {*alt, *sizes}:
        assert img["alt"] == alt
        assert img["sizes"] == offer["sizes"] == (sizes or "100vw")
    for text, candidates in ((img["srcset"], found.candidates), (offer["srcset"], found.offers[0].candidates)):
        assert urls_of(text or "") == [each.url for each in candidates]
    for each in found.candidates:
        assert Dialect().read(each.url.removeprefix("/s")).source.url == wanted.source
