"""A proxy on the way out sees addresses that were checked, and opens tunnels; nothing else changes."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest
from pydantic import ValidationError

from imgproxy.errors import AddressForbidden, SourceTimeout, SourceUnreachable
from imgproxy.model import SourceRef
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.egress import TunnelConnector
from imgproxy.origins.fetch import Origins
from tests.origins.certificates import Authority
from tests.origins.contract import soon, taken
from tests.origins.origin import redirects, running, says, whole
from tests.origins.proxy import proxying

if TYPE_CHECKING:
    from pathlib import Path

PICTURE = whole(b"picture")


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names mean. Who asks for another one fails."""
    known = {"pictures.example": ["127.0.0.1"], "mixed.example": ["0.0.0.0", "127.0.0.1"]}

    def getaddrinfo(host: str, port: int, *_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


async def fetched(url: str, proxy: str, **changes: object) -> bytes:
    given = {"allow_loopback_source_addresses": True, "egress_proxy": proxy} | changes
    origins = Origins(OriginSettings.model_validate(given))
    try:
        return taken(await origins.fetch(SourceRef(url), max_bytes=0, deadline=soon()))
    finally:
        await origins.aclose()


async def test_the_proxy_gets_an_address_and_the_origin_its_name() -> None:
    async with running(says(PICTURE)) as origin, proxying() as proxy:
        url = f"http://pictures.example:{origin.port}/a%2Fb?c"
        assert await fetched(url, proxy.url()) == b"picture"
        target = b"127.0.0.1:%d" % origin.port
        assert proxy.heads == [b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, target)]
        assert origin.requests[0].startswith(b"GET /a%2Fb?c HTTP/1.1\r\n")
        assert b"host: pictures.example:%d\r\n" % origin.port in origin.requests[0].lower()
        assert b"proxy-" not in origin.requests[0].lower()


async def test_tls_is_with_the_origin_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.make(tmp_path)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", authority.trust)
    asked: list[str | None] = []
    tls = authority.server("pictures.example")
    tls.sni_callback = lambda _, name, __: asked.append(name)
    async with running(says(PICTURE), tls=tls) as origin, proxying() as proxy:
        assert await fetched(f"https://pictures.example:{origin.port}/", proxy.url()) == b"picture"
        assert proxy.heads[0].startswith(b"CONNECT 127.0.0.1:")
    assert asked == ["pictures.example"]
    async with running(says(PICTURE), tls=authority.server("other.example")) as origin, proxying() as proxy:
        with pytest.raises(SourceUnreachable, match=r"certificate of pictures\.example .*mismatch"):
            await fetched(f"https://pictures.example:{origin.port}/", proxy.url())


async def test_addresses_are_checked_before_the_proxy_is_asked() -> None:
    async with running(says(PICTURE)) as origin, proxying() as proxy:
        for host in ("pictures.example", "127.0.0.1", "[::1]"):
            with pytest.raises(AddressForbidden, match="loopback"):
                await fetched(f"http://{host}:{origin.port}/", proxy.url(), allow_loopback_source_addresses=False)
        async with running(says(redirects("http://0.0.0.0/"))) as leading:
            with pytest.raises(AddressForbidden):
                await fetched(leading.url(), proxy.url())
        assert len(proxy.heads) == 1
        assert await fetched(f"http://mixed.example:{origin.port}/", proxy.url()) == b"picture"
        assert all(b"0.0.0.0" not in head for head in proxy.heads)


async def test_the_proxy_gets_its_credentials_and_nobody_else() -> None:
    async with running(says(PICTURE)) as origin, proxying() as proxy:
        assert await fetched(origin.url(), proxy.url("us%40er:se%3Acret@")) == b"picture"
        assert b"\r\nProxy-Authorization: Basic dXNAZXI6c2U6Y3JldA==\r\n" in proxy.heads[0]
        assert b"dXNAZXI6c2U6Y3JldA" not in origin.requests[0]
    settings = OriginSettings.model_validate({"egress_proxy": "http://user:secret@proxy.example:3128"})
    assert "secret" not in repr(settings)


async def test_connections_through_tunnels_are_kept() -> None:
    async with running(says(PICTURE, close=False)) as origin, proxying() as proxy:
        origins = Origins(
            OriginSettings.model_validate({"allow_loopback_source_addresses": True, "egress_proxy": proxy.url()})
        )
        for _ in range(3):
            assert taken(await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())) == b"picture"
        assert len(proxy.heads) == 1
        await origins.aclose()


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (b"HTTP/1.1 403 No\r\n\r\n", "answers 403"),
        (b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n", "answers 407"),
        (b"", "no answer"),
        (b"SSH-2.0\r\n\r\n", "no answer"),
        (b"HTTP/1.1 2xx\r\n\r\n", "no answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "no answer"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "speaks before"),
    ],
)
async def test_a_proxy_that_gives_no_tunnel(refusal: bytes, reason: str) -> None:
    async with running(says(PICTURE)) as origin, proxying(refusal) as proxy:
        with pytest.raises(SourceUnreachable, match=f"egress proxy.*{reason}") as caught:
            await fetched(origin.url(), proxy.url("user:secret@"))
        assert "secret" not in str(caught.value)
        assert origin.requests == []


async def test_a_proxy_that_is_away_is_not_gone_around() -> None:
    async with proxying() as proxy:
        pass
    async with running(says(PICTURE)) as origin:
        with pytest.raises(SourceUnreachable, match="egress proxy"):
            await fetched(origin.url(), proxy.url())
        async with running(says(b"", close=False)) as silent:
            with pytest.raises(SourceTimeout):
                await fetched(origin.url(), silent.url(), connect_timeout=0.1)
        assert origin.requests == []


async def test_no_connection_is_made_but_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should aiohttp stop asking the method that makes tunnels, nothing is fetched."""
    monkeypatch.delattr(TunnelConnector, "_wrap_create_connection")
    async with running(says(PICTURE)) as origin, proxying() as proxy:
        with pytest.raises(AddressForbidden):
            await fetched(origin.url(), proxy.url())
        assert (origin.requests, proxy.heads) == ([], [])


async def test_a_cancelled_fetch_leaves_no_socket() -> None:
    async with running(says(b"", close=False)) as silent:
        asking = asyncio.ensure_future(fetched("http://127.0.0.1:15000/", silent.url()))
        await asyncio.wait_for(silent.asked.wait(), 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(silent.closed.wait(), 1)


@pytest.mark.parametrize(
    "url",
    ["proxy:3128", "https://proxy:3128", "http://proxy", "http://:3128", "http://proxy:99999", "http://proxy:3128/a",
     "http://proxy:3128?a", "socks5://proxy:1080", "http://proxy:3128\n", "http://[proxy:3128"],
)  # fmt: skip
def test_what_is_no_proxy_is_no_setting(url: str) -> None:
    with pytest.raises(ValidationError):
        OriginSettings.model_validate({"egress_proxy": url})
