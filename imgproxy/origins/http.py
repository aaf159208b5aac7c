"""http:// and https:// as an httpx transport over aiohttp's connections.

aiohttp, because httpx' own pool costs seven times the CPU and can die of a cancelled request. Not
through httpx-aiohttp: that hands over the URL as text, which aiohttp would re-encode (``%7E`` becomes
``~``, and a signed origin URL no longer fits its signature), and calls a closed connection a timeout.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import httpx
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from imgproxy.origins.guard import socket_factory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imgproxy.origins.base import OriginSettings

CONNECTIONS = 1000
CONNECTIONS_PER_ORIGIN = 100
"""One slow origin must not use up the descriptors and memory of all (imgix' outage of 2021-05)."""
_RESOLVERS = 32
_DNS_TTL = 10  # seconds
_READ_BUFFER = 1 << 18
_HEADER_BYTES = 1 << 15  # aiohttp's 8 KiB are less than some Content-Security-Policies


class HttpTransport(httpx.AsyncBaseTransport):
    """Origins that speak HTTP. Time limits are the caller's.

    Refuses forbidden addresses; follows no redirects, keeps no cookies, reads neither netrc nor proxy
    variables: behind a proxy, the guard would see the proxy's address only.
    """

    def __init__(self, settings: OriginSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = self._session = self._session or self._open()
        try:
            response = await session.request(
                request.method,
                _target(request.url),
                headers=request.headers,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translated(error) from error
        answer = httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))
        answer.headers.encoding = "latin-1"  # every header can be passed on as the bytes it was
        return answer

    async def aclose(self) -> None:
        if self._session:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """The connections; they belong to the loop that runs when the first one is needed."""
        keep_alive = self._settings.client_keep_alive_timeout
        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS,
            limit_per_host=CONNECTIONS_PER_ORIGIN,
            socket_factory=socket_factory(self._settings),
            resolver=_Resolver(),
            ttl_dns_cache=_DNS_TTL,
            ssl=not self._settings.ignore_ssl_verification,
            force_close=not keep_alive,
            keepalive_timeout=keep_alive or None,  # aiohttp refuses a time beside force_close
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_READ_BUFFER,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )


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


class _Resolver(AbstractResolver):
    """Looks up names in threads of its own, so that a name server that hangs stops nothing else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


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
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError(f"cannot connect to {error.host}: {error.os_error.strerror}")
        case aiohttp.ClientResponseError():
            # Its first line names the mistake, the others quote the origin.
            return httpx.RemoteProtocolError(f"not an HTTP answer: {error.message.partition(chr(10))[0][:80]}")
        case aiohttp.InvalidURL():  # "127.1"
            return httpx.LocalProtocolError("the host is not written in the usual form")
        case aiohttp.ServerTimeoutError():
            return httpx.ConnectTimeout("timeout")
        case aiohttp.ClientError() | OSError():
            return httpx.RemoteProtocolError("the origin closed the connection without an answer")
        case _:
            return httpx.LocalProtocolError(f"the request cannot be written: {type(error).__name__}")
