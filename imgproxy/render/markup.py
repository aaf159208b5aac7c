"""Reading XML from strangers: no external entities, no entity that multiplies, bounded depth and size.

Used for what an image says in XML: an SVG, and the XMP packet of the others. Every refusal is a ValueError.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET  # expat: entities are looked at in ``check_prolog``
from xml.parsers import expat

if TYPE_CHECKING:
    from typing import NoReturn

_MAX_BYTES = 10_000_000
"""librsvg refuses more."""
_MAX_ELEMENTS = 1_000_000
"""librsvg refuses more."""
_MAX_DEPTH = 200
"""Drawing programs nest a few dozen; ElementTree writes recursively, and Python stops at 1000."""
_MAX_ENTITY = 200
_MAX_ENTITIES = 50
"""Illustrator declares eight."""

EIGHT_BIT = frozenset(
    (
        *("ascii", "utf-8", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "cp437", "cp850", "cp852", "cp866"),
        *(f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))),
        *(f"cp125{page}" for page in range(9)),
    )
)
"""Python's names of the encodings that ``in_utf8`` reads. ASCII is as it is in all of them."""
_SIXTEEN_BIT = frozenset({"utf-16", "utf-16-be", "utf-16-le"})
"""What is read besides."""
_DECLARED = re.compile(rb"""(\xef\xbb\xbf)?(<\?xml\s[^?>]*?\sencoding\s*=\s*)(["'])([A-Za-z][A-Za-z0-9._-]{0,40})\3""")


def in_utf8(text: bytes) -> bytes:
    """The document in UTF-8 if it says that it is in an 8-bit encoding; else as it is.

    librsvg's parser knows few of them, and expat asks Python: here both read the same. Raises ``ValueError`` for
    encodings that are not read here, and for bytes that are none of the encoding's.
    """
    match = _DECLARED.match(text)
    if match is None or match[4].lower() == b"utf-8":
        return text
    mark, start, _, name = match.groups()
    codec = "utf-8" if mark else _codec(name.decode())  # a byte order mark is never wrong
    if codec in _SIXTEEN_BIT:
        return text
    return start + b'"UTF-8"' + text[match.end() :].decode(codec).encode()


def _codec(name: str) -> str:
    """Python's name of an encoding. Raises ``ValueError`` for others than those that are read here."""
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        codec = ""
    if codec in EIGHT_BIT | _SIXTEEN_BIT:
        return codec
    raise ValueError(f"XML in the encoding {name[:40]!r}, which is not read here")


def check_prolog(text: bytes) -> None:
    """Refuse what is too long, is no XML up to its first element, or declares dangerous entities.

    The one harmless kind is an abbreviation of plain characters, which old Adobe Illustrator files are full of
    (``<!ENTITY ns_svg "http://www.w3.org/2000/svg">``): it refers to nothing, so it cannot multiply.
    """
    if len(text) > _MAX_BYTES:
        raise ValueError(f"{len(text)} bytes of XML, the limit is {_MAX_BYTES}")
    parser = expat.ParserCreate()
    parser.XmlDeclHandler = _declared
    parser.EntityDeclHandler = _Entities().declared
    parser.StartElementHandler = _stop
    try:
        parser.Parse(text, True)
    except _Seen:
        return
    except expat.ExpatError as error:
        raise ValueError(f"not XML: {error}") from None
    raise ValueError("XML without an element")


def read(text: bytes) -> ET.Element:
    """The root of a document whose prolog ``check_prolog`` accepts. Comments and processing instructions are gone."""
    text = in_utf8(text)
    check_prolog(text)
    parser = ET.XMLParser(target=_Builder())  # noqa: S314 - that is what this module is about
    try:
        parser.feed(text)
        root: ET.Element = parser.close()
    except ET.ParseError as error:
        raise ValueError(f"not XML: {error}") from None
    return root


class _Builder(ET.TreeBuilder):
    """A tree that stops growing in time."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._count = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self._depth += 1
        self._count += 1
        if self._depth > _MAX_DEPTH or self._count > _MAX_ELEMENTS:
            raise ValueError("XML with too many elements, or nested too deep")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._depth -= 1
        return super().end(tag)


class _Seen(Exception):
    pass


def _declared(_: str, encoding: str | None, __: int) -> None:
    """Refuse what ``in_utf8`` has not seen, before expat asks Python for it."""
    if encoding is not None and _codec(encoding) not in _SIXTEEN_BIT | {"utf-8"}:
        raise ValueError(f"XML in UTF-16 that declares the encoding {encoding[:40]!r}")


def _stop(*_: object) -> NoReturn:
    raise _Seen


class _Entities:
    """Counts the entities of a document."""

    def __init__(self) -> None:
        self._count = 0

    def declared(self, name: str, is_parameter: bool, value: str | None, *_: object) -> None:
        self._count += 1
        plain = value is not None and len(value) <= _MAX_ENTITY and {"&", "%", "<"}.isdisjoint(value)
        if is_parameter or not plain or self._count > _MAX_ENTITIES:
            raise ValueError(f"XML that declares the entity {name[:40]!r}")
