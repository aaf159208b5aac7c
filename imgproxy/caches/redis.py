"""The tier that the nodes of a region share: Redis, through aiocache.

Keys begin with ``imgproxy:1:``, where 1 is the version of all that is written here and in ``leases.py`` and
``bulletin.py``: ``r:`` are results, ``t:`` is for each tag the keys that carry it (sorted by when they expire),
``u:`` for each source its URL, so that what came of URLs with a prefix can be found. Nothing else is touched: the
server may be shared with others.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

from aiocache import RedisCache  # pyright: ignore[reportMissingTypeStubs]
from aiocache.serializers import BaseSerializer  # pyright: ignore[reportMissingTypeStubs]
from redis.exceptions import ResponseError

from imgproxy.caches.base import TierDown, source_id
from imgproxy.caches.codec import seal, unseal
from imgproxy.caches.shards import ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from redis.asyncio import Redis

    from imgproxy.caches.shards import Shard, Shards
    from imgproxy.model import Entry

PREFIX = "imgproxy:1:"

_RESULTS = f"{PREFIX}r"
_TAG = f"{PREFIX}t:"
_URL = f"{PREFIX}u:"

_LONGEST_S = 365 * 86400.0
_BATCH = 500
"""Keys in one look of a purge: about a millisecond of the server's time, which is everybody's."""
_AT_ONCE = 16
_DROP_S = 2.0
"""Seconds that a purge looks for entries. What it does not find is hidden all the same, and expires."""

# All keys of the index that one entry needs, each with an expiry of at least the entry's. A tag's set forgets what
# has expired, a little at each write, or that of a busy host would grow for ever.
_NOTE = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs(KEYS) do
  if string.sub(key, 1, {len(_URL)}) == '{_URL}' then
    if redis.call('PTTL', key) < tonumber(ARGV[1]) then redis.call('SET', key, ARGV[3], 'PX', ARGV[1]) end
  else
    redis.call('ZADD', key, now + ARGV[1], ARGV[2])
    local gone = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, 100)
    if #gone > 0 then redis.call('ZREM', key, unpack(gone)) end
    redis.call('PEXPIREAT', key, redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
  end
end
"""


class RedisTier:
    """Results in Redis. ``on_damage`` is told of each that was there but not as it was put."""

    name = "redis"

    def __init__(self, shards: Shards, *, max_value_size: int, on_damage: Callable[[], None] | None = None) -> None:
        self._shards = shards
        self._max_value_size = max_value_size
        self._on_damage = on_damage
        self._caches: dict[Redis, _Cache] = {}

    async def get(self, key: str) -> Entry | None:
        async def read(client: Redis) -> object:
            try:
                return await self._cache(client).get(key)
            except ResponseError as error:
                if str(error).startswith("WRONGTYPE"):
                    return b""  # somebody else's key under our name: as damaged as can be
                raise

        data = await self._shards.call(_result(key), read)
        if data is None:
            return None
        entry = unseal(key, data) if isinstance(data, bytes) else None
        if entry is None:
            if self._on_damage is not None:
                self._on_damage()
            with suppress(TierDown):
                await self.remove(key)
        return entry

    async def put(self, key: str, entry: Entry, seconds: float) -> None:
        seconds = min(seconds, _LONGEST_S)
        data = seal(key, entry) if len(entry.rendition.body) <= self._max_value_size else b""
        if seconds < 0.001 or not 0 < len(data) <= self._max_value_size:
            await self.remove(key)  # what it would have replaced must not outlive it
            return
        # The index first: what it names too much costs nothing, what it lacks could not be found for a purge.
        await self._note(key, entry, seconds)

        async def write(client: Redis) -> None:
            await self._cache(client).set(key, data, seconds)

        await self._shards.call(_result(key), write)

    async def remove(self, key: str) -> None:
        await self._shards.call(_result(key), lambda client: client.unlink(_result(key)))

    async def drop(self, tag: str) -> int:
        return await self._drop(tag, time.monotonic() + _DROP_S)

    async def drop_prefix(self, prefix: str) -> int:
        """Remove what came of sources whose URLs begin with ``prefix``; how many entries went."""
        wanted = _bytes(prefix)
        until = time.monotonic() + _DROP_S
        dropped = 0

        async def urls_of(client: Redis, keys: Sequence[bytes]) -> list[bytes | None]:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key)
            return await pipeline.execute()

        async for shard, keys in self._scan(f"{_URL}*", until):
            urls = await shard.call(lambda client, keys=keys: urls_of(client, keys))
            for key, url in zip(keys, urls, strict=True):
                if url is not None and url.startswith(wanted):
                    dropped += await self._drop(f"source-{key.decode().removeprefix(_URL)}", until)
        return dropped

    async def drop_all(self) -> int:
        """Remove everything but leases and purges; how many entries went."""
        until = time.monotonic() + _DROP_S
        dropped = 0

        async def unlink(client: Redis, keys: Sequence[bytes]) -> list[int]:
            # Each by itself: in a cluster, even keys at the same server must not be named together.
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.unlink(key)
            return await pipeline.execute()

        async for shard, keys in self._scan(f"{PREFIX}[rtu]:*", until):
            gone = await shard.call(lambda client, keys=keys: unlink(client, keys))
            dropped += sum(count for key, count in zip(keys, gone, strict=True) if key.startswith(_RESULTS.encode()))
        return dropped

    async def aclose(self) -> None:
        """Nothing: the connections belong to whoever made them, and leases use them, too."""

    async def _note(self, key: str, entry: Entry, seconds: float) -> None:
        url = entry.provenance.url
        keys = [*map(_tag, entry.tags), f"{_URL}{source_id(url)}"]
        arguments = (max(1, int(seconds * 1000)), key, _bytes(url))
        for batch in self._shards.batches(keys):
            await self._shards.call(
                batch[0], lambda client, batch=batch: client.eval(_NOTE, len(batch), *batch, *arguments)
            )

    async def _drop(self, tag: str, until: float) -> int:
        index, dropped = _tag(tag), 0

        async def look(client: Redis) -> list[bytes]:
            return cast("list[bytes]", await ask(client, "ZRANGE", index, 0, _BATCH - 1))

        while time.monotonic() < until:
            members = await self._shards.call(index, look)
            if not members:
                break
            dropped += await self._unlink([_result(member.decode()) for member in members])
            await self._shards.call(index, lambda client, members=members: client.zrem(index, *members))
        return dropped

    async def _unlink(self, keys: Sequence[str]) -> int:
        """Remove results. A server that is down has nothing to be found at, so that it keeps its own for now."""

        async def unlink(batch: Sequence[str]) -> int:
            with suppress(TierDown):
                return await self._shards.call(batch[0], lambda client: client.unlink(*batch))
            return 0

        batches = list(self._shards.batches(keys))
        gone = 0
        for start in range(0, len(batches), _AT_ONCE):
            gone += sum(await asyncio.gather(*map(unlink, batches[start : start + _AT_ONCE])))
        return gone

    async def _scan(self, pattern: str, until: float) -> AsyncIterator[tuple[Shard, list[bytes]]]:
        """Keys of the pattern, by server; those of servers that are down are left out, unless all are."""
        down = 0
        shards = await self._shards.all()
        for shard in shards:
            cursor = 0
            try:
                while time.monotonic() < until:

                    async def look(client: Redis, cursor: int = cursor) -> tuple[int, list[bytes]]:
                        found = await ask(client, "SCAN", cursor, "MATCH", pattern, "COUNT", _BATCH)
                        return cast("tuple[int, list[bytes]]", found)

                    cursor, keys = await shard.call(look)
                    if keys:
                        yield shard, keys
                    if not cursor:
                        break
            except TierDown:
                down += 1
                if down == len(shards):
                    raise

    def _cache(self, client: Redis) -> _Cache:
        if client not in self._caches:
            self._caches[client] = cast("_Cache", _Backend(client))
        return self._caches[client]


class _Cache(Protocol):
    """What is used of aiocache, which has no types. It puts keys into the namespace."""

    async def get(self, key: str) -> object: ...
    async def set(self, key: str, value: bytes, ttl: float) -> object: ...


class _Backend(RedisCache):
    """aiocache's Redis over a client of ours: its own knows neither Sentinels nor clusters."""

    def __init__(self, client: Redis) -> None:
        # No limit of its own: that would be a task more around each operation, and the circuit has one.
        super().__init__(serializer=_Bytes(), namespace=_RESULTS, timeout=None)  # pyright: ignore[reportUnknownMemberType]
        self.client = client

    async def _set(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, key: str, value: bytes, ttl: float, _cas_token: None = None, _conn: None = None
    ) -> object:
        # aiocache 0.12 calls PSETEX, which redis-py 8 warns of.
        return await self.client.set(key, value, px=max(1, int(ttl * 1000)))


class _Bytes(BaseSerializer):
    """Bytes as they are; aiocache's own serializers would decode pictures as UTF-8."""

    DEFAULT_ENCODING = None

    def dumps(self, value: bytes) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        return value

    def loads(self, value: bytes | None) -> bytes | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return value


def _result(key: str) -> str:
    return f"{_RESULTS}:{key}"


def _tag(tag: str) -> str:
    return f"{_TAG}{tag.encode('ascii', 'backslashreplace').decode()}"


def _bytes(url: str) -> bytes:
    return url.encode("utf-8", "surrogateescape")
