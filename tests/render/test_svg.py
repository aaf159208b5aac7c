"""SVG: what is refused, what is left of an SVG that is served as one, and that it still looks the same."""

# ruff: noqa: E501 - a document on a line reads better

from __future__ import annotations

import base64
import gzip
import re
import time
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import pyvips

from imgproxy.errors import BrokenImage
from imgproxy.render.svg import check, sanitize
from tests.render.rendering import render

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="60" height="40">{}</svg>'
)
PNG = "data:image/png;base64,iVBORw0KGgo="


def clean(inside: str) -> str:
    return sanitize(SVG.format(inside).encode()).decode()


def active_parts(svg: bytes) -> list[str]:
    """What in a document could run or load something."""
    found: list[str] = []
    for element in ET.fromstring(svg).iter():
        name = element.tag.removeprefix("{http://www.w3.org/2000/svg}")
        if name in {"script", "foreignObject", "iframe", "handler", "listener", "audio", "video"} or "{" in name:
            found.append(name)
        for attribute, value in element.attrib.items():
            if attribute.lower().startswith("on") or ("{" in attribute and not attribute.endswith("}space")):
                found.append(attribute)
            if attribute in {"href", "src", "action"} and not re.match(r"#|data:image/(png|jpeg|gif|webp)[;,]", value):
                found.append(f"{attribute}={value}")
            if attribute == "attributeName" and (value.lower().startswith("on") or "href" in value):
                found.append(f"{attribute}={value}")
            found += loads(value)
        if name == "style":
            found += loads(element.text or "")
    return found


def loads(css: str) -> list[str]:
    return re.findall(r"@import|image-set\(|\bsrc\(|url\(\s*['\"]?(?!#|data:image/)[^)]*|\\", css, re.IGNORECASE)


ATTACKS = [
    "<script>alert(1)</script>",
    '<script xlink:href="https://evil.test/x.js"/>',
    '<script xmlns="">alert(1)</script>',
    '<h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(1)</h:script>',
    '<rect onload="alert(1)" ONCLICK="alert(2)" onbegin="alert(3)"/>',
    '<a href="javascript:alert(1)"><text>x</text></a>',
    '<a href="java&#10;script:alert(1)"><text>x</text></a>',
    '<a xlink:href="https://evil.test/"><text>x</text></a>',
    '<foreignObject><body xmlns="http://www.w3.org/1999/xhtml" onload="alert(1)"><iframe src="x"/></body></foreignObject>',
    '<iframe src="https://evil.test/"/><form action="https://evil.test/"><input/></form><embed src="x"/><object data="x"/>',
    '<html:img xmlns:html="http://www.w3.org/1999/xhtml" src="x" onerror="alert(1)"/>',
    '<image href="https://evil.test/x.png"/><image xlink:href="//evil.test/x.png"/><image href="x.png"/>',
    '<image href="data:image/svg+xml;base64,PHN2Zz4="/><image href="data:text/html,x"/><image href=" data:image/pngx,"/>',
    f'<image href="{PNG}" xlink:href="https://evil.test/x.png"/>',
    '<use href="https://evil.test/x.svg#a"/><use href="data:image/svg+xml,x#a"/><use xlink:href="x.svg#a"/>',
    '<style>@import url(https://evil.test/x.css); @import "x.css"; @IMPORT url("x")</style>',
    "<style>@im@import x;port 'https://evil.test/x.css';</style>",
    "<style>.a{background:url(https://evil.test/x)} .b{fill:URL( 'x' )} .c{fill:url(//evil.test</style>",
    "<style>.a{background:u\\72l(https://evil.test/)} .b{mask:im\\61ge-set('https://evil.test/' 1x)}</style>",
    "<style>.a{background:image-set('https://evil.test/' 1x);mask:src('https://evil.test/')}</style>",
    "<style>@font-face{font-family:x;src:url(https://evil.test/x.woff)}</style>",
    "<style>@imp\ufdd0ort 'https://evil.test/x.css'; .a{fill:u&#xfdd0;rl(https://evil.test/)}</style>",
    "<rect style=\"mask:ima\u2603ge-set('https://evil.test/' 1x);fill:u\u2603rl(https://evil.test/x.svg#g)\"/>",
    "<rect style=\"mask:imag\ufdd0e-set('https://evil.test/' 1x);fill:u\ufdd0rl(https://evil.test/x.svg#g)\"/>",
    '<a href="java\ufdd0script:alert(1)"/><image href="\ufdd0https://evil.test/"/><rect o\ufdd0nload="x" _="1"/>'.replace("o\ufdd0n", "on"),
    '<animate attributeName="fill" values="u\\72l(https://evil.test/);image-set(\'https://evil.test/\')"/>',
    "<style>ima@import x;ge-set('https://evil.test/' 1x); ur@import y;l(https://evil.test/)</style>",
    "<style><![CDATA[@import url(//evil.test/);]]></style>",
    '<style xmlns="">.a{mask:image-set("https://evil.test/" 1x)}</style>',
    "<style>.a{}<style>@import 'https://evil.test/';</style></style>",
    "<rect style=\"fill:red;mask:url(https://evil.test/#m);cursor:-webkit-image-set('https://evil.test/' 1x)\"/>",
    '<rect fill="url(https://evil.test/#g)" filter="url( \'x.svg#f\' )" mask="url(//evil.test/)" cursor="url(x)"/>',
    '<rect data-imgproxy-href="javascript:alert(1)"/><a data-imgproxy-href="x"/>',
    '<a><set attributeName="href" to="javascript:alert(1)"/><animate attributeName="xlink:href" values="x"/></a>',
    '<rect><set attributeName="onclick" to="alert(1)"/><set attributeName="fill" to="url(https://evil.test/)"/></rect>',
    '<text><![CDATA[</text><script>alert(1)</script>]]></text>',
    '<?xml-stylesheet href="https://evil.test/x.css"?><!-- <script>alert(1)</script> -->',
    '<handler type="application/ecmascript">alert(1)</handler><audio src="x"/><video src="x"/>',
    '<feImage xlink:href="https://evil.test/x.png"/><textPath href="https://evil.test/"/><mpath href="x.svg#m"/>',
    '<rect xml:base="https://evil.test/" xmlns:ev="http://www.w3.org/2001/xml-events" ev:event="load"/>',
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_active_survives(attack: str) -> None:
    svg = sanitize(SVG.format(attack + "<circle r='3'/>").encode())
    assert active_parts(svg) == []
    assert "evil" not in re.sub(r"values=\"[^\"]*\"|>[^<]*<", "", svg.decode())
    assert "circle" in svg.decode()


def test_the_attacks_are_attacks() -> None:
    assert all(active_parts(SVG.format(attack).encode()) for attack in ATTACKS[:3])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "iso-8859-1", "windows-1252"])
def test_the_encoding_hides_nothing(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding.removesuffix("-le")}"?>' + SVG.format(
        "<script>1</script><text>é</text>"
    )
    svg = sanitize(text.encode(encoding)).decode()
    assert "script" not in svg
    assert "é" in svg


def declared(name: str, inside: str = "") -> str:
    return f'<?xml version="1.0" encoding="{name}"?>' + SVG.format(inside)


TEXT = '<text y="30" font-size="30">{}</text>'


@pytest.mark.parametrize(
    ("name", "letter"),
    [
        *(("iso-8859-15", "é"), ("ISO-8859-2", "ł"), ("latin1", "é"), ("windows-1251", "Ж"), ("koi8-r", "Ж")),
        *(("cp866", "Ж"), ("macintosh", "é"), ("utf8", "é")),
    ],
)
def test_an_encoding_changes_nothing(name: str, letter: str) -> None:
    svg = declared(name, TEXT.format(letter)).encode(name)
    assert letter in sanitize(svg).decode()
    assert render(svg, "f:png").body == render(SVG.format(TEXT.format(letter)).encode(), "f:png").body


def test_a_byte_order_mark_is_right() -> None:
    svg = declared("koi8-r", TEXT.format("é")).encode("utf-8-sig")
    assert "é" in sanitize(svg).decode()
    assert render(svg, "f:png").body == render(SVG.format(TEXT.format("é")).encode(), "f:png").body


@pytest.mark.parametrize("name", ["shift_jis", "IBM037", "UTF-7", "hex", "idna", "nonsense", "x" * 1000])
def test_an_encoding_that_is_not_read_is_named(name: str) -> None:
    with pytest.raises(BrokenImage, match=f"in the encoding '{name[:40]}', which is not read"):
        check(declared(name).encode(), 20_000)
    with pytest.raises(BrokenImage, match="encoding"):
        sanitize(declared(name).encode())


def test_an_embedded_svg_in_an_encoding_that_nobody_knows_is_refused() -> None:
    inner = base64.b64encode(declared("nonsense").encode()).decode()
    with pytest.raises(BrokenImage, match=r"embedded SVG in an encoding .* nonsense"):
        check(SVG.format(f'<image href="data:image/svg+xml;base64,{inner}"/>').encode(), 20_000)


ENTITIES = '<?xml version="1.0"?><!DOCTYPE svg [{}]>' + SVG.format("<text>&a;</text>")
REFUSED = {
    "external entity": ENTITIES.format('<!ENTITY a SYSTEM "file:///etc/passwd">').encode(),
    "billion laughs": ENTITIES.format('<!ENTITY b "ha"><!ENTITY a "&b;&b;">').encode(),
    "parameter entity": ENTITIES.format('<!ENTITY % p SYSTEM "https://evil.test/">%p;').encode(),
    "markup in an entity": ENTITIES.format('<!ENTITY a "<script/>">').encode(),
    "long entity": ENTITIES.format(f'<!ENTITY a "{"x" * 1000}">').encode(),
    "utf-16 entity": ENTITIES.format('<!ENTITY a SYSTEM "x">').encode("utf-16"),
    "utf-7": b'<?xml version="1.0" encoding="UTF-7"?>+ADw-svg/+AD4-',
    "bytes that are none of the encoding's": declared("cp1252").encode() + b"<!--\x81-->",
    "utf-16 that declares another": declared("koi8-r").encode("utf-16"),
    "svgz": gzip.compress(SVG.format("").encode()),
    "too long": SVG.format("<!--" + "x" * 10_000_000 + "-->").encode(),
    "no xml": b"hello",
    "empty": b"",
    "nul": b"\0<svg/>",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_before_librsvg(kind: str) -> None:
    with pytest.raises(BrokenImage):
        check(REFUSED[kind], 20_000_000)
    with pytest.raises(BrokenImage):
        sanitize(REFUSED[kind])


@pytest.mark.parametrize(
    "svg",
    [
        SVG.format("<g>" * 100_000 + "</g>" * 100_000),
        SVG.format("<rect>"),
        SVG.format('<rect x="1" x="2"/>'),
        SVG.format("<text>&nbsp;</text>"),
        SVG.format("") * 2,
        "<html><svg/></html>",
        "<svg/>",
    ],
)
def test_malformed(svg: str) -> None:
    with pytest.raises(BrokenImage):
        sanitize(svg.encode())


def test_illustrators_doctype_is_harmless() -> None:
    text = (
        b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" '
        b'[<!ENTITY ns_svg "http://www.w3.org/2000/svg">]><svg xmlns="&ns_svg;"><rect width="9"/></svg>'
    )
    check(text, 512 << 10)
    assert b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" /></svg>' in sanitize(text)


ORDINARY = [
    '<defs><linearGradient id="g" x1="0" gradientUnits="userSpaceOnUse"><stop offset="0" stop-color="red"/>'
    '<stop offset="1" style="stop-color:#00f"/></linearGradient></defs><rect width="60" height="40" fill="url(#g)"/>',
    '<defs><linearGradient id="a"><stop stop-color="red"/></linearGradient><radialGradient id="g" xlink:href="#a"/></defs>'
    '<rect width="60" height="40" style="fill:url(#g);stroke-width:2"/>',
    '<filter id="f"><feGaussianBlur stdDeviation="2"/><feOffset dx="3"/></filter><rect width="30" height="30" filter="url(#f)"/>',
    '<clipPath id="c"><circle cx="20" cy="20" r="9"/></clipPath><g clip-path="url(#c)"><rect width="60" height="40"/></g>',
    '<mask id="m"><rect width="30" height="40" fill="#fff"/></mask><rect width="60" height="40" mask="url(#m)"/>',
    '<pattern id="p" width="6" height="6" patternUnits="userSpaceOnUse"><circle r="3"/></pattern><rect width="60" height="40" fill="url(#p)"/>',
    '<symbol id="s" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></symbol><use href="#s" width="30" height="30"/><use xlink:href="#s" x="9" width="9" height="9"/>',
    '<style>.a{fill:#080} g &gt; .b{stroke:url(#none);stroke:blue}</style><g><rect class="a b" width="30" height="30"/></g>',
    '<style><![CDATA[@import url(x.css); .a{fill:#080}]]></style><rect class="a" width="30" height="30"/>',
    '<text y="20" font-family="sans-serif"><tspan>a</tspan><tspan>b</tspan> c <tspan dx="2">d</tspan></text>',
    '<text y="20" xml:space="preserve">a   b</text>',
    '<text y="30" font-size="30" stroke="red" stroke-width="4" paint-order="stroke">a</text>',
    '<g transform="translate(5) rotate(9)" opacity=".5"><polygon points="0,0 9,0 9,9"/><ellipse cx="30" cy="20" rx="9" ry="4"/></g>',
    '<marker id="m" refX="1"><circle r="2"/></marker><polyline points="5,5 30,30" stroke="red" marker-end="url(#m)"/>',
    '<svg x="5" viewBox="0 0 10 10" preserveAspectRatio="none"><rect width="5" height="5"/></svg>',
]  # fmt: skip


@pytest.mark.parametrize("drawing", ORDINARY)
def test_ordinary_drawings_look_the_same(drawing: str) -> None:
    original: Any = pyvips.Image.svgload_buffer(SVG.format(drawing).encode())
    sanitized: Any = pyvips.Image.svgload_buffer(sanitize(SVG.format(drawing).encode()))
    assert original.max() > 0
    assert (original.cast("short") - sanitized.cast("short")).abs().max() == 0


def test_a_prefixed_document_still_draws() -> None:
    text = b'<s:svg xmlns:s="http://www.w3.org/2000/svg" width="9" height="9"><s:rect width="9" height="9"/></s:svg>'
    assert pyvips.Image.svgload_buffer(sanitize(text))[3].avg() == 255


def test_what_readers_of_a_page_need_stays() -> None:
    svg = clean('<title>T</title><desc>D</desc><g role="img" aria-label="x" data-name="q" id="i"/>')
    assert "<title>T</title><desc>D</desc>" in svg
    for part in ('role="img"', 'aria-label="x"', 'data-name="q"', 'id="i"'):
        assert part in svg


def test_text_on_a_path_stays_on_it() -> None:
    assert '<textPath href="#t">x</textPath>' in clean(
        '<path id="t" d="M0 20h60"/><text><textPath href="#t">x</textPath></text>'
    )


def test_embedded_images_and_colour_animations_stay() -> None:
    svg = clean(f'<image href="{PNG}"/><rect><animate attributeName="fill" values="red;blue" dur="1s"/></rect>')
    assert f'href="{PNG}"' in svg
    assert 'attributeName="fill"' in svg
    assert 'values="red;blue"' in svg


@pytest.mark.parametrize("word", ["url(", "url( #", "image", "image ", "@import", "@import;", "src(", "\\(", "(", "-"])
def test_style_sheets_are_read_in_one_go(word: str) -> None:
    start = time.monotonic()
    clean(f"<style>({word * 50_000}</style><rect style='(image{' ' * 100_000}'/>")
    assert time.monotonic() - start < 1


def test_sanitizing_twice_changes_nothing() -> None:
    once = sanitize(SVG.format("".join(ORDINARY)).encode())
    assert sanitize(once) == once
