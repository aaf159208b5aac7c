"""Rates: token buckets for clients and for keys, and who a client is. Pure, but for what the buckets remember."""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from imgproxy.environment import RoomSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

Network = IPv4Network | IPv6Network

KEPT = 10_000
"""Buckets that are remembered: 1.5 MB. Who is forgotten starts with a full bucket, so many addresses buy little."""


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(each.strip()) for each in value.split(",") if each.strip())
    except ValueError as cause:
        raise ValueError(f"expected addresses or networks such as 10.0.0.0/8, separated by commas: {cause}") from None


class RateSettings(RoomSettings):
    """How often one client, or one signing key, may have something made. Answers from memory do not count."""

    client_rate: float = Field(
        default=0, ge=0, description="Images a second that one client may have made; more get 429. 0: no limit."
    )
    client_burst: int = Field(default=50, ge=1, description="Images that one client may have made at once before that.")
    key_rate: float = Field(
        default=0, ge=0, description="Images a second that may be made for one signing key; more get 429. 0: no limit."
    )
    key_burst: int = Field(default=500, ge=1, description="Images that may be made for one key at once before that.")
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = Field(
        default=(),
        description="Networks of the proxies before this server, such as `10.0.0.0/8`: the client is whom they name in "
        "`X-Forwarded-For`. A unix socket is always trusted.",
    )


class Buckets:
    """A bucket of ``burst`` tokens for each key, refilled with ``rate`` tokens a second. A rate of 0: no limits.

    Only the moment is kept at which a bucket will be full again (GCRA), for the ``most`` keys that asked last.
    """

    def __init__(self, rate: float, burst: int, most: int = KEPT) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._tolerance = (burst - 1) * self._interval
        self._most = most
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        self.refused = 0
        """How often a bucket was empty."""

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: Hashable, now: float) -> float:
        """0 if there was a token, and it is taken; else the seconds until there will be one.

        ``now`` is monotonic. Asking too early costs nothing.
        """
        if not self._interval:
            return 0.0
        full_at = max(self._full_at.get(key, now), now)
        if (wait := full_at - now - self._tolerance) > _ROUNDING_S:
            self.refused += 1
            return wait
        self._full_at[key] = full_at + self._interval
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
        return 0.0


_ROUNDING_S = 1e-6
"""What sums of floats may be wrong by: a bucket that is full to a nanosecond is full."""


class Rates:
    """The buckets of clients and of signing keys. ``now`` is monotonic, in seconds."""

    def __init__(self, settings: RateSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._clients = Buckets(settings.client_rate, settings.client_burst)
        self._keys = Buckets(settings.key_rate, settings.key_burst)
        self._now = now

    @property
    def refused(self) -> dict[str, int]:
        """How often a bucket was empty: a "client"'s or a "key"'s."""
        return {"client": self._clients.refused, "key": self._keys.refused}

    def take(self, client: str, key: int | None) -> float:
        """0 if this client may have one more image made for this key, else the seconds to wait."""
        now = self._now()
        return self._clients.take(client, now) or self._keys.take(key, now)


# A client asks more than once.
@lru_cache(maxsize=1024)
def address_of(peer: str | None, forwarded_for: str, trusted: tuple[Network, ...]) -> str:
    """The address of the client behind a connection from ``peer`` (None: a unix socket).

    Proxies append to X-Forwarded-For whom they were asked by, so it is read from the right: the first address
    that is no trusted proxy's is the client. What stands left of that is the client's own invention.
    """
    client = _address(peer) if peer else None
    if peer and (client is None or not _is_among(client, trusted)):
        return str(client or peer)
    for each in reversed(forwarded_for.split(",")):
        before = _address(each)
        if before is None:  # a proxy that does not say: what it forwarded is unknown from here on
            break
        client = before
        if not _is_among(client, trusted):
            break
    return str(client) if client else ""


@lru_cache(maxsize=1024)
def client_of(peer: str | None, forwarded_for: str, trusted: tuple[Network, ...]) -> str:
    """Whom requests are counted for: an IPv4 address, or a network of IPv6.

    A /64 is what one household or one machine has; its single addresses can be changed at will.
    """
    address = address_of(peer, forwarded_for, trusted)
    parsed = _address(address)
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address


def _is_among(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, with or without a port: ``1.2.3.4:80``, ``[::1]:80``; IPv4 inside IPv6 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
