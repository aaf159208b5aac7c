"""What drawing an SVG would cost: the same for every way to say it, and little for what is ordinary."""

# ruff: noqa: E501 - a document on a line reads better

from __future__ import annotations

import base64
import gzip
import time
from contextlib import suppress

import pytest

from imgproxy.errors import BrokenImage, SourceTooExpensive
from imgproxy.geometry import Size
from imgproxy.model import Limits
from imgproxy.render import strokes
from imgproxy.render.budget import Budget
from imgproxy.render.costs import check_load
from imgproxy.render.load import read_header
from imgproxy.render.strokes import Outline
from imgproxy.render.svg import check
from tests.bombs import scribble
from tests.render.rendering import held, render

BLUR = '<filter id="f"><feGaussianBlur stdDeviation="9"/></filter>'
DOTS = '<pattern id="p" width="9" height="9" patternUnits="userSpaceOnUse">' + '<circle r="1"/>' * 400 + "</pattern>"
STAR = '<marker id="m">' + '<path d="M0 0h9v9z"/>' * 200 + "</marker>"
COVER = '<rect width="900" height="700" {}/>'
ZIGZAG = "M0 0" + "h1v1" * 5_000


def svg(inside: str, root: str = 'width="900" height="700"') -> bytes:
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {links} {root}>{inside}</svg>".encode()


def judged(document: bytes) -> float:
    """How many times drawing goes over the picture. Raises as a render would, before it draws."""
    source = held(document)
    try:
        picture = read_header(source, Limits())
        check_load(picture, Size(picture.size.width, picture.size.height), Budget())
        return picture.layout.passes
    finally:
        source.close()


def refused(inside: str, root: str = 'width="900" height="700"') -> None:
    with pytest.raises(SourceTooExpensive):
        judged(svg(inside, root))


EMBEDDED = base64.b64encode(
    svg('<filter id="f">' + '<feOffset dx="3"/>' * 40 + "</filter>" + COVER.format('filter="url(#f)"'))
).decode()
INNER = svg("<text>" + "a b " * 9_000 + "</text>")
EMBEDDING = '<image width="9" height="9" href="data:image/svg+xml;base64,{}"/>'


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


EXPENSIVE = {
    "a filter by class": "<style>.a{filter:url(#f)}</style>" + BLUR + COVER.format('class="a"') * 200,
    "a filter by tag, said last": BLUR + COVER.format("") * 200 + "<style>g &gt; rect, rect {FILTER : url('#f')}</style>",
    "a filter by id": BLUR + "".join(COVER.format(f'id="r{n}"') for n in range(200)) + "<style>" + ",".join(f"#r{n}" for n in range(200)) + "{filter:url(#f)}</style>",
    "a filter with escapes": BLUR + COVER.format(r'style="f\69 lter:url(#f)"') * 200,
    "a filter with comments": BLUR + COVER.format('style="filter/**/:/**/url(#f)"') * 200,
    "filters as functions": COVER.format('filter="' + "blur(9px) " * 40 + '"'),
    "functions in a style sheet": "<style>rect{filter:blur(9px)}</style>" + COVER.format("") * 45,
    "a mask by class": '<style>.a{mask:url(#m)}</style><mask id="m"><rect width="9" height="9"/></mask>' + '<g class="a"/>' * 250,
    "an inherited pattern": DOTS + '<g fill="url(#p)">' + COVER.format("") * 2_000 + "</g>",
    "a pattern inherited in spite of nonsense": DOTS + '<g fill="url(#p)">' + COVER.format('fill="zz"') * 2_000 + "</g>",
    "a pattern inherited by what is used": DOTS + '<g id="s">' + COVER.format("") * 50 + "</g>" + '<use href="#s" fill="url(#p)"/>' * 40,
    "an inherited gradient": '<radialGradient id="g"><stop/></radialGradient><g fill="url(#g)">' + COVER.format("") * 500 + "</g>",
    "an inherited marker": STAR + f'<g marker-mid="url(#m)"><path d="{ZIGZAG}"/></g>',
    "a marker named before its path": STAR + f'<path marker-mid="url(#m)" d="{ZIGZAG}"/>',
    "a marker by a style sheet": f"<style>path{{marker:url(#m)}}</style>{STAR}<path d='{ZIGZAG}'/>",
    "blending": '<rect style="mix-blend-mode:multiply" width="9" height="9"/>' * 300,
    "dashes again and again": '<path id="a" stroke="red" stroke-dasharray="1" d="M0 0H900V700H0V9H900"/>' + '<use href="#a"/>' * 900,
    "dashes in percent": COVER.replace("900", "9000%").format('stroke="red" stroke-dasharray=".3"'),
    "dashes in inches": COVER.replace("900", "9000in").format('stroke="red" stroke-dasharray="1"'),
    "lines across each other": f'<path d="M0 0L{scribble(6_000, seed=1)}"/>',
    "lines across each other, enlarged": f'<g transform="scale(90)"><polyline points="{scribble(6_000, seed=1, side=10)}"/></g>',
    "texts of many sizes": "".join(f'<text y="9" font-size="{9 + n / 700}">ab</text>' for n in range(1_200)),
    "neighbours": "<style>" + "".join(f".z{n}~g{{r:1}}" for n in range(300)) + "</style>" + "<g/>" * 3_000,
    "declarations": "<style>*{" + "fill:red;" * 6_000 + "}</style>" + "<g/>" * 9_000,
    "declarations that differ": "<style>*{" + "".join(f"fill:#{n:06x};" for n in range(400)) + "}</style>" + "<g/>" * 900,
    "two links": '<g id="s">' + COVER.format("") * 100 + "</g><g id='n'/>" + '<use xlink:href="#n" href="#s"/>' * 9_000,
    "symbols": '<symbol id="s" viewBox="0 0 9 9">' + '<rect width="9" height="9"/>' * 100 + "</symbol>" + '<use href="#s"/>' * 200,
    "a drawing in a drawing": f'<image width="900" height="700" href="data:image/svg+xml;base64,{EMBEDDED}"/>',
    "a packed drawing in a drawing": EMBEDDING.format(coded(gzip.compress(INNER))),
    "a drawing in a drawing behind an instruction": EMBEDDING.format(coded(b"<?a b?>" + INNER)),
    "a drawing in a drawing in UTF-16": EMBEDDING.format(
        coded(b'<?xml version="1.0" encoding="UTF-16"?>'.decode().encode("utf-16") + INNER.decode().encode("utf-16")[2:])
    ),
    "a drawing in a drawing in an encoding of its own": EMBEDDING.format(
        coded('<?xml version="1.0" encoding="cp037"?><svg/>'.encode("cp037"))
    ),
    "what is included": '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="data:,ab"/>',
    "a style sheet that is data": "<style>@import url(data:text/css,g%7Bfilter:url(%23f)%7D);</style>",
    "a style sheet that is data, said otherwise": r"""<style>@\69 mport/**/'\64 ata:text/css,g{}';</style>""",
    "a convolution": f'<filter id="f"><feConvolveMatrix order="15" kernelMatrix="{"1 " * 225}"/><feOffset/></filter>' + COVER.format('filter="url(#f)"') * 2,
    "noise": '<filter id="f">' + '<feTurbulence numOctaves="16"/>' * 4 + "</filter>" + COVER.format('filter="url(#f)"'),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPENSIVE)
def test_what_takes_seconds_is_refused_however_it_is_said(name: str) -> None:
    refused(EXPENSIVE[name])


def test_what_covers_a_large_picture_often_is_refused() -> None:
    cover = '<rect width="5000" height="5000" fill-opacity=".5"/>'
    refused(cover * 500, 'width="5000" height="5000"')
    assert judged(svg('<rect width="9" height="9"/>' * 500, 'width="5000" height="5000"')) < 0.01


ORDINARY = {
    "classes of a drawing program": "<style>" + "".join(f".c{n}{{fill:#{n:06x};stroke:none;opacity:1}}" for n in range(200)) + "</style>" + "".join(f'<path class="c{n % 200}" d="M0 0h9v9z"/>' for n in range(4_000)),
    "icons in a sprite": '<symbol id="s" viewBox="0 0 24 24"><path d="M2 2h20v20H2z"/></symbol>' + '<use href="#s" width="16" height="16"/>' * 800,
    "a shadow": f'{BLUR}<style>.s{{filter:url(#f)}}</style><g class="s">{COVER.format("")}</g>' + COVER.format("") * 20,
    "gradients on small things": '<linearGradient id="g"><stop/><stop offset="1"/></linearGradient><g fill="url(#g)">' + '<circle r="9"/>' * 2_000 + "</g>",
    "a line with markers": '<marker id="m"><circle r="2"/></marker><polyline marker-mid="url(#m)" points="' + "".join(f"{n},{n % 97} " for n in range(2_000)) + '"/>',
    "a coast": '<path d="M0 0' + "".join(f"l{n * 7 % 5 - 2}.5 {n * 11 % 7 - 3}.5" for n in range(15_000)) + '"/>',
    "hatching": "".join(f'<path d="M0 {n}H900" stroke="red"/>' for n in range(700)),
    "dots": '<path d="' + "".join(f"M{n % 90 * 9} {n // 90 * 9}a2 2 0 104 0 2 2 0 10-4 0" for n in range(5_000)) + '"/>',
    "labels": "".join(f'<text x="{n}" y="{n}" font-size="12" font-family="serif">ab{n}</text>' for n in range(900)),
    "a traced bitmap": '<g transform="translate(0,700) scale(.1,-.1)"><path d="M0 0h9000v7000z' + "m9 9h50v50z" * 900 + '"/></g>',
    "a dashed frame": COVER.format('fill="none" stroke="red" stroke-dasharray="4 2"'),
    "a paint that its own parts inherit": f'<g fill="url(#p)">{DOTS}{COVER.format("")}</g>',
}  # fmt: skip


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_drawings_are_drawn(name: str) -> None:
    judged(svg(ORDINARY[name]))
    assert render(svg(ORDINARY[name]), "f:png").width == 900


@pytest.mark.parametrize("spaces", range(4))
def test_a_drawing_in_a_drawing_is_read_to_its_end(spaces: int) -> None:
    inner = base64.b64encode(svg(COVER.format("") + " " * spaces)).decode()
    for data in (inner, inner.rstrip("=")):
        image = f'<image width="900" height="700" href="data:image/svg+xml;base64,{data}"/>'
        assert judged(svg(image)) > 0


@pytest.mark.parametrize(
    "content",
    [
        EMBEDDING.format(coded(b"no picture at all")),
        EMBEDDING.format(""),
        EMBEDDING.format(coded(b"<!-- drawn by hand -->" + svg("<g/>"))),
        "<style>@import url(https://fonts.example/css?family=A);@import '//b.example/c';@import \"d.css\";</style>",
    ],
)
def test_what_can_be_no_drawing_or_is_not_fetched_does_no_harm(content: str) -> None:
    judged(svg(content))


def test_a_style_sheet_of_an_instruction_is_no_data() -> None:
    told = b"<?xml-stylesheet type='text/css' href='%s'?>" + svg("<g/>")
    check(told % b"http://a.example/b.css", 512 << 10)
    for hidden in (b"data:text/css,g%7B%7D", b"DATA:,", b"&#100;ata:,"):
        with pytest.raises(SourceTooExpensive):
            check(told % hidden, 512 << 10)


def test_one_that_is_not_drawn_may_cost_what_it_likes() -> None:
    document = svg(EXPENSIVE["lines across each other"] + EXPENSIVE["neighbours"])
    check(document, 512 << 10, drawn=False)
    with pytest.raises(SourceTooExpensive):  # without a size, it is drawn to find it
        check(document.replace(b'width="900" height="700"', b"", 1), 512 << 10, drawn=False)


def test_what_a_drawing_defines_and_never_draws_is_free() -> None:
    many = "".join(f'<filter id="f{n}">{"<feOffset/>" * 10}</filter>' for n in range(4))
    assert judged(svg(many)) == 0


@pytest.mark.parametrize(
    ("tag", "attributes", "expected"),
    [
        ("path", {"d": "M1 1L4 5"}, Outline(7, 3, 4, 2)),
        ("path", {"d": "m1 1h2v2H1z"}, Outline(6, 2, 2, 4)),
        ("path", {"d": "M0 0c1 1 2 2 3 3 1 1 2 2 3 3"}, Outline(12, 6, 6, 7)),
        ("path", {"d": "M0 0q1 1 2 0t9-.5.5.5"}, Outline(2 + 2 + 9.5 + 1, 11.5, 1.5, 5)),
        ("path", {"d": "M0 0a1 1 0 01.5.5 2 2 0 105.5-5.5"}, Outline(1 + 6 + 11 + 12, 6, 5.5, 3)),
        ("path", {"d": "M0 0L1"}, Outline(0, 0, 0, 1)),
        ("path", {"d": "M0 0L5 L 6 6"}, Outline(0, 0, 0, 1)),
        ("path", {"d": "M0 0L1e400 0"}, Outline(1e9, 1e9, 0, 2)),
        ("path", {"d": ""}, Outline()),
        ("polyline", {"points": "0,0 3,4 3"}, Outline(5, 3, 4, 2)),
        ("line", {"x1": "1", "x2": "50%"}, Outline(49, 49, 0, 2)),
        ("circle", {"r": "1mm"}, Outline(30.4, 7.6, 7.6, 4)),
        ("ellipse", {"rx": "1", "ry": "2"}, Outline(12, 2, 4, 4)),
        ("rect", {"width": "3", "height": "4"}, Outline(14, 3, 4, 4)),
        ("rect", {"width": "3zzz", "height": "-4"}, Outline(8, 0, 4, 4)),
        ("text", {}, Outline(0, 0, 0, 4)),
    ],
)
def test_outlines(tag: str, attributes: dict[str, str], expected: Outline) -> None:
    assert strokes.outline(tag, attributes, 100.0) == expected


WORDS = [
    "a",
    "1",
    "a-",
    "(",
    "url(",
    "url( ",
    " ",
    "{",
    "}",
    "a{",
    "a,",
    "[",
    ":",
    ":(",
    "~",
    "/*",
    "\\",
    "1 ",
    ".",
    "-",
    "e",
    "#",
    ";",
    "a:",
    "1e1",
]
PLACES = [
    "<style>{}</style><rect/>",
    "<style>{} b{{fill:red}}</style><rect/>",
    '<rect style="{}"/>',
    '<rect filter="{}" fill="{}" transform="{}" stroke-dasharray="{}" width="{}" viewBox="{}"/>',
    '<svg viewBox="{}" class="{}" width="{}x"/>',
    '<path d="M0 0a{}"/>',
    '<path d="M{}"/><polygon points="{}"/>',
    '<filter><feConvolveMatrix order="{}"/></filter>',
]


@pytest.mark.parametrize("place", PLACES)
def test_a_document_is_read_in_time_that_grows_with_it(place: str) -> None:
    start = time.monotonic()
    for word in WORDS:
        with suppress(SourceTooExpensive, BrokenImage):
            check(
                svg(place.replace("{}", word * (60_000 // len(word))).replace("{{", "{").replace("}}", "}")), 512 << 10
            )
    assert time.monotonic() - start < 0.4 * len(WORDS)  # what grows with the square takes a minute for each


def test_declarations_are_looked_at_once() -> None:
    start = time.monotonic()
    refused("<style>*{" + "stroke-dasharray:1,2,3;" * 9_000 + "}</style>" + "<g/>" * 15_000)
    assert time.monotonic() - start < 2  # it was minutes
