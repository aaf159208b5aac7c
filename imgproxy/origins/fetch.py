"""The one way to fetch, for every kind of origin: redirects, policy, deadlines, conditions, errors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from imgproxy.errors import (
    SchemeForbidden,
    SourceForbidden,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
    TooManyRedirects,
)
from imgproxy.model import StillGood, Validators
from imgproxy.origins import targets
from imgproxy.origins.allowed import AllowedSources
from imgproxy.origins.failures import our_errors, time_limit
from imgproxy.origins.files import FilesTransport
from imgproxy.origins.http import HttpTransport
from imgproxy.origins.landing import chunks, land, said

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from imgproxy.model import Deadline, Source, SourceRef
    from imgproxy.origins.base import OriginSettings

_REDIRECTS = (301, 302, 303, 307, 308)
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


class Origins:
    """All places that sources come from.

    Sockets open with the first fetch, in the loop that runs then, and close with ``aclose``.
    """

    def __init__(self, settings: OriginSettings) -> None:
        self._settings = settings
        self._allowed = AllowedSources(settings.allowed_sources)
        http = HttpTransport(settings)
        self._transports: dict[str, httpx.AsyncBaseTransport] = {"http": http, "https": http}
        if settings.local_filesystem_root:
            self._transports["local"] = FilesTransport(settings.local_filesystem_root)

    async def aclose(self) -> None:
        for transport in set(self._transports.values()):
            await transport.aclose()

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
        async with time_limit(deadline, self._settings.download_timeout):
            with our_errors():
                response = await self._ask(ref, asked)
                try:
                    if response.status_code == 304 and asked:
                        return StillGood(*said(response))
                    return await land(response, ref.url, max_bytes)
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
        async with time_limit(deadline, self._settings.download_timeout):
            with our_errors():
                response = await self._ask(ref, asked)
        if not (response.is_success or (response.status_code == 304 and conditions)):
            await response.aclose()
            raise SourceRefused(response.status_code)
        headers = tuple((name, value) for name, value in response.headers.items() if name in _PASSED_ON)
        body = self._body(response)
        # To its first, empty piece: closing a generator that never ran would not close the response.
        await anext(body)
        return response.status_code, headers, body

    def check(self, ref: SourceRef) -> None:
        """Raise the ``RequestError`` that fetching this source would end with before anything is contacted."""
        self._transport(targets.parse(ref.url, self._settings.source_url_query_separator))

    def place(self, ref: SourceRef) -> str:
        """Where a source is that its URL does not name: the folder of ``local://``; else empty."""
        return self._settings.local_filesystem_root if ref.url.startswith("local:") else ""

    async def _ask(self, ref: SourceRef, asked: dict[str, str]) -> httpx.Response:
        """The first answer that is not a redirect. The full policy holds for each hop."""
        url = targets.parse(ref.url, self._settings.source_url_query_separator)
        for _ in range(self._settings.max_redirects + 1):
            response = await self._transport(url).handle_async_request(self._request(url, asked))
            if response.status_code not in _REDIRECTS:
                return response
            await response.aclose()
            if not (location := _location(response)):
                raise SourceUnreachable("the origin redirects to nowhere")
            url = targets.follow(url, location)
        raise TooManyRedirects(f"more than {self._settings.max_redirects} redirects")

    def _transport(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        transport = self._transports.get(url.scheme)
        if transport is None:
            raise SchemeForbidden(f"{url.scheme}:// is not a source here")
        if not self._allowed.permit(url):
            raise SourceForbidden(f"{url.scheme}://{url.host} is not among the allowed sources")
        return transport

    def _request(self, url: httpx.URL, asked: dict[str, str]) -> httpx.Request:
        headers = {
            "User-Agent": self._settings.user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            **asked,
        }
        request = httpx.Request("GET", url, headers=httpx.Headers(headers, encoding="latin-1"))
        if url.userinfo:
            # Per hop, so that credentials never follow a redirect to another host.
            next(httpx.BasicAuth(url.username, url.password).auth_flow(request))
        return request

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


def _location(response: httpx.Response) -> str:
    """The Location header. Its bytes are UTF-8 where they are not ASCII (WHATWG URL)."""
    return response.headers.get("location", "").encode("latin-1").decode(errors="replace")
