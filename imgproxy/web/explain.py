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
from imgproxy.web.advice import NO_ADVICE, Advice

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
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem }
code, pre, .path { font: 14px/1.6 monospace; overflow-wrap: anywhere; white-space: pre-wrap }
mark { background: #fdd; color: #900; text-decoration: underline wavy; text-underline-offset: .2em }
.path { background: #8882; border-radius: 4px; padding: 1rem; display: block }
.good { border-left: 4px solid #2a7d2a }
small { opacity: .7 }
"""


@dataclass(frozen=True, slots=True)
class Complaint:
    """A request that failed: what there is to tell about it."""

    error: ImageError
    target: str
    accept: str
    request_id: str
    advice: Advice = NO_ADVICE
    """For development mode."""

    @property
    def cause(self) -> str:
        """Why it failed, in a sentence, as development mode tells it."""
        return self.advice.diagnosis.cause or _told(self.error)

    @property
    def question(self) -> str:
        """What was meant, if that is likely and not part of the cause."""
        meant = self.advice.diagnosis.meant
        asked = "did you mean" in self.cause and len(meant) == 1
        return f"Did you mean {', '.join(meant)}?" if meant and not asked else ""


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
        members |= {"detail": complaint.cause, "remedy": error.remedy}
        diagnosis, link = complaint.advice.diagnosis, complaint.advice.link
        members |= {"corrected": link} if link else {"corrected_path": diagnosis.path} if diagnosis.path else {}
    return json.dumps(members).encode()


def _text(complaint: Complaint) -> str:
    error, advice = complaint.error, complaint.advice
    rows = [f"{error.status} {error.text}", ""]
    rows += filter(None, (complaint.cause, complaint.question, error.remedy))
    if advice.link:
        rows += ["", f"Corrected: {advice.link}"]
    elif advice.diagnosis.path:
        rows += ["", f"Sign this: {advice.diagnosis.path}"]
    rows += ["", f"{error.code}: {anchor(error)}", f"Request {complaint.request_id}", ""]
    return "\n".join(rows)


def _page(complaint: Complaint) -> str:
    error, advice = complaint.error, complaint.advice
    trace = _trace(error) if isinstance(error, InternalError) else ""
    parts = [
        f"<h1>{error.status} {escape(error.text)}</h1>",
        f"<p><strong>{escape(complaint.cause)}</strong></p>",
        f'<code class="path">{_underlined(complaint.target, advice.diagnosis.fault)}</code>',
        f"<p>{escape(complaint.question)}</p>" if complaint.question else "",
        _corrected(advice),
        f"<p>{escape(error.remedy)}</p>" if error.remedy else "",
        f"<p><small>See {escape(anchor(error))} &middot; request {complaint.request_id}</small></p>",
        f"<details><summary>Traceback</summary><pre>{escape(trace)}</pre></details>" if trace else "",
    ]
    body = "\n".join(filter(None, parts))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{error.status} {escape(error.text)}</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>
{body}
</html>
"""


def _corrected(advice: Advice) -> str:
    if advice.link:
        shown = escape(advice.link)
        return f'<p>Corrected:</p>\n<a class="path good" href="{shown}">{shown}</a>'
    if path := advice.diagnosis.path:
        return f'<p>Sign this path instead:</p>\n<code class="path good">{escape(path)}</code>'
    return ""


def _underlined(target: str, fault: tuple[int, int]) -> str:
    """The request path as HTML, with the faulty part marked."""
    begin, end = fault
    if begin == end:
        return escape(target)
    return f"{escape(target[:begin])}<mark>{escape(target[begin:end])}</mark>{escape(target[end:])}"


def _picture(complaint: Complaint) -> str:
    """An SVG with the reason, so that a broken ``<img>`` explains itself."""
    error = complaint.error
    rows = [f"{error.status} {error.text}"]
    for paragraph in (complaint.cause, complaint.question, error.remedy, f"Request {complaint.request_id}"):
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
