"""The way out through a proxy that the operator names, with the checks kept.

A proxy that is given names looks them up itself, behind the guard's back. So the name is looked up here, each address
is checked, and the proxy is asked for a tunnel (CONNECT) to that address; what is said in the tunnel, name of the host
and TLS included, is as without a proxy. For http:// too: a proxy that is sent ``GET http://192.0.2.1/`` has to put the
address into the Host header (RFC 9112 §3.2.2). The proxy itself may have a private address.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import aiohttp

from imgproxy.origins.guard import AddressRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.origins.names import Names

_MOST_HEAD = 1 << 14
"""Bytes of a proxy's answer."""


class EgressFailed(OSError):
    """The proxy is away, or gives no tunnel. Says which, and nothing secret."""


class TunnelConnector(aiohttp.TCPConnector):
    """aiohttp's connector with its connections in tunnels.

    No socket is made but for tunnels: should aiohttp one day connect by another way than the method below, it is
    refused, and does not go around the proxy unseen.
    """

    def __init__(self, tunnel: Tunnel, check: Callable[[str], None], **named: Any) -> None:  # noqa: ANN401
        named["socket_factory"] = _no_socket
        super().__init__(**named)  # pyright: ignore[reportUnknownMemberType]
        self._tunnel = tunnel
        self._check = check

    async def _wrap_create_connection(
        self,
        *args: Any,  # noqa: ANN401
        addr_infos: list[Any],
        req: aiohttp.ClientRequest,
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002, ASYNC109 - the one for the whole connection holds around this
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        try:
            # The first address only: aiohttp asks again with the others if it fails.
            address, port = addr_infos[0][4][:2]
            self._check(address)
            sock = await self._tunnel.to(address, port)
            return await self._loop.create_connection(*args, **kwargs, sock=sock)
        except ssl.SSLCertVerificationError as error:
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from error
        except ssl.SSLError as error:
            raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from error
        except OSError as error:
            raise client_error(req.connection_key, error) from error


class Tunnel:
    """A proxy, and how to ask it for tunnels. ``proxy``: http://[user:password@]host:port."""

    def __init__(self, proxy: str, names: Names) -> None:
        url = urlsplit(proxy)
        assert url.hostname is not None  # noqa: S101  the settings have looked
        self._host, self._port = url.hostname, url.port or 80
        self._names = names
        self._credentials = ""
        if url.username is not None:
            pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
            self._credentials = f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}\r\n"

    async def to(self, address: str, port: int) -> socket.socket:
        """A socket whose other end is ``address``. Raises EgressFailed."""
        target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        sock = await self._connected()
        try:
            ask = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{self._credentials}\r\n"
            await asyncio.get_running_loop().sock_sendall(sock, ask.encode("latin-1"))
            await _expect_success(sock)
        except BaseException as error:
            sock.close()
            if isinstance(error, EgressFailed) or not isinstance(error, OSError):
                raise
            raise EgressFailed("the egress proxy closed the connection") from error
        return sock

    async def _connected(self) -> socket.socket:
        """A connection to the proxy, by whichever of its addresses has one."""
        failure: OSError | None = None
        try:
            addresses = await self._names.lookup(self._host)
        except OSError as error:
            raise EgressFailed("the egress proxy's name has no address") from error
        for address in addresses:
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(sock, (address, self._port))
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
            else:
                return sock
        raise EgressFailed(f"cannot connect to the egress proxy: {failure and failure.strerror}") from failure


async def _expect_success(sock: socket.socket) -> None:
    """Read the proxy's answer to its end. RFC 9110 §9.3.6: any 2xx opens the tunnel, and has no body."""
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head:
        piece = await loop.sock_recv(sock, 4096)
        head += piece
        if not piece or len(head) > _MOST_HEAD:
            raise EgressFailed("the egress proxy gives no answer that can be read")
    version, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise EgressFailed("the egress proxy gives no answer that can be read")
    if not status.startswith(b"2"):
        raise EgressFailed(f"the egress proxy answers {status.decode()}")
    if head.index(b"\r\n\r\n") + 4 != len(head):
        raise EgressFailed("the egress proxy speaks before the origin does")


def _no_socket(*_: object) -> socket.socket:
    raise AddressRefused("egress")
