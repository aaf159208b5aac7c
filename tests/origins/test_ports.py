"""Ports: those of web servers only, at every hop."""

from __future__ import annotations

import httpx
import pytest
from pydantic import ValidationError

from imgproxy.errors import PortForbidden
from imgproxy.model import SourceRef
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins
from imgproxy.origins.ports import REFUSED, Ports
from tests.origins.contract import soon, taken
from tests.origins.origin import redirects, running, says, whole

ANY = Ports(frozenset())


@pytest.mark.parametrize(
    "port",
    [
        *(1, 21, 22, 23, 25, 53, 110, 111, 139, 143, 389, 445, 465, 587, 993, 2049, 6000, 6667, 10080),  # browsers'
        *(6379, 11211, 5432, 3306, 27017, 9200, 2375, 2376, 2379, 10250, 6443, 8500, 8200, 9092, 2181, 3389),
    ],
)
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(PortForbidden, match=str(port)):
        ANY.check(httpx.URL(f"http://a.example:{port}/"))


@pytest.mark.parametrize("port", [80, 443, 81, 591, 3000, 5000, 8000, 8008, 8080, 8081, 8443, 8888, 9000, 9090, 15000])
def test_ports_of_web_servers_are_not(port: int) -> None:
    ANY.check(httpx.URL(f"http://a.example:{port}/"))
    ANY.check(httpx.URL(f"https://a.example:{port}/"))


def test_each_refused_port_is_checked() -> None:
    for port in REFUSED - {0}:
        with pytest.raises(PortForbidden):
            ANY.check(httpx.URL(f"http://a.example:{port}/"))
    assert len(REFUSED) > 120


def test_named_ports_are_the_only_ones() -> None:
    ports = Ports(OriginSettings.model_validate({"allowed_source_ports": "443, 6379"}).allowed_source_ports)
    ports.check(httpx.URL("https://a.example/"))
    ports.check(httpx.URL("http://a.example:6379/"))
    for url in ("http://a.example/", "http://a.example:8080/", "https://a.example:80/", "https://a.example:22/"):
        with pytest.raises(PortForbidden):
            ports.check(httpx.URL(url))


@pytest.mark.parametrize("text", ["http", "0", "65536", "80-90", "-1", "\uff18\uff10", "80;81"])
def test_what_is_no_port_is_no_setting(text: str) -> None:
    with pytest.raises(ValidationError):
        OriginSettings.model_validate({"allowed_source_ports": text})


async def test_ports_hold_for_every_hop() -> None:
    async with (
        running(says(whole(b"picture"))) as other,
        running(says(redirects("http://127.0.0.1:6379/"))) as bad,
        running(says(redirects(other.url()))) as origin,
    ):
        origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
        assert taken(await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())) == b"picture"
        with pytest.raises(PortForbidden):
            await origins.fetch(SourceRef(bad.url()), max_bytes=0, deadline=soon())
        with pytest.raises(PortForbidden):
            await origins.stream(SourceRef(bad.url()), deadline=soon())
        with pytest.raises(PortForbidden):
            origins.check(SourceRef("http://127.0.0.1:22/"))
        assert origins.refused == {"port": 3}
        await origins.aclose()
        origins = Origins(
            OriginSettings(allow_loopback_source_addresses=True, allowed_source_ports=frozenset({origin.port}))
        )
        with pytest.raises(PortForbidden):
            await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())
        assert len(other.requests) == 1
        await origins.aclose()
