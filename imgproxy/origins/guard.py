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
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgproxy.origins.base import OriginSettings

    AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
    """What getaddrinfo() gives: family, type, protocol, canonical name, socket address."""

Rows = tuple[tuple[IPv4Network | IPv6Network, str], ...]


def _rows(version: type[IPv4Network] | type[IPv6Network], *classes: tuple[str, str]) -> Rows:
    return tuple((version(network), name) for name, networks in classes for network in networks.split())


# The first network that holds an address names its class. Metadata services come first: they stay refused where the
# link-local or private network around them is allowed. Everything else is from IANA's registries of special-purpose
# addresses; what can be reached there (192.0.0.9, 2001:1::1, AS112, AMT, ORCHID) serves no images.
V4: Rows = _rows(
    IPv4Network,
    (
        "metadata",
        # AWS, GCP, Azure and many more, with their name and time servers; AWS ECS and EKS; Tencent; Scaleway
        "169.254.169.0/24 169.254.170.0/24 169.254.0.23 169.254.42.42"
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
    ("reserved", "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.175.48.0/24 240.0.0.0/4"),
)
V6: Rows = _rows(
    IPv6Network,
    # those of AWS (254, 23 and others), GCP, Oracle, Scaleway, Akamai and OpenStack
    ("metadata", "fd00:ec2::/32 fd20:ce::254 fd00:c1::a9fe:a9fe fd00:42::42 fd00:a9fe:a9fe::1 fe80::a9fe:a9fe"),
    ("unspecified", "::"),
    ("loopback", "::1"),
    ("link_local", "fe80::/10"),
    ("private", "fc00::/7"),
    ("multicast", "ff00::/8"),
    ("documentation", "2001:db8::/32 3fff::/20"),
    ("benchmark", "2001:2::/48"),
    ("reserved", "2001::/23 2620:4f:8000::/48"),  # IETF protocols (ORCHID, AMT, ...); AS112
)
PUBLIC_V6 = IPv6Network("2000::/3")
"""All that IANA has given out as global unicast: what lies outside is refused without a row of its own."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """A kind of IPv6 address that has IPv4 addresses inside.

    ``carried``: a connection to it goes to the IPv4 address, and to nowhere else, so that it is as public as that.
    """

    network: IPv6Network
    inner: Callable[[bytes], tuple[bytes, ...]]
    carried: bool = True


def _last(packed: bytes) -> tuple[bytes, ...]:
    return (packed[12:],)


def _teredo(packed: bytes) -> tuple[bytes, ...]:
    """RFC 4380 §4: the server, and the client with its bits inverted."""
    return packed[4:8], bytes(255 - byte for byte in packed[12:])


def _local_nat64(packed: bytes) -> tuple[bytes, ...]:
    """RFC 6052 §2.2: every reading, as the prefix length of the translator cannot be known. Byte 8 is skipped."""
    bits = packed[:8] + packed[9:]
    return (*(bits[start : start + 4] for start in (6, 7, 8)), packed[12:])


EMBEDDINGS = (
    Embedding(IPv6Network("::/96"), _last, carried=False),  # IPv4-compatible, RFC 4291 §2.5.5.1
    Embedding(IPv6Network("::ffff:0:0/96"), _last),  # IPv4-mapped
    Embedding(IPv6Network("::ffff:0:0:0/96"), _last, carried=False),  # SIIT, RFC 2765
    Embedding(IPv6Network("64:ff9b::/96"), _last),  # NAT64, RFC 6052
    Embedding(IPv6Network("64:ff9b:1::/48"), _local_nat64),  # local NAT64, RFC 8215
    Embedding(IPv6Network("2002::/16"), lambda packed: (packed[2:6],)),  # 6to4
    Embedding(IPv6Network("2001::/32"), _teredo),
)
ISATAP = (b"\0\0\x5e\xfe", b"\2\0\x5e\xfe")
"""Bytes 8 to 12 of an address with an IPv4 address behind them, under any prefix (RFC 5214 §6.1)."""

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
        return _class(address, V4)
    if int(address) <= 1:  # :: and ::1 are not IPv4-compatible ones
        return _class(address, V6)
    embedding = next((each for each in EMBEDDINGS if address in each.network), None)
    for inner in embedding.inner(address.packed) if embedding else _isatap(address.packed):
        if kind := verdict(IPv4Address(inner)):
            return kind
    if embedding is not None and embedding.carried:
        return None
    return _class(address, V6) or (None if address in PUBLIC_V6 else "reserved")


def _class(address: IPv4Address | IPv6Address, rows: Rows) -> str | None:
    return next((name for network, name in rows if address in network), None)


def _isatap(packed: bytes) -> tuple[bytes, ...]:
    return _last(packed) if packed[8:12] in ISATAP else ()


def socket_factory(settings: OriginSettings) -> Callable[[AddressInfo], socket.socket]:
    """What makes the sockets of aiohttp's connector, or raises AddressRefused."""
    check = checker(settings)

    def make(info: AddressInfo) -> socket.socket:
        family, type_, protocol, _, sockaddr = info
        check(str(sockaddr[0]))
        return socket.socket(family, type_, protocol)

    return make


def checker(settings: OriginSettings) -> Callable[[str], None]:
    """What raises AddressRefused for an address, as text, that the settings do not allow."""
    allowed = {name for name, field in _SETTINGS.items() if getattr(settings, field)}

    def check(address: str) -> None:
        # A scope ("fe80::1%eth0") says through which interface, not whereto.
        kind = verdict(ipaddress.ip_address(address.partition("%")[0]))
        if kind and kind not in allowed:
            raise AddressRefused(kind)

    return check
