"""Run by test_ssrf_e2e.py in an empty network namespace: fetches each vector, counts accepts.

The vectors' ports are the canary's. Afterwards the same canary is fetched with permission, so that a
canary that cannot be reached at all is not taken for a success.
"""

from __future__ import annotations

import asyncio
import errno
import socket

from imgproxy.errors import AddressForbidden, ImageError
from imgproxy.model import Deadline, Source, SourceRef
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins

REFUSED_AT_THE_SOCKET = """
    127.0.0.1 127.0.0.2 0x7f000001 0.0.0.0 0.1.2.3 0x7f.1 localhost LOCALHOST [::] [::1]
    [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [::7f00:1]
    [64:ff9b::127.0.0.1] [64:ff9b:1:7f00:0:100::] [2002:7f00:1::] [2001:0:1:2:3:4:80ff:fffe]
    [2001:4860::5efe:127.0.0.1] [::ffff:0:127.0.0.1] 10.0.0.1 169.254.169.254 168.63.129.16
    [fd00::1] 192.0.0.8 198.18.0.1 [fec0::1]
"""
REFUSED_SOMEWHERE = """
    127.1 127.0.1 2130706433 0177.0.0.1 0 017700000001 localhost. foo.localhost ip6-localhost
    127.0.0.1. 127.0.0.1%00.example.com [127.0.0.1] [::1%25lo] ①②⑦.⓪.⓪.① 127\uff0e0\uff0e0\uff0e1
    ⓛⓞⓒⓐⓛⓗⓞⓢⓣ 127。0。0。1 example.com\\@127.0.0.1 a@b@127.0.0.1 user:pass@127.0.0.1
    example.com%2f@127.0.0.1 0x7f.0x0.0x0.0x1 ::1 localhost.localdomain
"""


class Canary:
    """A listener on every address of this host."""

    def __init__(self) -> None:
        self.accepts = 0
        self.location = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepts += 1
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 302 Found\r\nLocation: {self.location}\r\n" if self.location else ""
        writer.write((head or "HTTP/1.1 200 OK\r\n").encode() + b"Content-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def start(self, address: str, port: int, family: int) -> asyncio.Server:
        return await asyncio.start_server(self.serve, address, port, family=family)


async def outcome(url: str, allow: str = "") -> ImageError | None:
    origins = Origins(OriginSettings.model_validate({f"allow_{allow}_source_addresses": True} if allow else {}))
    try:
        source = await origins.fetch(SourceRef(url), max_bytes=0, deadline=Deadline.after(2))
    except ImageError as error:
        return error
    finally:
        await origins.aclose()
    assert isinstance(source, Source)
    source.close()
    return None


async def main() -> None:
    sanctuary_is_empty()
    canary = Canary()
    first = await canary.start("0.0.0.0", 0, socket.AF_INET)
    port = first.sockets[0].getsockname()[1]
    await canary.start("::", port, socket.AF_INET6)
    for host in REFUSED_AT_THE_SOCKET.split():
        error = await outcome(f"http://{host}:{port}/")
        assert isinstance(error, AddressForbidden), (host, error)
    for host in REFUSED_SOMEWHERE.split():
        assert await outcome(f"http://{host}:{port}/"), host
    assert canary.accepts == 0
    await redirects()
    for url in (f"http://127.0.0.1:{port}/", f"http://[::1]:{port}/"):
        assert await outcome(url, allow="loopback") is None
    assert canary.accepts == 2


async def redirects() -> None:
    """From an allowed link-local origin, also of this host, back to it."""
    origin, canary = Canary(), Canary()
    server = await origin.start("169.254.7.7", 0, socket.AF_INET)
    here = f"http://169.254.7.7:{server.sockets[0].getsockname()[1]}/"
    inner = await canary.start("127.0.0.1", 0, socket.AF_INET)
    port = inner.sockets[0].getsockname()[1]
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]"):
        origin.location = f"http://{host}:{port}/"
        error = await outcome(here, allow="link_local")
        assert isinstance(error, AddressForbidden), (host, error)
    assert (origin.accepts, canary.accepts) == (5, 0)


def sanctuary_is_empty() -> None:
    """Stop unless this namespace has no way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        code = probe.connect_ex(("192.0.2.1", 9))  # a datagram socket's connect sends nothing
    assert code == errno.ENETUNREACH, "this must not run where there is a network"


if __name__ == "__main__":
    asyncio.run(main())
