"""Which addresses may be contacted, decided for the address of each socket.

The check sits in the factory that makes a connection's socket: what it sees is where the packets go.
A name that resolves differently a second later, a redirect, ``0x7f.1`` or an IPv4 address inside an
IPv6 one make no difference.

Everything that is not public is refused, from a table of our own: ``ipaddress.is_global`` of Python
3.11.7 says True for 25 of 59 addresses that must be refused (64:ff9b::/96, 2002::/16, fec0::1, ...).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.origins.base import OriginSettings

    AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
    """What getaddrinfo() gives: family, type, protocol, canonical name, socket address."""

# The first network that holds an address names its class. Metadata services come first: they stay
# refused where the link-local or private network around them is allowed.
_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), name)
    for name, networks in (
        (
            "metadata",
            # AWS, GCP, Azure and many more; AWS ECS; AWS EKS; Tencent
            "169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23"
            # Azure's wire server; Alibaba; Oracle
            " 168.63.129.16 100.100.100.200 192.0.0.192",
        ),
        ("unspecified", "0.0.0.0/8"),
        ("loopback", "127.0.0.0/8"),
        ("link_local", "169.254.0.0/16"),
        ("private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10"),
        ("documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24"),
        ("benchmark", "198.18.0.0/15"),
        ("multicast", "224.0.0.0/4"),
        ("broadcast", "255.255.255.255"),
        # IETF protocols; AS112; AMT; former 6to4 relays; AS112; class E
        (
            "reserved",
            "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.175.48.0/24 240.0.0.0/4",
        ),
    )
    for network in networks.split()
)

_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), name)
    for name, networks in (
        ("metadata", "fd00:ec2::/32 fd20:ce::254"),  # AWS (254, 23, ...), GCP
        ("unspecified", "::"),
        ("loopback", "::1"),
        ("link_local", "fe80::/10"),
        ("private", "fc00::/7"),
        ("multicast", "ff00::/8"),
        ("documentation", "2001:db8::/32 3fff::/20"),
        ("benchmark", "2001:2::/48"),
        ("reserved", "2001::/23 2620:4f:8000::/48"),  # IETF protocols (ORCHID, AMT, ...); AS112
    )
    for network in networks.split()
)
_PUBLIC_V6 = IPv6Network("2000::/3")

_COMPATIBLE = IPv6Network("::/96")
_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")  # SIIT, RFC 2765
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")

_SETTINGS = {
    "loopback": "allow_loopback_source_addresses",
    "link_local": "allow_link_local_source_addresses",
    "private": "allow_private_source_addresses",
}


class AddressRefused(OSError):
    """An address that must not be contacted.

    The text names no address: aiohappyeyeballs raises the exception itself only where all of a
    name's addresses fail with the same text.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(errno.EACCES, "the address is not a public one")
        self.kind = kind


def verdict(address: IPv4Address | IPv6Address) -> str | None:
    """The class of special addresses that this one belongs to, or None for a public one."""
    if isinstance(address, IPv4Address):
        return next((name for network, name in _V4 if address in network), None)
    if address in _COMPATIBLE and int(address) <= 1:  # :: and ::1
        return _verdict_v6(address)
    inner = _embedded(address)
    for verdict_ in map(verdict, inner):
        if verdict_:
            return verdict_
    if inner and _carries_v4_packets(address):
        return None
    return _verdict_v6(address)


def _verdict_v6(address: IPv6Address) -> str | None:
    for network, name in _V6:
        if address in network:
            return name
    return None if address in _PUBLIC_V6 else "reserved"


def _carries_v4_packets(address: IPv6Address) -> bool:
    """Whether a connection to it goes to the IPv4 address inside, and to nowhere else."""
    nets = (_MAPPED, _NAT64, _LOCAL_NAT64, _SIX_TO_FOUR, _TEREDO)
    return any(address in network for network in nets)


def _embedded(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that someone on the way may read in an IPv6 one."""
    packed = address.packed
    if any(address in network for network in (_COMPATIBLE, _MAPPED, _TRANSLATED, _NAT64)):
        return [IPv4Address(packed[12:])]
    if address in _SIX_TO_FOUR:
        return [IPv4Address(packed[2:6])]
    if address in _TEREDO:  # RFC 4380 §4: the server, and the client with its bits inverted
        return [IPv4Address(packed[4:8]), IPv4Address(bytes(255 - byte for byte in packed[12:]))]
    if address in _LOCAL_NAT64:
        # RFC 6052 §2.2: where the address sits depends on the translator's prefix length, which we
        # cannot know, so that every reading must be public. Byte 8 is skipped.
        bits = packed[:8] + packed[9:]
        return [IPv4Address(bits[start : start + 4]) for start in (6, 7, 8)] + [IPv4Address(packed[12:])]
    if packed[8:12] in (
        b"\0\0\x5e\xfe",
        b"\2\0\x5e\xfe",
    ):  # ISATAP, RFC 5214 §6.1: under any prefix
        return [IPv4Address(packed[12:])]
    return []


def socket_factory(settings: OriginSettings) -> Callable[[AddressInfo], socket.socket]:
    """What makes the sockets of aiohttp's connector, or raises AddressRefused."""
    allowed = {name for name, field in _SETTINGS.items() if getattr(settings, field)}

    def make(info: AddressInfo) -> socket.socket:
        family, type_, protocol, _, sockaddr = info
        # A scope ("fe80::1%eth0") says through which interface, not whereto.
        kind = verdict(ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]))
        if kind and kind not in allowed:
            raise AddressRefused(kind)
        return socket.socket(family, type_, protocol)

    return make
