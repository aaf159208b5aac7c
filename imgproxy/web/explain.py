"""What an error says: a sentence in production, the whole story in development mode."""

from __future__ import annotations

import json
import re
import textwrap
import traceback
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from imgproxy.errors import InternalError
from imgproxy.negotiation import accepts
from imgproxy.web.accepting import wants_image, wants_page, wants_problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from imgproxy.errors import ImageError

TEXT = "text/plain; charset=utf-8"
PROBLEM = "application/problem+json"
PAGE = "text/html; charset=utf-8"
PICTURE = "image/svg+xml"

_URL = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"]+")
_USER = re.compile(r"://[^/@]*@")

# The policy of every answer (default-src 'none'; style-src 'unsafe-inline') lets this style through.
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem }
code, pre { font: 14px/1.5 monospace; overflow-wrap: anywhere; white-space: pre-wrap }
mark { background: #fdd; color: #a00; text-decoration: underline wavy }
.path { background: #f4f4f4; padding: 1rem; display: block }
small { color: #666 }
"""


@dataclass(frozen=True, slots=True)
class Complaint:
    """A request that failed: what there is to tell about it."""

    error: ImageError
    target: str
    accept: str
    request_id: str


def explain(complaint: Complaint, *, development: bool) -> tuple[str, bytes]:
    """The media type and body of an error answer."""
    ranges = accepts(complaint.accept)
    if wants_problem(ranges):
        return PROBLEM, _problem(complaint, development=development)
    if not development:
        # Nothing else, ever: reasons name hosts, paths and limits.
        return TEXT, complaint.error.text.encode()
    if wants_page(ranges):
        return PAGE, _page(complaint).encode()
    if wants_image(ranges):
        return PICTURE, _picture(complaint).encode()
    return TEXT, _text(complaint).encode()


def reason(error: ImageError) -> str:
    """The private reason, or the public text where an error has no more to say."""
    return str(error) or error.text


def _told(error: ImageError) -> str:
    """The reason as development mode tells it: our own mistakes by their kind only.

    Nobody has thought about what else is in the text of such an exception: a path of this server, an address, a key.
    The log has it, under the request's id.
    """
    if isinstance(error, InternalError):
        return " < ".join(_kinds(error))
    # The URL may be a configured one: of the watermark, of a redirect.
    return _URL.sub(lambda url: _USER.sub("://", url[0].partition("?")[0]), reason(error))


def _kinds(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield type(error).__name__
        error = error.__cause__


def _trace(error: BaseException) -> str:
    """Where it happened, innermost last: functions and lines, without the paths and the text of the exceptions."""
    lines: list[str] = []
    each: BaseException | None = error
    while each is not None:
        frames = list(traceback.walk_tb(each.__traceback__))
        lines[:0] = [type(each).__name__, *(f"  {_place(frame)}:{line}" for frame, line in frames)]
        each = each.__cause__
    return "\n".join(lines)


def _place(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"


def anchor(error: ImageError) -> str:
    return f"docs/errors.md#{error.code}"


def _problem(complaint: Complaint, *, development: bool) -> bytes:
    """RFC 9457; ``type`` is an identifier, not an address, as its §3.1.1 allows."""
    error = complaint.error
    members: dict[str, str | int] = {
        "type": f"urn:imgproxy:error:{error.code}",
        "title": error.text,
        "status": error.status,
        "code": error.code,
        "request_id": complaint.request_id,
    }
    if development:
        members |= {"detail": _told(error), "remedy": error.remedy}
    return json.dumps(members).encode()


def _text(complaint: Complaint) -> str:
    error = complaint.error
    rows = [f"{error.status} {error.text}", "", _told(error)]
    if error.remedy:
        rows.append(error.remedy)
    rows += ["", f"{error.code}: {anchor(error)}", f"Request {complaint.request_id}", ""]
    return "\n".join(rows)


def _page(complaint: Complaint) -> str:
    error = complaint.error
    remedy = f"<p>{escape(error.remedy)}</p>" if error.remedy else ""
    trace = _trace(error) if isinstance(error, InternalError) else ""
    folded = f"<details><summary>Traceback</summary><pre>{escape(trace)}</pre></details>"
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{error.status} {escape(error.text)}</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>
<h1>{error.status} {escape(error.text)}</h1>
<p><strong>{escape(_told(error))}</strong></p>
<code class="path">{_underlined(complaint.target, _told(error))}</code>
{remedy}
<p><small>See {escape(anchor(error))} &middot; request {complaint.request_id}</small></p>
{folded if trace else ""}
</html>
"""


def _underlined(target: str, cause: str) -> str:
    """The request path as HTML, with the part marked that the reason quotes."""
    quotes = [first or second for first, second in re.findall(r"'([^']+)'|\"([^\"]+)\"", cause)]
    for part in sorted(quotes, key=len, reverse=True):
        if part in target:
            before, _, after = target.partition(part)
            return f"{escape(before)}<mark>{escape(part)}</mark>{escape(after)}"
    return escape(target)


def _picture(complaint: Complaint) -> str:
    """An SVG with the reason, so that a broken ``<img>`` explains itself."""
    error = complaint.error
    rows = [f"{error.status} {error.text}"]
    for paragraph in (_told(error), error.remedy, f"Request {complaint.request_id}"):
        rows += textwrap.wrap(paragraph, 68)
    # XML has no way to write control characters, not even escaped (XML 1.0 §2.2).
    lines = "".join(f'<tspan x="16" dy="22">{escape(_writable(row))}</tspan>' for row in rows)
    height = 32 + 22 * len(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{height}" '
        f'viewBox="0 0 640 {height}"><rect width="100%" height="100%" fill="#b00020"/>'
        f'<text y="12" font-family="monospace" font-size="15" fill="#fff">{lines}</text></svg>'
    )


def _writable(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
