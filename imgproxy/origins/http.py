"""http:// and https:// as an httpx transport over aiohttp's connections.

aiohttp, because httpx' own pool costs seven times the CPU and can die of a cancelled request. Not
through httpx-aiohttp: that hands over the URL as text, which aiohttp would re-encode (``%7E`` becomes
``~``, and a signed origin URL no longer fits its signature), and calls a closed connection a timeout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import httpx
import yarl

from imgproxy.origins.egress import EgressFailed, Tunnel, TunnelConnector
from imgproxy.origins.failures import Dropped, Mistrusted, Nameless
from imgproxy.origins.guard import checker, socket_factory
from imgproxy.origins.interim import bound_interim
from imgproxy.origins.names import Names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import SimpleNamespace

    from imgproxy.origins.base import OriginSettings

CONNECTIONS = 1000
CONNECTIONS_PER_ORIGIN = 100
"""One slow origin must not use up the descriptors and memory of all (imgix' outage of 2021-05)."""
_READ_BUFFER = 1 << 18
_HEADER_BYTES = 1 << 15  # aiohttp's 8 KiB are less than some Content-Security-Policies


class HttpTransport(httpx.AsyncBaseTransport):
    """Origins that speak HTTP. Time limits are the caller's.

    Refuses forbidden addresses; follows no redirects, keeps no cookies, reads neither netrc nor proxy
    variables: behind such a proxy, the guard would see the proxy's address only. Behind the one of the settings
    (``egress.py``) it sees the origin's.
    """

    def __init__(self, settings: OriginSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._names = Names(settings.dns_ttl)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = self._session = self._session or self._open()
        await self._look_up(request.url.raw_host.decode("ascii"))
        response = await self._answer(session, request)
        answer = httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))
        answer.headers.encoding = "latin-1"  # every header can be passed on as the bytes it was
        return answer

    async def _answer(self, session: aiohttp.ClientSession, request: httpx.Request) -> aiohttp.ClientResponse:
        """The answer; asked for again at once where an idle connection was closed just as it was to be used."""
        for last in (False, True):
            connection = _Connection()
            try:
                return await session.request(
                    request.method,
                    _target(request.url),
                    headers=request.headers,
                    allow_redirects=False,
                    trace_request_ctx=connection,
                )
            except (aiohttp.ClientError, OSError, ValueError) as error:
                failure = _translated(error)
                if last or not connection.reused or not isinstance(failure, Dropped):
                    raise failure from error
        raise AssertionError("two tries, and neither ended")  # pragma: no cover

    async def aclose(self) -> None:
        if self._session:
            await self._session.close()

    async def _look_up(self, host: str) -> None:
        """Have the addresses of a name ready, so that the time for the connection is for the connection alone."""
        try:
            await self._names.lookup(host)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no answer to what the address of {host} is") from error
        except OSError as error:
            raise Nameless(f"cannot find {host}: {error.strerror}") from error

    def _open(self) -> aiohttp.ClientSession:
        """The connections; they belong to the loop that runs when the first one is needed."""
        settings = self._settings
        keep_alive = settings.client_keep_alive_timeout
        connect: Callable[..., aiohttp.TCPConnector] = partial(
            aiohttp.TCPConnector, socket_factory=socket_factory(settings)
        )
        if proxy := settings.egress_proxy.get_secret_value():
            connect = partial(TunnelConnector, Tunnel(proxy, self._names), checker(settings))
        connector = connect(
            limit=CONNECTIONS,
            limit_per_host=CONNECTIONS_PER_ORIGIN,
            resolver=self._names,
            use_dns_cache=False,
            ssl=not settings.ignore_ssl_verification,
            force_close=not keep_alive,
            keepalive_timeout=keep_alive or None,  # aiohttp refuses a time beside force_close
        )
        bound_interim(connector)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, connect=settings.connect_timeout or None),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_READ_BUFFER,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
            trace_configs=[_tracing()],
        )
        # aiohttp asks a second time whenever a connection ends without an answer, also a new one: an origin that is
        # down would get twice the requests.
        session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return session


@dataclass(slots=True)
class _Connection:
    """What a request went over."""

    reused: bool = False


def _tracing() -> aiohttp.TraceConfig:
    """What tells a request that its connection is an old one."""
    config = aiohttp.TraceConfig()

    async def reused(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.reused = True

    config.on_connection_reuseconn.append(reused)
    return config


class _Body(httpx.AsyncByteStream):
    """The bytes of a response as they arrive."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise httpx.ReadError("the body ends before its end") from error
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        # A response read to its end has given its connection back already; this ends the others'.
        self._response.close()


def _target(url: httpx.URL) -> yarl.URL:
    """The URL for aiohttp, escapes as they are; without credentials, which are a header by now."""
    path, _, query = url.raw_path.decode("ascii").partition("?")
    return yarl.URL.build(
        scheme=url.scheme,
        authority=url.netloc.decode("ascii"),
        path=path,
        query_string=query,
        encoded=True,
    )


def _translated(error: Exception) -> httpx.TransportError:
    """What stopped a request before its answer came, in httpx' words, without URLs (secrets)."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Mistrusted(f"the certificate of {error.host} is not to be trusted: {_mistake(error)}")
        case aiohttp.ClientConnectorError(os_error=EgressFailed()):
            return httpx.ConnectError(str(error.os_error))
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError(f"cannot connect to {error.host}: {error.os_error.strerror}")
        case aiohttp.ClientResponseError():
            # Its first line names the mistake, the others quote the origin.
            return httpx.RemoteProtocolError(f"not an HTTP answer: {error.message.partition(chr(10))[0][:80]}")
        case aiohttp.ClientPayloadError():
            return httpx.RemoteProtocolError(f"not an HTTP answer: {error}")
        case aiohttp.ServerTimeoutError():
            return httpx.ConnectTimeout("no connection in time")
        case aiohttp.ClientError() | OSError():
            return Dropped("the origin closed the connection without an answer")
        case _:
            return httpx.LocalProtocolError(f"the request cannot be written: {type(error).__name__}")


def _mistake(error: aiohttp.ClientConnectorCertificateError) -> str:
    """What is wrong with the certificate, in OpenSSL's words."""
    return str(getattr(error.certificate_error, "verify_message", ""))
