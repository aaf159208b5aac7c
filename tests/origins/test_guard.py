"""The table of addresses. Nothing here opens a connection."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.origins import guard
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.guard import AddressRefused, socket_factory, verdict

SPECIAL = {
    "loopback": """
        127.0.0.1 127.0.0.2 127.255.255.255 ::1 0:0:0:0:0:0:0:1
        ::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 ::7f00:1 ::ffff:0:127.0.0.1
        64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1:7f00:0:100:: 64:ff9b:1:7f7f:0:7f7f:7f7f:7f7f
        2002:7f00:1:: 2001:0:808:808:2:3:80ff:fffe
        2001:4860::5efe:127.0.0.1 2001:4860::200:5efe:127.0.0.1""",
    "unspecified": "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0 64:ff9b:: 2001:0:1:2:3:4:80ff:fffe ::2",
    "link_local": """
        169.254.1.1 169.254.0.0 169.254.255.255 fe80::1 febf::1 ::ffff:169.254.1.1
        fe80::5efe:8.8.8.8 2002:a9fe:101::""",
    "private": """
        10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255 192.168.0.1
        100.64.0.1 100.127.255.255 fd00::1 fc00::1 fdff::1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1
        2002:c0a8:1::""",
    "metadata": """
        169.254.169.254 169.254.169.123 169.254.170.2 169.254.170.23 169.254.0.23 169.254.42.42
        168.63.129.16 100.100.100.200 192.0.0.192
        fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:c1::a9fe:a9fe fd00:42::42 fd00:a9fe:a9fe::1 fe80::a9fe:a9fe
        ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe""",
    "documentation": "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1 3fff:fff::1",
    "benchmark": "198.18.0.1 198.19.255.255 2001:2::1",
    "multicast": "224.0.0.1 224.0.1.1 239.255.255.250 ff02::1 ff0e::1 ::ffff:224.0.0.1",
    "reserved": """
        192.0.0.8 192.0.0.170 192.88.99.1 192.31.196.1 192.52.193.1 192.175.48.1 240.0.0.1
        255.255.255.254 fec0::1 100::1 100:0:0:1::1 5f00::1 4000::1 2001:10::1 2001:20::1 2001:30::1
        2001:1::1 2001:3::1 2001:4:112::1 2620:4f:8000::1 64:ff9b:2::1 64:ff9a::1 ::8.8.8.8
        ::ffff:0:8.8.8.8 e000::1""",
    "broadcast": "255.255.255.255 ::ffff:255.255.255.255",
}

PUBLIC = """
    8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.167.255.255
    192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 168.63.129.15
    2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 2400:cb00::1 3ffe::1 3fff:1000::1
    2001:200::1 2620:4f:8001::1
    ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808:: 2001:0:808:808:0:0:f7f7:f7f7
    64:ff9b:1:808:8:808:808:808 2001:4860::5efe:8.8.8.8
"""

CASES = [(address, kind) for kind, addresses in SPECIAL.items() for address in addresses.split()]


@pytest.mark.parametrize(("address", "kind"), CASES)
def test_special_addresses_have_a_class(address: str, kind: str) -> None:
    assert verdict(ip_address(address)) == kind


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_have_none(address: str) -> None:
    assert verdict(ip_address(address)) is None


def misjudged() -> list[str]:
    """The addresses above that the table has wrong."""
    cases = CASES + [(address, None) for address in PUBLIC.split()]
    return [address for address, kind in cases if verdict(ip_address(address)) != kind]


ROWS = [
    (table, number) for table in ("V4", "V6", "EMBEDDINGS", "ISATAP") for number in range(len(getattr(guard, table)))
]


@pytest.mark.parametrize(("table", "number"), ROWS)
def test_no_row_can_be_taken_out(monkeypatch: pytest.MonkeyPatch, table: str, number: int) -> None:
    assert misjudged() == []
    rows = getattr(guard, table)
    monkeypatch.setattr(guard, table, rows[:number] + rows[number + 1 :])
    assert misjudged(), f"nothing tests {rows[number]}"


@pytest.mark.parametrize("network", ["::/0", "2000::/4", "3000::/4"])
def test_the_allow_list_is_as_wide_as_it_should_be(monkeypatch: pytest.MonkeyPatch, network: str) -> None:
    monkeypatch.setattr(guard, "PUBLIC_V6", IPv6Network(network))
    assert misjudged()


# IANA's registries of special-purpose addresses (iana-ipv4-special-registry, iana-ipv6-special-registry), whole.
REGISTRY = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8
    192.0.0.9 192.0.0.10 192.0.0.170 192.0.0.171 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24
    192.88.99.2 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
    255.255.255.255 224.0.0.0/4
    ::1 :: 100::/64 100:0:0:1::/64 2001:1::1 2001:1::2 2001:1::3 2001:2::/48 2001:3::/32 2001:4:112::/48
    2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10
    fec0::/10 ff00::/8
"""


@pytest.mark.parametrize("row", REGISTRY.split())
def test_what_iana_has_set_aside_is_refused(row: str) -> None:
    network = ip_network(row)
    for place in (0, network.num_addresses // 3, network.num_addresses - 1):
        assert verdict(network[place]), network[place]


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_no_better(inner: IPv4Address) -> None:
    plain = verdict(inner)
    v4 = int(inner)
    for outer in (
        0xFFFF << 32 | v4,
        0x64FF9B << 96 | v4,
        0x2002 << 112 | v4 << 80,
        0x20010000 << 96 | 0x08080808 << 64 | v4 ^ 0xFFFFFFFF,
    ):
        assert verdict(IPv6Address(outer)) == plain
    for outer in (v4, 0xFFFF << 48 | v4, 0x2A00 << 112 | 0x5EFE << 32 | v4):
        assert (verdict(IPv6Address(outer)) is None) <= (plain is None)


@given(st.ip_addresses())
def test_what_python_calls_special_is_special(address: IPv4Address | IPv6Address) -> None:
    if verdict(address) is None and address.version == 4:
        assert address.is_global
    if verdict(address) is None and address.version == 6:
        assert not address.is_link_local
        assert not address.is_multicast
        assert not address.is_loopback


@pytest.mark.parametrize("kind", ["none", "loopback", "link_local", "private"])
def test_each_setting_opens_its_class_only(kind: str) -> None:
    field = f"allow_{kind}_source_addresses"
    make = socket_factory(OriginSettings.model_validate({} if kind == "none" else {field: True}))
    for address, its_kind in CASES:
        if its_kind == kind:
            _socket(make, address).close()
        else:
            with pytest.raises(AddressRefused) as caught:
                _socket(make, address)
            assert caught.value.kind == its_kind
    for address in PUBLIC.split():
        _socket(make, address).close()


def test_a_scope_changes_nothing() -> None:
    make = socket_factory(OriginSettings())
    with pytest.raises(AddressRefused):
        _socket(make, "fe80::1%lo")


def _socket(make, address: str) -> socket.socket:
    """A socket that is never connected."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return make((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80)))
