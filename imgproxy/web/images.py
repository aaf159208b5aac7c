"""The image endpoint: a request in, one call of the service, an answer out, one line in the log.

A plain ASGI callable. While the service works, the connection is watched: a client that goes away
takes its work with it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from imgproxy.errors import (
    BadSecret,
    Draining,
    ImageError,
    InternalError,
    InvalidUrl,
    MethodNotAllowed,
    RenderTimeout,
    SourceLoop,
)
from imgproxy.model import Deadline, RawReply, Reply, Unchanged
from imgproxy.overload.buckets import address_of, client_of
from imgproxy.web.exchange import Exchange
from imgproxy.web.explain import reason
from imgproxy.web.responses import Responses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from imgproxy.freshness import FreshnessSettings
    from imgproxy.journey import Journey
    from imgproxy.metrics import Metrics
    from imgproxy.model import Client, Conditions, Found
    from imgproxy.overload.buckets import Network
    from imgproxy.service import Pending
    from imgproxy.web.advice import Advising
    from imgproxy.web.responses import Answer
    from imgproxy.web.settings import WebSettings

_log = logging.getLogger("imgproxy.request")

MAX_TARGET_BYTES = 32 * 1024
"""Longest request target that is looked at; CDNs stop at 8 to 32 KiB."""

CLIENT_GONE = 499
"""nginx's status for a client that did not wait; only in the log and the metrics."""

_URL = re.compile(r"([A-Za-z][\w+.-]*)://(?:[^/\s'\"]*@)?([^/\s?#'\"]*)[^\s'\"]*")

# The rooms below hold the deadline themselves and end with a better error; this is for those that do not.
_GRACE_S = 0.1


class Serving(Protocol):
    """The service, as the web sees it."""

    def begin(
        self,
        target: str,
        client: Client,
        conditions: Conditions,
        deadline: Deadline,
        journey: Journey,
        *,
        crowded: bool = False,
    ) -> Reply | Unchanged | Pending:
        """The answer if it is at hand. ``crowded``: there are too many requests already, nothing else may begin."""
        ...

    async def finish(
        self, pending: Pending, conditions: Conditions, deadline: Deadline, journey: Journey
    ) -> Reply | Unchanged | RawReply:
        """The answer that has to be waited for."""
        ...


class Images:
    """Answers GET, HEAD and OPTIONS on every path that is an image's.

    ``negotiate`` reads the client's abilities from the headers (lower-case names), and ``vary`` names
    the headers that it looks at. ``behind_edge``: whether our own nginx stands before it. ``trusted``: the proxies
    whose X-Forwarded-For is believed. ``is_loop`` says of a CDN-Loop header that the request came from ourselves.
    ``advising`` looks into URLs that failed, in development mode. ``used`` hears which presets a request names, and
    how many seconds its rendering took.
    """

    def __init__(
        self,
        service: Serving,
        settings: WebSettings,
        freshness: FreshnessSettings,
        metrics: Metrics,
        negotiate: Callable[[Mapping[str, str]], Client],
        vary: tuple[str, ...] = (),
        *,
        behind_edge: bool = False,
        trusted: tuple[Network, ...] = (),
        is_loop: Callable[[str], bool] = lambda _: False,
        advising: Advising | None = None,
        used: Callable[[tuple[str, ...], float], object] = lambda _names, _seconds: None,
    ) -> None:
        self._service = service
        self._settings = settings
        self._metrics = metrics
        self._negotiate = negotiate
        self._responses = Responses(settings, freshness, vary, behind_edge=behind_edge)
        self._secret = settings.secret.get_secret_value().encode()
        self._trusted = trusted
        self._is_loop = is_loop
        self._used = used
        # For development mode only: what it says, no production may say.
        self._advising = advising if settings.development_errors_mode else None
        self._active = 0

    def at_once(self, exchange: Exchange) -> Answer | None:
        """The answer, if nothing has to be waited for. Else None, and what is left goes through ``__call__``.

        Most requests end here, without a task: what memory has, and what is refused.
        """
        try:
            answer = self._begin(exchange)
        except Exception as cause:  # noqa: BLE001  the outermost border
            answer = self._failure(exchange, cause)
        if answer is None:
            self._active += 1
        return answer

    def account(self, exchange: Exchange) -> None:
        """Count a request that is over, and log it."""
        seconds = time.monotonic() - exchange.start
        journey, error = exchange.journey, exchange.error
        self._metrics.answered(exchange.status, seconds, journey.stages)
        self._metrics.moved(journey.source_bytes, exchange.body_bytes, exchange.format)
        if journey.plan is not None and journey.plan.delivery.presets:
            self._used(journey.plan.delivery.presets, journey.stages.get("processing", 0.0))
        if error is not None:
            self._metrics.failed(error.kind)
        level = logging.INFO
        if error is not None:
            level = logging.ERROR if error.status >= 500 else logging.WARNING
        if _log.isEnabledFor(level):
            # A traceback, with its causes, for our own mistakes only: the others are explained by their reason.
            trace = error if isinstance(error, InternalError) else None
            _log.log(level, "request", extra={"fields": _fields(exchange, seconds, self._trusted)}, exc_info=trace)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        answer = self.at_once(exchange) if exchange.pending is None else None
        try:
            if answer is not None:
                await exchange.send(answer, send)
            else:
                await self._attend(exchange, receive, send)
        finally:
            self.account(exchange)

    async def _attend(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Wait for the answer and send it."""
        try:
            with self._metrics.request():
                await self._watched(exchange, receive, send)
        except asyncio.CancelledError:
            # The server gave up waiting for us at a stop. A client that has nothing yet gets a word.
            exchange.error = Draining("the server stopped before the image was ready")
            if not exchange.started:
                await exchange.send(self._responses.error(exchange.error, exchange.journey), send)
            raise
        finally:
            self._active -= 1

    async def _watched(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Respond; if the client goes away first, stop the work."""
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(_until_gone(receive))
                await exchange.send(await self._finish(exchange), send)
                watcher.cancel()
        except* _ClientGoneError:
            if not exchange.finished:
                exchange.status = CLIENT_GONE

    def _begin(self, exchange: Exchange) -> Answer | None:
        if exchange.method == "OPTIONS":
            return self._responses.preflight(exchange.journey)
        self._admit(exchange)
        exchange.deadline = deadline = Deadline.after(self._settings.timeout)
        journey = exchange.journey
        journey.client = client_of(exchange.peer, exchange.headers.get("x-forwarded-for", ""), self._trusted)
        # What is remembered costs next to nothing: a crowd that asks for it is no reason to refuse it.
        crowded = 0 < self._settings.max_clients <= self._active
        client, conditions = self._negotiate(exchange.headers), exchange.conditions_for_origin
        try:
            begun = self._service.begin(exchange.target, client, conditions, deadline, journey, crowded=crowded)
        except UnicodeError as cause:
            if exchange.target.isascii():
                raise
            raise InvalidUrl("the URL holds bytes that are not UTF-8") from cause
        if isinstance(begun, Reply | Unchanged):
            return self._answer(exchange, begun)
        exchange.pending = begun
        return None

    async def _finish(self, exchange: Exchange) -> Answer:
        pending, deadline = exchange.pending, exchange.deadline
        assert pending is not None  # noqa: S101 - else it was answered at once
        try:
            async with asyncio.timeout(deadline.remaining + _GRACE_S):
                outcome = await self._service.finish(
                    pending, exchange.conditions_for_origin, deadline, exchange.journey
                )
            return self._answer(exchange, outcome)
        except TimeoutError:
            return self._failure(exchange, RenderTimeout(f"no answer after {self._settings.timeout:g} s"))
        except Exception as cause:  # noqa: BLE001  the outermost border
            return self._failure(exchange, cause)

    def _answer(self, exchange: Exchange, outcome: Reply | Unchanged | RawReply) -> Answer:
        journey = exchange.journey
        if isinstance(outcome, Reply):
            exchange.format = outcome.rendition.format.name
            return self._responses.reply(outcome, journey, exchange.conditions)
        if isinstance(outcome, RawReply):
            exchange.format = "raw"
            return self._responses.raw(outcome, journey)
        return self._responses.unchanged(outcome, journey)

    def _admit(self, exchange: Exchange) -> None:
        """Refuse what needs no service to be refused."""
        if exchange.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{exchange.method} is not allowed here")
        given = exchange.headers.get("authorization", "").encode("latin-1")
        if self._secret and not hmac.compare_digest(given, b"Bearer " + self._secret):
            raise BadSecret("the Authorization header is missing or wrong")
        if len(exchange.target) > MAX_TARGET_BYTES:
            raise InvalidUrl(f"the URL has {len(exchange.target)} bytes, the limit is {MAX_TARGET_BYTES}")
        if (passed := exchange.headers.get("cdn-loop")) is not None and self._is_loop(passed):
            raise SourceLoop("the request has been here before, says its CDN-Loop header")

    def _failure(self, exchange: Exchange, cause: Exception) -> Answer:
        error = cause
        if not isinstance(error, ImageError):  # whatever it is, it is ours
            error = InternalError(repr(cause))
            error.__cause__ = cause
        exchange.error = error
        accept = exchange.headers.get("accept", "")
        if self._advising is None:
            return self._responses.error(error, exchange.journey, exchange.target, accept)
        advice = self._advising.on(exchange.target, error, exchange.peer, exchange.headers)
        return self._responses.error(error, exchange.journey, exchange.target, accept, advice)


class _ClientGoneError(Exception):
    """The client closed the connection before the answer was complete."""


async def _until_gone(receive: Receive) -> None:
    """Wait for the disconnect; bodies, which no request here needs, are dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _ClientGoneError


def _fields(exchange: Exchange, seconds: float, trusted: tuple[Network, ...]) -> dict[str, object]:
    """The log line: never a signature, a source's path or query."""
    journey, error = exchange.journey, exchange.error
    plan = journey.plan
    client = address_of(exchange.peer, exchange.headers.get("x-forwarded-for", ""), trusted)
    return {
        "request_id": journey.request_id,
        "method": exchange.method,
        "status": exchange.status,
        "dur_ms": round(1000 * seconds, 1),
        "stages": {name: round(1000 * spent, 1) for name, spent in journey.stages.items()},
        "source": _origin(plan.source.url) if plan else None,
        "options": plan.path if plan else None,
        "cache": _cache(journey.found) if journey.found else None,
        "format": exchange.format or None,
        "source_bytes": journey.source_bytes,
        "body_bytes": exchange.body_bytes,
        "code": error.code if error else None,
        "reason": _URL.sub(r"\1://\2/...", reason(error))[:500] if error else None,
        "client_ip": client or None,
    }


def _cache(found: Found) -> str:
    """Where the answer came from, in one word: "memory", "redis/stale", "renewed", "collapsed", "made"."""
    if found.tier:
        return found.tier if found.ttl > 0 else f"{found.tier}/stale"
    return "renewed" if found.renewed else "collapsed" if found.collapsed else "made"


@lru_cache(maxsize=1024)
def _origin(url: str) -> str | None:
    """Scheme and host of a source URL: ``https://example.com``, ``s3://bucket``, ``local://``."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}"
    return None
