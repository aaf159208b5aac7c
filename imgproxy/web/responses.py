"""From a reply or an error to status, headers and body: all that the outside sees of an answer."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from imgproxy.clock import unix_seconds
from imgproxy.fields import is_field_value
from imgproxy.formats import JSON
from imgproxy.model import Caching, Plan, Validators
from imgproxy.web.advice import NO_ADVICE, Advice
from imgproxy.web.caching import CacheHeaders
from imgproxy.web.disposition import content_disposition, source_name
from imgproxy.web.explain import Complaint, explain
from imgproxy.web.ranges import part

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from imgproxy.errors import ImageError
    from imgproxy.freshness import FreshnessSettings
    from imgproxy.journey import Journey
    from imgproxy.model import Conditions, RawReply, Reply, Unchanged
    from imgproxy.web.settings import WebSettings

_REQUEST_ID = b"x-request-id"
_MOST_DRESSED = 1024

METHODS = "GET, HEAD, OPTIONS"

# imgproxy's policy, byte for byte: an SVG opened as a page runs nothing and loads nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

_RAW_HEADERS = frozenset(
    {
        "content-type",
        "content-encoding",
        "content-range",
        "content-length",
        "accept-ranges",
        "last-modified",
        "etag",
    }
)
_EXPOSED = (
    "Age, Cache-Status, Content-Disposition, Content-Length, Content-Range, ETag, Server-Timing, X-Request-ID, "
    "X-Origin-Content-Length, X-Origin-Width, X-Origin-Height, X-Result-Width, X-Result-Height"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out. A body that is a generator is closed by whoever sends it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | AsyncGenerator[bytes, None] = b""


_Dressed = tuple[Plan, tuple[object, ...], list[tuple[bytes, bytes]]]


class Responses:
    """Builds answers. ``vary``: the request headers that planning was told to look at."""

    def __init__(
        self,
        settings: WebSettings,
        freshness: FreshnessSettings,
        vary: tuple[str, ...] = (),
        *,
        behind_edge: bool = False,
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        self._settings = settings
        self._dressed: OrderedDict[int, _Dressed] = OrderedDict()
        self._caches = CacheHeaders(freshness, now, behind_edge=behind_edge)
        self._vary = _vary(vary)
        # JSON is asked for by the URL alone, and sent to all alike.
        self._document_vary = _vary(tuple(each for each in vary if each != "Accept"))
        # The form of an error depends on Accept, whatever planning looks at.
        self._error_vary = _vary(tuple(dict.fromkeys((*vary, "Accept"))))
        self._base = _encode(
            [
                ("Server", settings.server_name),
                ("Content-Security-Policy", POLICY),
                ("X-Content-Type-Options", "nosniff"),
                # Images are there to be embedded: without this, pages under COEP cannot show them.
                ("Cross-Origin-Resource-Policy", "cross-origin"),
                *_cors(settings.allow_origin),
            ]
        )

    def reply(self, reply: Reply, journey: Journey, conditions: Conditions) -> Answer:
        """The image, or the part of it that ``conditions`` ask for."""
        rendition, settings = reply.rendition, self._settings
        status = (settings.fallback_image_http_code or reply.fallback_for) if reply.fallback_for else 200
        if status != 200:
            return self._image(reply, journey, status, rendition.body, [])
        size, ranges = len(rendition.body), [("Accept-Ranges", "bytes")]
        wanted = part(conditions, size, self._sendable(reply.validators)) if conditions.range is not None else None
        if wanted is None:
            return self._whole(reply, journey)
        if not wanted:
            ranges += [("Content-Range", f"bytes */{size}"), ("Content-Length", "0")]
            return self._answer(416, ranges, b"", journey, self._vary_of(reply.plan))
        ranges.append(("Content-Range", f"bytes {wanted[0]}-{wanted[-1]}/{size}"))
        return self._image(reply, journey, 206, rendition.body[wanted.start : wanted.stop], ranges)

    def _whole(self, reply: Reply, journey: Journey) -> Answer:
        """The whole image. Of a popular one, the headers of the same second are the same but for one."""
        plan, facts = reply.plan, None if journey.stages else _facts(reply)
        # The plan as an object: the same URL has the same one.
        kept = self._dressed.get(id(plan))
        if facts is None or kept is None or kept[0] is not plan or kept[1] != facts:
            answer = self._image(reply, journey, 200, reply.rendition.body, [("Accept-Ranges", "bytes")])
            if facts is not None:
                self._dressed[id(plan)] = plan, facts, [each for each in answer.headers if each[0] != _REQUEST_ID]
                if len(self._dressed) > _MOST_DRESSED:
                    self._dressed.popitem(last=False)
            return answer
        return Answer(200, [*kept[2], (_REQUEST_ID, journey.request_id.encode("ascii"))], reply.rendition.body)

    def _image(self, reply: Reply, journey: Journey, status: int, body: bytes, ranges: list[tuple[str, str]]) -> Answer:
        rendition = reply.rendition
        headers = [
            ("Content-Type", rendition.format.media_type),
            ("Content-Length", str(len(body))),
            ("Content-Disposition", _disposition(reply.plan, rendition.format.extension)),
            *ranges,
            *self._validators(reply.validators),
            *self._caches.image(reply),
        ]
        headers += self._canonical(reply.plan)
        if self._settings.enable_debug_headers:
            headers += [
                ("X-Origin-Content-Length", str(reply.source_bytes)),
                ("X-Origin-Width", str(rendition.source_width)),
                ("X-Origin-Height", str(rendition.source_height)),
                ("X-Result-Width", str(rendition.width)),
                ("X-Result-Height", str(rendition.height)),
            ]
        return self._answer(status, headers, body, journey, self._vary_of(reply.plan))

    def unchanged(self, unchanged: Unchanged, journey: Journey) -> Answer:
        # RFC 9110 §15.4.5: the headers that a 200 would have had and that tell caches something.
        headers = [
            *self._validators(unchanged.validators),
            *self._caches.image(unchanged),
            *self._canonical(unchanged.plan),
        ]
        return self._answer(304, headers, b"", journey, self._vary_of(unchanged.plan))

    def raw(self, raw: RawReply, journey: Journey) -> Answer:
        known = {name.lower(): value for name, value in raw.headers}
        # A value that is not a field value (a raw UTF-8 ETag, say) is left out: uvicorn refuses some,
        # and proxies disagree about the rest.
        headers = [
            (name, value) for name, value in raw.headers if name.lower() in _RAW_HEADERS and is_field_value(value)
        ]
        _, extension = source_name(raw.plan.source.url)
        headers.append(("Content-Disposition", _disposition(raw.plan, extension)))
        caching = Caching(known.get("cache-control"), known.get("expires"), known.get("age"), known.get("date"))
        headers += self._caches.raw(raw.plan, raw.status, caching)
        headers += self._canonical(raw.plan)
        return self._answer(raw.status, headers, raw.body, journey)

    def error(
        self, error: ImageError, journey: Journey, target: str = "", accept: str = "", advice: Advice = NO_ADVICE
    ) -> Answer:
        """An error's answer. No Cache-Control, as imgproxy since 4.0.6.

        A cache may then keep none of it without a rule of its own (RFC 9111 §4.2.2: no validator,
        nothing to guess from), and an origin's short outage does not stay.
        """
        development = self._settings.development_errors_mode
        complaint = Complaint(error, target, accept, journey.request_id, advice)
        media_type, body = explain(complaint, development=development)
        headers = [("Content-Type", media_type), ("Content-Length", str(len(body)))]
        if error.retry_after is not None:
            headers.append(("Retry-After", str(error.retry_after)))
        if error.status == 405:
            headers.append(("Allow", METHODS))
        return self._answer(error.status, headers, body, journey, self._error_vary)

    def preflight(self, journey: Journey) -> Answer:
        """The answer to OPTIONS."""
        headers = [("Allow", METHODS), ("Content-Length", "0")]
        if self._settings.allow_origin:
            headers += [
                ("Access-Control-Allow-Headers", "Authorization, Range, X-Request-ID"),
                ("Access-Control-Max-Age", "86400"),
            ]
        return self._answer(200, headers, b"", journey)

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes | AsyncGenerator[bytes, None],
        journey: Journey,
        vary: list[tuple[bytes, bytes]] | None = None,
    ) -> Answer:
        headers.append(("X-Request-ID", journey.request_id))
        settings = self._settings
        if journey.stages and (settings.enable_debug_headers or settings.development_errors_mode):
            stages = (f"{name};dur={1000 * spent:.1f}" for name, spent in journey.stages.items())
            headers.append(("Server-Timing", ", ".join(stages)))
        return Answer(status, [*self._base, *(self._vary if vary is None else vary), *_encode(headers)], body)

    def _vary_of(self, plan: Plan) -> list[tuple[bytes, bytes]]:
        return self._document_vary if plan.formats.requested is JSON else self._vary

    def _sendable(self, validators: Validators) -> Validators:
        etag, date = validators.etag, validators.last_modified
        return Validators(
            etag if self._settings.use_etag and etag and is_field_value(etag) else None,
            date if self._settings.use_last_modified and date and is_field_value(date) else None,
        )

    def _validators(self, validators: Validators) -> list[tuple[str, str]]:
        sent = self._sendable(validators)
        return [(name, value) for name, value in (("ETag", sent.etag), ("Last-Modified", sent.last_modified)) if value]

    def _canonical(self, plan: Plan) -> list[tuple[str, str]]:
        if not self._settings.set_canonical_header:
            return []
        try:
            parts = urlsplit(plan.source.url)
        except ValueError:
            return []
        if parts.scheme not in ("http", "https"):
            return []
        # A password in the source URL is for the origin, not for the public.
        public = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        reference = quote(public, safe="!#$%&'()*+,/:;=?@[]~")
        return [("Link", f'<{reference}>; rel="canonical"')]


def _facts(reply: Reply) -> tuple[object, ...] | None:
    """What the headers of a whole image follow from, its plan aside; None if they change by the moment."""
    found, rendition = reply.found, reply.rendition
    if not found.tier or found.forwarded or reply.plan.delivery.expires or reply.caching.expires:
        return None
    return (
        found.tier,
        int(found.age),
        math.floor(found.ttl),
        found.generation,
        found.degraded,
        len(rendition.body),
        rendition.format,
        rendition.width,
        rendition.height,
        rendition.source_width,
        rendition.source_height,
        reply.source_bytes,
        reply.validators,
        reply.caching,
        reply.lifetime,
        reply.tags,
    )


def _disposition(plan: Plan, extension: str) -> str:
    delivery = plan.delivery
    stem = delivery.filename or source_name(plan.source.url)[0]
    return content_disposition(stem, extension, attachment=delivery.attachment)


def _cors(origin: str) -> list[tuple[str, str]]:
    if not origin:
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", "GET, OPTIONS"),
        ("Access-Control-Expose-Headers", _EXPOSED),
        ("Timing-Allow-Origin", origin),
    ]


def _vary(names: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    return _encode([("Vary", ", ".join(names))] if names else [])


def _encode(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers]
