"""Requests to the server that is warmed up: patient where it asks for patience, and to no other host."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from imgproxy import __version__
from imgproxy.clock import unix_seconds
from imgproxy.fields import moment
from imgproxy.warming.places import Item

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from typing import Self

    from imgproxy.warming.places import Place

ATTEMPTS = 4
LONGEST_PAUSE_S = 60.0
"""Who asks for more patience than that gets none: the run ends, and can be resumed."""
_FIRST_PAUSE_S = 0.5
_PATIENCE_S = 60.0
"""For one answer: queue, origin and render."""
_OK = 200
_AGAIN = {429, 502, 503, 504}
_LONGEST_REASON = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item."""

    item: Item
    status: int
    """0 without an answer."""
    reason: str = ""
    """Why it failed, in a few words; empty if it did not."""
    size: int = 0
    """In bytes."""
    hit: bool = False
    """It had been there already."""

    @property
    def good(self) -> bool:
        return not self.reason


class Asker:
    """Asks one server. ``async with`` it."""

    def __init__(
        self,
        place: Place,
        *,
        concurrency: int = 4,
        secret: str = "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``secret``: the server's IMGPROXY_SECRET."""
        self._origin = place.origin
        self._sleep, self._clock = sleep, clock
        self._not_before = 0.0
        """When the server wants to be asked again, whoever was told so."""
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=place.socket or None, limits=limits, trust_env=False),
            headers={"User-Agent": f"imgproxy-warm/{__version__}", "Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {secret}"} if secret else {}),
            timeout=_PATIENCE_S,
            follow_redirects=False,  # they could lead anywhere
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self, item: Item) -> Outcome:
        """The last answer to an item: attempts that fail in passing are followed by others."""
        attempt = 0
        while True:
            attempt += 1
            while (wait := self._not_before - self._clock()) > 0:
                await self._sleep(wait)
            outcome, asked = await self._attempt(item)
            if outcome.good or attempt == ATTEMPTS or outcome.status not in {0, *_AGAIN} or asked > LONGEST_PAUSE_S:
                return outcome
            # What one is told concerns all who ask this server.
            self._not_before = max(self._not_before, self._clock() + asked)
            if not asked:
                await self._sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))  # noqa: S311 - apart

    async def _attempt(self, item: Item) -> tuple[Outcome, float]:
        """An outcome, and how many seconds the server asks to be left alone."""
        try:
            async with asyncio.timeout(_PATIENCE_S), self._stream(item) as answer:
                size, text = 0, b""
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
                    text = (text + chunk)[:_LONGEST_REASON] if answer.status_code != _OK else b""
        except (TimeoutError, httpx.TimeoutException):
            return Outcome(item, 0, f"no answer in {_PATIENCE_S:.0f} s"), 0
        except httpx.HTTPError as error:
            return Outcome(item, 0, _said(error)), 0
        if answer.status_code == _OK:
            return Outcome(item, answer.status_code, "", size, _is_hit(answer.headers)), 0
        pause = _pause(answer.headers.get("retry-after", ""))
        reason = text.decode("utf-8", "replace").strip().partition("\n")[0] or answer.reason_phrase or "no image"
        if answer.is_redirect:
            reason = "a redirect, which is not followed"
        elif pause > LONGEST_PAUSE_S:
            reason = f"{reason}; it asks for {pause:.0f} s of patience"
        return Outcome(item, answer.status_code, reason), pause

    async def read(self, target: str, most: int) -> bytes:
        """The body at a target of this server, if it is one of at most so many bytes. Raises ``OSError``."""
        body = b""
        try:
            async with asyncio.timeout(_PATIENCE_S), self._stream(Item(target)) as answer:
                if answer.status_code != _OK:
                    raise OSError(f"it was answered with {answer.status_code}")
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > most:
                        raise OSError(f"more than {most >> 20} MiB")
        except (httpx.HTTPError, TimeoutError) as error:
            raise OSError(_said(error)) from None
        return body

    def _stream(self, item: Item) -> AbstractAsyncContextManager[httpx.Response]:
        # The target as it is: httpx would take "/../" out of it, and the signature is over every byte.
        return self._client.stream(
            "GET", self._origin + "/", headers={"Accept": item.accept}, extensions={"target": item.target.encode()}
        )


def _is_hit(headers: httpx.Headers) -> bool:
    """Whether some cache on the way had it (RFC 9211)."""
    members = headers.get("cache-status", "").split(",")
    return any("hit" in (part.strip() for part in member.split(";")[1:]) for member in members)


def _pause(text: str) -> float:
    """The seconds of a Retry-After, which is a number or a date (RFC 9110 §10.2.3); 0 for none."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    return max(0.0, (moment(text) or 0.0) - unix_seconds())


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
