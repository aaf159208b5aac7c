"""The one way to fetch, for every kind of origin: turns, deadlines, conditions, bodies, errors, and what is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from imgproxy.errors import (
    AddressForbidden,
    ImageError,
    PortForbidden,
    SchemeForbidden,
    SourceTimeout,
    SourceTooLarge,
    TooManyRedirects,
)
from imgproxy.model import StillGood, Validators
from imgproxy.origins.asking import Asking, Errand, origin_of
from imgproxy.origins.failures import our_errors, time_limit
from imgproxy.origins.landing import chunks, land, refusal, said
from imgproxy.origins.shares import Shares, Turn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator
    from contextlib import AbstractAsyncContextManager

    import httpx

    from imgproxy.model import Deadline, Source, SourceRef
    from imgproxy.origins.base import OriginSettings

_PASSED_ON = (
    "content-type",
    "content-encoding",
    "content-length",
    "content-range",
    "accept-ranges",
    "last-modified",
    "etag",
    "cache-control",
    "expires",
    "age",
    "date",
)
_NONE = Validators()
_KINDS: dict[type[ImageError], str] = {
    AddressForbidden: "address",
    SchemeForbidden: "scheme",
    PortForbidden: "port",
    TooManyRedirects: "redirect",
    SourceTooLarge: "size",
}


class Origins:
    """All places that sources come from.

    Sockets open with the first fetch, in the loop that runs then, and close with ``aclose``.
    """

    def __init__(self, settings: OriginSettings, *, places: int = 40, loop_id: str = "") -> None:
        self._settings = settings
        self._asking = Asking(settings, settings.loop_id or loop_id)
        self._shares = Shares(places, settings.origin_share)
        self.refused: Counter[str] = Counter()
        """Fetches that were refused: by "address", "scheme", "port", "redirect" (too many of them) or "size"."""
        self.in_flight = 0
        """Fetches under way, in whatever state."""

    @property
    def resting(self) -> int:
        """How many origins are left alone, because they are down."""
        return self._asking.health.resting

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn at an origin."""
        return self._shares.waiting

    async def aclose(self) -> None:
        await self._asking.aclose()

    def turn(self, ref: SourceRef, deadline: Deadline) -> AbstractAsyncContextManager[Turn]:
        """A turn at the origin of ``ref``, to be had before anything that others need is taken; ``Turn.leave`` ends it.

        Waits until ``deadline`` at most. Raises SourceBusy at once if too many wait, RenderTimeout when the deadline
        comes, and the ``RequestError`` of a URL that cannot be read. Files need no turn, and get one at once.
        """
        origin = origin_of(self._asking.parse(ref))
        return self._shares.turn(origin, deadline) if origin else nullcontext(Turn(lambda: None))

    def turn_at_once(self, ref: SourceRef) -> Turn | None:
        """The same if it need not be waited for. Whoever gets it leaves it."""
        origin = origin_of(self._asking.parse(ref))
        return self._shares.at_once(origin) if origin else Turn(lambda: None)

    async def fetch(
        self,
        ref: SourceRef,
        *,
        max_bytes: int,
        deadline: Deadline,
        validators: Validators = _NONE,
    ) -> Source | StillGood:
        """The source in a memfd, or StillGood if the origin says that ``validators`` still fit (304).

        ``max_bytes`` counts what arrives and what it unpacks to; 0 is no limit. The caller closes the
        source. Raises a SourceError, a RequestError (this URL is not to be fetched), or RenderTimeout
        if it was ``deadline`` that ended the wait.
        """
        asked = _conditions(validators)
        async with self._errand(deadline) as (errand, end), time_limit(deadline, self._settings.download_timeout):
            with our_errors():
                response = await self._asking.ask(ref, asked, errand, end)
                try:
                    if response.status_code == 304 and asked:
                        return StillGood(*said(response))
                    return await land(response, ref.url, max_bytes, self._settings.min_download_rate)
                finally:
                    await response.aclose()

    async def stream(
        self,
        ref: SourceRef,
        *,
        deadline: Deadline,
        validators: Validators = _NONE,
        range: str | None = None,  # noqa: A002  the header's name
    ) -> tuple[int, tuple[tuple[str, str], ...], AsyncGenerator[bytes, None]]:
        """The origin's own answer: its status, the headers worth passing on, its body as it arrives.

        Close the body or read it to its end. ``deadline`` bounds the time to the headers; afterwards
        only a stall of ``download_timeout`` ends the body, with SourceTimeout.
        """
        conditions = _conditions(validators)
        asked = conditions | ({"Range": range} if range else {})
        async with self._errand(deadline) as (errand, end), time_limit(deadline, self._settings.download_timeout):
            with our_errors():
                response = await self._asking.ask(ref, asked, errand, end)
            if not (response.is_success or (response.status_code == 304 and conditions)):
                await response.aclose()
                raise refusal(response)
        headers = tuple((name, value) for name, value in response.headers.items() if name in _PASSED_ON)
        body = self._body(response)
        # To its first, empty piece: closing a generator that never ran would not close the response.
        await anext(body)
        return response.status_code, headers, body

    def check(self, ref: SourceRef) -> None:
        """Raise the ``RequestError`` that fetching this source would end with before anything is contacted."""
        with self._counted():
            self._asking.transport(self._asking.parse(ref))

    def place(self, ref: SourceRef) -> str:
        """Where a source is that its URL does not name: the folder of ``local://``; else empty."""
        return self._settings.local_filesystem_root if ref.url.startswith("local:") else ""

    @asynccontextmanager
    async def _errand(self, deadline: Deadline) -> AsyncGenerator[tuple[Errand, Deadline]]:
        """One fetch, counted, and its end; however it ends, the origin that was asked last is judged by it."""
        errand = Errand()
        self.in_flight += 1
        try:
            with self._counted():
                yield errand, deadline.sooner(self._settings.download_timeout)
        except BaseException as error:
            errand.end(error)
            raise
        finally:
            self.in_flight -= 1
        errand.end()

    @contextmanager
    def _counted(self) -> Generator[None]:
        try:
            yield
        except ImageError as error:
            if kind := _KINDS.get(type(error)):
                self.refused[kind] += 1
            raise

    async def _body(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            yield b""
            pieces = chunks(response)
            while chunk := await self._next(pieces):
                yield chunk
        finally:
            await response.aclose()

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes:
        limit = self._settings.download_timeout
        try:
            with our_errors():
                async with asyncio.timeout(limit):
                    return await anext(pieces, b"")
        except TimeoutError:
            raise SourceTimeout(f"the origin sent nothing for {limit:g} s") from None


def _conditions(validators: Validators) -> dict[str, str]:
    asked = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in asked.items() if value}
