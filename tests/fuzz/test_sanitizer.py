"""Random hostile SVGs through the sanitiser: whatever comes out neither runs nor loads anything."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgproxy.errors import ImageError
from imgproxy.render.svg import sanitize
from tests.render.test_svg import active_parts

SVG = "http://www.w3.org/2000/svg"
HOSTILE_TAGS = ["script", "foreignObject", "iframe", "handler", "SCRIPT", "h:script", "x:a", "embed", "object", "form"]
TAGS = [
    *("g", "rect", "text", "tspan", "a", "use", "image", "style", "animate", "set", "filter", "feImage", "pattern"),
    *("linearGradient", "stop", "mask", "clipPath", "marker", "symbol", "switch", "title", "desc", "path", "svg"),
]
ADDRESSES = [
    *(
        "https://evil.test/x",
        "//evil.test/x",
        "x.svg#a",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " java\tscript:x",
    ),
    *(
        "data:text/html,<script>",
        "data:image/svg+xml,<svg/>",
        "data:image/png;base64,iVBORw0KGgo=",
        "#ok",
        "vbscript:x",
    ),
    *("\\6aavascript:x", "file:///etc/passwd", "data:image/png,x' onload='x", '#x" onload="y'),
]
NAMES = [
    *("onload", "ONCLICK", "onbegin", "href", "xlink:href", "x:href", "h:href", "src", "style", "class", "id", "fill"),
    *(
        "filter",
        "mask",
        "attributeName",
        "values",
        "to",
        "from",
        "begin",
        "xml:base",
        "formaction",
        "data-imgproxy-href",
    ),
    *("data-imgproxy-attribute-name", "data-imgproxy-space", "clip-path", "cursor", "requiredExtensions"),
]
CSS = [
    *("fill:red", "background:url(https://evil.test/x)", "@import 'https://evil.test/x';", "fill:url(#ok)", "/**/"),
    *(
        "fill:u\\72l(https://evil.test)",
        "image-set('x' 1x)",
        "expression(alert(1))",
        "behavior:url(x)",
        "@import\\20url(x)",
    ),
    *(
        "URL( 'x' )",
        "@im/**/port 'x';",
        "src(x)",
        "-moz-binding:url(x)",
        "@font-face{src:url(//evil.test/f)}",
        "]]>",
        "</style>",
    ),
]


addresses = st.sampled_from(ADDRESSES) | st.text("abc:/#.;\\() \t'\"", max_size=20)
css = st.lists(st.sampled_from(CSS) | st.text("urlimpot@(){};:'\\/* #", max_size=12), max_size=5).map(" ".join)
values = addresses | css | st.sampled_from(["onload", "href", "xlink:href", "fill", "stroke", "javascript:x"])
attributes = st.dictionaries(st.sampled_from(NAMES), values, max_size=4)


def written(tag: str, named: dict[str, str], inside: list[str]) -> str:
    return f"<{tag}{''.join(f' {name}={quoteattr(value)}' for name, value in named.items())}>{''.join(inside)}</{tag}>"


texts = (css | addresses).map(escape)
pieces = st.one_of(
    texts,
    css.map(lambda text: f"<style>{escape(text)}</style>"),
    css.map(lambda text: f"<style><![CDATA[{text.replace(']]>', '')}]]></style>"),
    st.sampled_from(
        ["<!-- <script>x</script> -->", "<?xml-stylesheet href='x'?>", "&#106;avascript:x", "&lt;script&gt;"]
    ),
)
elements = st.recursive(
    pieces,
    lambda inner: st.builds(written, st.sampled_from(TAGS + HOSTILE_TAGS), attributes, st.lists(inner, max_size=4)),
    max_leaves=12,
)
namespaces = st.sampled_from(
    [
        f'<svg xmlns="{SVG}" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:x="http://www.w3.org/1999/xlink" '
        'xmlns:h="http://www.w3.org/1999/xhtml">{}</svg>',
        f'<svg xmlns="{SVG}" xmlns:x="{SVG}" xmlns:h="{SVG}" xmlns:xlink="http://www.w3.org/1999/xlink">{{}}</svg>',
        f'<x:svg xmlns:x="{SVG}" xmlns="http://www.w3.org/1999/xhtml" xmlns:h="{SVG}" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">{}</x:svg>',
    ]
).map(lambda text: text.replace("{}", "\0").replace("{{", "{").replace("}}", "}"))
documents = st.builds(
    lambda shell, inside: shell.replace("\0", "".join(inside)), namespaces, st.lists(elements, max_size=4)
)


def harmless(document: str) -> None:
    try:
        once = sanitize(document.encode())
    except ImageError:
        return
    # A backslash alone spells nothing: in CSS it needs a function or a rule to do harm.
    assert [part for part in active_parts(once) if part != "\\"] == []
    # The output is read as it is written: a second reading finds nothing to take out of it.
    twice = sanitize(once)
    assert [each.tag for each in ElementTree.fromstring(twice).iter()] == [
        each.tag for each in ElementTree.fromstring(once).iter()
    ]


@given(documents)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_nothing_active_is_left(document: str) -> None:
    harmless(document)


@pytest.mark.soak
@given(documents)
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_nothing_active_is_left_of_thousands(document: str) -> None:
    harmless(document)
