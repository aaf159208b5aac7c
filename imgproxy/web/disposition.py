"""Content-Disposition: under which name a browser saves the image (RFC 6266)."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote, urlsplit

_MAX_STEM = 150  # file systems stop at 255 bytes for a whole name

# RFC 6266 Appendix D: no backslash, no "%" (some browsers decode it), no more than ASCII.
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._()+,=@~-]")
# What ends a path, a drive or a quotation on some system; harmful in a name however it is escaped.
_SEPARATORS = re.compile(r'[/\\:*?"<>|]')


def content_disposition(stem: str, extension: str, *, attachment: bool) -> str:
    """The header's value; ``extension`` with its dot, or empty. Both may be any text: a raw source's is its URL's."""
    ending = clean(extension)
    name = (clean(stem) or "image") + (f".{ending}" if ending else "")
    plain = _UNSAFE.sub("_", name)
    value = f'{"attachment" if attachment else "inline"}; filename="{plain}"'
    if plain != name:
        # RFC 8187 §3.2.1: only attr-char may stay as it is, and quote() keeps a subset of it.
        value += f"; filename*=UTF-8''{quote(name, safe='')}"
    return value


def clean(stem: str) -> str:
    """``stem`` without separators, controls, bidi marks, and dots or spaces around it."""
    kept = "".join(
        # C*: control, format (bidi marks), surrogate, private, unassigned; Zl, Zp: line breaks.
        char
        for char in stem
        if (category := unicodedata.category(char))[0] != "C" and category not in ("Zl", "Zp")
    )
    return _SEPARATORS.sub("_", kept).strip(" .")[:_MAX_STEM].rstrip(" .")


def source_name(url: str) -> tuple[str, str]:
    """Stem and extension (with its dot) of the last segment of a source URL's path."""
    try:
        path = urlsplit(url).path
    except ValueError:  # an odd host, such as an unclosed IPv6 bracket
        return "", ""
    segment = unquote(path.rpartition("/")[2])
    # As Go's filepath.Ext: from the last dot on, even where it is the first character.
    stem, dot, extension = segment.rpartition(".")
    return (stem, dot + extension) if dot else (segment, "")
