"""The asking of an origin: redirects one by one, and for each of them the whole policy, health and a second try."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import httpx

from imgproxy.errors import SchemeForbidden, SourceForbidden, SourceUnreachable, TooManyRedirects
from imgproxy.origins import targets
from imgproxy.origins.allowed import AllowedSources
from imgproxy.origins.failures import translated
from imgproxy.origins.files import FilesTransport
from imgproxy.origins.guard import AddressRefused, checker
from imgproxy.origins.health import Health, Trial
from imgproxy.origins.http import HttpTransport
from imgproxy.origins.ports import USUAL, Ports
from imgproxy.origins.retries import Retries, is_worth_it, jitter

if TYPE_CHECKING:
    from imgproxy.model import Deadline, SourceRef
    from imgproxy.origins.base import OriginSettings

_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(slots=True)
class Errand:
    """One fetch as far as it has come: who is being asked, and for what. Its owner ends the last trial."""

    trial: Trial | None = None
    about: bytes = b""

    def end(self, error: BaseException | None = None) -> None:
        if self.trial is not None:
            self.trial.end(error, self.about)


class Asking:
    """Asks origins. ``loop_id``: what CDN-Loop says of us; empty says nothing."""

    def __init__(self, settings: OriginSettings, loop_id: str) -> None:
        self.health = Health()
        self._settings = settings
        self._allowed = AllowedSources(settings.allowed_sources)
        self._ports = Ports(settings.allowed_source_ports)
        self._retries = Retries()
        # RFC 8586: a fresh list, as no part of our client's request is passed on.
        self._said = {"User-Agent": settings.user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        if loop_id:
            self._said["CDN-Loop"] = loop_id
        http = HttpTransport(settings)
        self._transports: dict[str, httpx.AsyncBaseTransport] = {"http": http, "https": http}
        if settings.local_filesystem_root:
            self._transports["local"] = FilesTransport(settings.local_filesystem_root)

    async def aclose(self) -> None:
        for transport in set(self._transports.values()):
            await transport.aclose()

    def check(self, ref: SourceRef) -> None:
        """Raise an ``ImageError`` for a source that is never asked for, as far as its URL tells."""
        url = self.parse(ref)
        self.transport(url)
        try:
            address = ip_address(url.host)
        except ValueError:
            return  # a name, or nothing
        try:
            checker(self._settings)(str(address))
        except AddressRefused as error:
            raise translated(error) from None

    def parse(self, ref: SourceRef) -> httpx.URL:
        """The URL of a source. Raises ``RequestError``."""
        return targets.parse(ref.url, self._settings.source_url_query_separator)

    def transport(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        """The way to a URL. Raises ``ImageError`` if it may not be gone."""
        transport = self._transports.get(url.scheme)
        if transport is None:
            raise SchemeForbidden(f"{url.scheme}:// is not a source here")
        if not self._allowed.permit(url):
            raise SourceForbidden(f"{url.scheme}://{url.host} is not among the allowed sources")
        if url.scheme in USUAL:
            self._ports.check(url)
        return transport

    async def ask(self, ref: SourceRef, asked: dict[str, str], errand: Errand, end: Deadline) -> httpx.Response:
        """The first answer that is not a redirect. The full policy holds for each hop.

        Raises ``ImageError``, and what httpx raises. ``errand`` tells who is being asked then.
        """
        url = self.parse(ref)
        self._retries.earn()
        first = origin_of(url)
        for _ in range(self._settings.max_redirects + 1):
            transport = self.transport(url)
            if url.scheme in USUAL:
                origin = origin_of(url)
                # Where others send us is their choice: they could pick an origin's worst URLs.
                errand.trial, errand.about = self.health.admit(origin, sent=origin != first), url.raw_path
            response = await self._answer(transport, self._request(url, asked), errand.trial, end)
            if response.status_code not in _REDIRECTS:
                return response
            await response.aclose()
            errand.end()
            if not (location := _location(response)):
                raise SourceUnreachable("the origin redirects to nowhere")
            url = targets.follow(url, location)
        raise TooManyRedirects(f"more than {self._settings.max_redirects} redirects")

    async def _answer(
        self, transport: httpx.AsyncBaseTransport, request: httpx.Request, trial: Trial | None, end: Deadline
    ) -> httpx.Response:
        """The answer to one request, or to its repetition."""
        try:
            outcome = await transport.handle_async_request(request)
        except httpx.TransportError as error:
            outcome = error
        pause = jitter()
        if trial and is_worth_it(outcome) and trial.may_be_repeated and self._retries.spend(end.remaining - pause):
            if isinstance(outcome, httpx.Response):
                await outcome.aclose()
            await asyncio.sleep(pause)
            return await transport.handle_async_request(request)
        if isinstance(outcome, httpx.TransportError):
            raise outcome
        return outcome

    def _request(self, url: httpx.URL, asked: dict[str, str]) -> httpx.Request:
        headers = httpx.Headers({**self._said, **asked}, encoding="latin-1")
        request = httpx.Request("GET", url, headers=headers)
        if url.userinfo:
            # Per hop, so that credentials never follow a redirect to another host.
            next(httpx.BasicAuth(url.username, url.password).auth_flow(request))
        return request


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port of an http(s) URL; empty for others."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}" if url.scheme in USUAL else ""


def _location(response: httpx.Response) -> str:
    """The Location header. Its bytes are UTF-8 where they are not ASCII (WHATWG URL)."""
    return response.headers.get("location", "").encode("latin-1").decode(errors="replace")
