"""The hint that one node is making a result, so that others wait for it a little instead of making it, too.

A hint and no lock: Redis may forget it, or fail over and never have heard of it, and then two nodes do the same work
once. Nothing is wrong with what they make.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from imgproxy.caches.base import TierDown

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from redis.asyncio import Redis

    from imgproxy.caches.shards import Shards

TTL = 2.0
"""Seconds that a lease lasts: as long as others wait in vain if its holder dies. Renewed by who needs longer."""

RENEW_EVERY = 0.6
"""Seconds between renewals: two of them may be lost."""

_LEASE = "imgproxy:1:l:"
_MS = int(TTL * 1000)

_RENEW = f"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], {_MS}) end return 0"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def new_token() -> str:
    return secrets.token_hex(8)


class Leases:
    """Leases in Redis. Every method raises ``TierDown`` if it cannot be asked."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def acquire(self, key: str, token: str | None = None) -> str | None:
        """The token that the lease is now held by (a new one if none is given), or None if another holds it."""
        token = token or new_token()

        async def take(client: Redis) -> object:
            return await client.set(_LEASE + key, token, nx=True, px=_MS)

        return token if await self._shards.call(_LEASE + key, take) else None

    async def renew(self, key: str, token: str) -> bool:
        """Whether the lease is still ours; if so, it lasts for another ``TTL``."""
        return await self._compare(_RENEW, key, token)

    async def keep(self, key: str, token: str) -> None:
        """Renew the lease for as long as it is ours, or until this is cancelled."""
        while True:
            await asyncio.sleep(RENEW_EVERY)
            with suppress(TierDown):
                if not await self.renew(key, token):
                    return

    async def release(self, key: str, token: str) -> bool:
        """Whether the lease was still ours; a stranger's token changes nothing."""
        return await self._compare(_RELEASE, key, token)

    async def give_back(self, key: str, token: str) -> None:
        """Release the lease, trying again for a while: others wait for as long as it stands."""
        for pause in (0.05, 0.2, 0.5):
            with suppress(TierDown):
                await self.release(key, token)
                return
            await asyncio.sleep(pause)

    async def held(self, key: str) -> bool:
        """Whether somebody, perhaps ourselves, holds the lease."""
        return await self._shards.call(_LEASE + key, lambda client: client.exists(_LEASE + key)) > 0

    async def _compare(self, script: str, key: str, token: str) -> bool:
        def run(client: Redis) -> Awaitable[int]:
            return cast("Awaitable[int]", client.eval(script, 1, _LEASE + key, token))

        return await self._shards.call(_LEASE + key, run) == 1
