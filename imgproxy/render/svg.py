"""SVG from strangers: what is refused before librsvg sees it, and what is left of an SVG that is served as one.

The allow-list of elements and attributes is svg-hush's (Cloudflare's sanitiser). Around it stands what it lacks:

- it turns addresses of other hosts into addresses of this one; here only ``#id`` and embedded images stay;
- it knows ``url()`` and ``@import`` in CSS, but not ``image-set("https://…")`` and the like;
- it pretty-prints: blanks between ``<tspan>`` elements become visible, and the output grows with the square of the
  nesting (100,000 levels: 20 GB);
- it drops the prefix of ``<svg:svg>``, but not the elements' need of a namespace: nothing is drawn any more;
- it drops some harmless attributes that change the picture.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from py_svg_hush import filter_svg

from imgproxy.errors import BrokenImage
from imgproxy.render import drawing, markup
from imgproxy.render.headers.base import Layout

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
ET.register_namespace("", _SVG[1:-1])  # written without a prefix, which svg-hush would lose

_IMAGES = ("png", "jpeg", "gif", "webp")
_LOCAL = r"\s*+(?:#|data:image/(?:" + "|".join(_IMAGES) + r")[;,])"
_LOCAL_ADDRESS = re.compile(_LOCAL, re.IGNORECASE)
# What loads something in CSS: a url() that leads out of the document, and other functions and rules.
_FOREIGN_URL = re.compile(rf"url\(\s*+['\"]?+(?!{_LOCAL})[^)]*\)?", re.IGNORECASE)
_LOADING_FUNCTION = re.compile(
    r"(?:image(?:-set)?|src|cross-fade|element|paint|expression)\s*\([^)]*\)?", re.IGNORECASE
)
_LOADING_RULE = re.compile(r"@import[^;{}]*;?", re.IGNORECASE)

# A character that no XML text means (a Unicode noncharacter, but legal in XML): written between all tags, it keeps
# svg-hush from indenting them.
_FILLER = "\ufdd0"
# svg-hush passes data-* attributes as they are: under these names some others travel through it.
_STOWED = "data-imgproxy-"
_STOWAWAYS = {
    "{http://www.w3.org/XML/1998/namespace}space": f"{_STOWED}space",
    "paint-order": f"{_STOWED}paint-order",
    "mix-blend-mode": f"{_STOWED}mix-blend-mode",
}
_LINKING = {f"{_SVG}textPath", f"{_SVG}mpath"}
_LINK = f"{_STOWED}href"
_ANIMATING = {f"{_SVG}animate", f"{_SVG}animateColor", f"{_SVG}set"}
_ANIMATED = f"{_STOWED}attribute-name"
_UNSTOWED = {stowed: name for name, stowed in _STOWAWAYS.items()} | {_LINK: "href", _ANIMATED: "attributeName"}


def check(svg: bytes, size: int, *, drawn: bool = True) -> Layout:
    """What drawing an SVG takes for each pixel; raises what is wrong with it, before librsvg sees it.

    ``size`` is the largest one allowed, in bytes. Raises ``BrokenImage`` for what is no XML, or has a trap in its
    DOCTYPE, and ``SourceTooExpensive`` for what would take too long; ``drawn``: to rasterise.
    """
    try:
        svg = markup.in_utf8(svg)
        markup.check_prolog(svg)
        return drawing.check(svg, drawing.Caps.of(size), drawn=drawn)
    except ValueError as error:
        raise BrokenImage(str(error)) from None
    except LookupError as error:
        if type(error) is not LookupError:
            raise
        # Of an SVG inside this one: expat asks Python for encodings.
        raise BrokenImage(f"an embedded SVG in an encoding that is not read here: {error}") from None


def sanitize(svg: bytes) -> bytes:
    """The same picture in UTF-8 with nothing in it that runs or loads. Raises BrokenImage if it is no SVG."""
    try:
        root = markup.read(svg)
        for element in list(root.iter()):
            _prepare(element)
        root.tail = None
        text = ET.tostring(root, encoding="utf-8")
        root = markup.read(filter_svg(text, keep_data_url_mime_types={"image": list(_IMAGES)}))
    except ValueError as error:
        raise BrokenImage(str(error)) from None
    for element in root.iter():
        _finish(element)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _prepare(element: ET.Element) -> None:
    """Help an element through svg-hush: nothing here makes it safe."""
    attributes = {name: value for name, value in element.attrib.items() if not name.startswith(_STOWED)}
    for name, stowed in _STOWAWAYS.items():
        if name in attributes:
            attributes[stowed] = attributes.pop(name)
    if element.tag in _LINKING:
        attributes[_LINK] = attributes.get("href") or attributes.get(_XLINK_HREF, "")
    if element.tag in _ANIMATING and attributes.get("attributeName") in {"fill", "stroke"}:
        attributes[_ANIMATED] = attributes.pop("attributeName")
    element.attrib.clear()
    element.attrib.update(attributes)
    if element.tag == f"{_SVG}style":  # of an @import svg-hush leaves half, which would spoil the next rule
        element.text = _LOADING_RULE.sub(" ", element.text or "")
    # ElementTree would write an element of no namespace as if it were one of SVG.
    element[:] = [child for child in element if child.tag.startswith(_SVG)]
    if len(element):
        element.text = _FILLER + (element.text or "")
    element.tail = _FILLER + (element.tail or "")


def _finish(element: ET.Element) -> None:
    """Take out what svg-hush leaves. It comes last, so that nothing taken out later joins what was apart."""
    element.text = (element.text or "").replace(_FILLER, "")
    element.tail = (element.tail or "").replace(_FILLER, "")
    if element.tag == f"{_SVG}style":
        element.text = _tamed(element.text)
    attributes = {_UNSTOWED.get(name, name): _tamed(value) for name, value in element.attrib.items()}
    if not _LOCAL_ADDRESS.match(attributes.get("href", "")):
        attributes.pop("href", None)
    element.attrib.clear()
    element.attrib.update(attributes)


def _tamed(value: str) -> str:
    """An attribute's value or a style sheet, with nothing in it that loads from elsewhere."""
    value = value.replace(_FILLER, "")
    if "(" not in value and "@" not in value:
        return value
    # An escape could spell any of the words; a blank in place of what is taken out keeps its neighbours apart.
    value = _LOADING_RULE.sub(" ", value.replace("\\", " "))
    return _LOADING_FUNCTION.sub("none", _FOREIGN_URL.sub("url(#)", value))
