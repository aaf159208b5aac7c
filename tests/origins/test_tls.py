"""Certificates that prove nothing: the source is not fetched, and never without TLS instead."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest

from imgproxy.errors import SourceUnreachable
from imgproxy.model import SourceRef
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins
from imgproxy.origins.health import FAILURES
from tests.origins.certificates import Authority
from tests.origins.contract import soon, taken
from tests.origins.origin import running, says, whole

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that is believed, and the name pictures.example, which is this host."""
    authority = Authority.make(tmp_path)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", authority.trust)
    here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: here)
    return authority


@pytest.fixture
async def origins():
    origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
    yield origins
    await origins.aclose()


async def test_a_good_certificate(authority: Authority, origins: Origins) -> None:
    async with running(says(whole(b"picture")), tls=authority.server("pictures.example")) as origin:
        ref = SourceRef(f"https://pictures.example:{origin.port}/")
        assert taken(await origins.fetch(ref, max_bytes=0, deadline=soon())) == b"picture"


@pytest.mark.parametrize(
    ("name", "days", "reason"),
    [("pictures.example", -1, "expired"), ("other.example", 1, "mismatch"), ("*.example.com", 1, "mismatch")],
)
async def test_a_bad_one(authority: Authority, origins: Origins, name: str, days: int, reason: str) -> None:
    async with running(says(whole(b"picture")), tls=authority.server(name, days)) as origin:
        # However often: it does not become "resting", which would hide the reason.
        for _ in range(FAILURES + 2):
            with pytest.raises(SourceUnreachable, match=rf"certificate of pictures\.example .*(?i:{reason})"):
                await origins.fetch(SourceRef(f"https://pictures.example:{origin.port}/"), max_bytes=0, deadline=soon())
        assert origin.requests == []
        assert origins.resting == 0
