"""The purges that all nodes share, through Redis.

They stand in one hash: a field for each rule, with its generation, and ``generation``, the newest. A message wakes the
other nodes up and holds the one rule, so that the whole hash is read only by a node that missed something. Whoever
finds that Redis has lost rules (flushed, failed over, evicted) puts back those that it knows. Without Redis, a purge
gets a number of the node's own and holds there; it is published, with a new number, once Redis is back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from redis.exceptions import RedisError

from imgproxy.caches.base import TierDown
from imgproxy.caches.purges import STEP
from imgproxy.caches.shards import ask
from imgproxy.model import Purge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

    from imgproxy.caches.purges import Purges
    from imgproxy.caches.shards import Shards

_log = logging.getLogger("imgproxy.purge")

KEY = "imgproxy:1:purges"
"""The hash, and the channel."""

_NEWEST = "generation"
_PENDING = 10_000
"""Purges that wait for Redis. More of them become one of everything."""
_BATCH = 1_000
"""Rules in one look or one write: some milliseconds here and a fraction of one in Redis."""
_AGAIN_S = 0.25
"""Seconds until the next try after contact was lost. The circuit lets one through each second."""

# ARGV: floor, step, rule. Numbers are of microseconds: 2**53 is in the year 2255.
_PUBLISH = """
local time = redis.call('TIME')
local last = (tonumber(redis.call('HGET', KEYS[1], 'generation') or '0') or 0)
local step = tonumber(ARGV[2])
local base = math.max(last, tonumber(ARGV[1]), time[1] * 1000000 + time[2])
local mine = string.format('%.0f', (math.floor(base / step) + 1) * step)
redis.call('HSET', KEYS[1], 'generation', mine, ARGV[3], mine)
redis.call('PUBLISH', KEYS[1], string.format('%.0f', last) .. ' ' .. mine .. ' ' .. ARGV[3])
return {string.format('%.0f', last), mine}
"""

# ARGV: floor, step. A hash that nothing was written into yet, or that Redis has lost, begins now: whoever fetches from
# here on knows all purges that there were, and may say so to the edge.
_BEGIN = """
local time = redis.call('TIME')
local step = tonumber(ARGV[2])
local base = math.max(tonumber(ARGV[1]), time[1] * 1000000 + time[2])
if (tonumber(redis.call('HGET', KEYS[1], 'generation') or '0') or 0) == 0 then
  redis.call('HSET', KEYS[1], 'generation', string.format('%.0f', (math.floor(base / step) + 1) * step))
end
return {'0', redis.call('HGET', KEYS[1], 'generation')}
"""

# ARGV: how many rules to put back; their fields and generations; fields and generations of rules that others cover.
# Newer ones stay in both cases.
_MEND = """
local puts = tonumber(ARGV[1])
local before = redis.call('HGET', KEYS[1], 'generation') or '0'
local newest, changed = tonumber(before) or 0, false
for i = 2, #ARGV, 2 do
  local had = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0') or 0
  if i <= 2 * puts then
    if had < tonumber(ARGV[i + 1]) then
      redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
      newest, changed = math.max(newest, tonumber(ARGV[i + 1])), true
    end
  elseif had <= tonumber(ARGV[i + 1]) then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
-- A rule that was put back among newer ones is news to those who have seen the newest.
if changed and newest == tonumber(before) then newest = newest + 1 end
local mended = string.format('%.0f', newest)
redis.call('HSET', KEYS[1], 'generation', mended)
return {before, mended}
"""


class Bulletin:
    """A node's view of the shared purges. ``on_news`` is told of each that others made.

    ``shards`` should be patient (no limit of slowness, a limit of a second): purges are rare, and matter.
    """

    def __init__(
        self, shards: Shards, purges: Purges, on_news: Callable[[Purge], None], *, interval: float = 1.0
    ) -> None:
        self.synced = False
        """Whether all has been read since contact was last lost. Until then, remote tiers may hold what was purged."""
        self._shards = shards
        self._purges = purges
        self._on_news = on_news
        self._interval = interval
        self._seen = 0
        """The hash's newest generation, up to which everything in it is known here."""
        self._pending: dict[str, Purge] = {}
        self._syncing = asyncio.Lock()

    @property
    def pending(self) -> int:
        """How many purges wait for Redis."""
        return len(self._pending)

    async def publish(self, purge: Purge) -> Purge:
        """The purge with its number, in force here and, as soon as Redis can be reached, everywhere."""
        try:
            return await self._publish(purge)
        except TierDown:
            self.synced = False
            issued = self._purges.issue(purge)
            self._wait_for_redis(issued)
            return issued
        except asyncio.CancelledError:
            # May have been heard by Redis or not; who is told twice is told the same.
            self._wait_for_redis(self._purges.issue(purge))
            raise

    async def run(self) -> None:
        """Learn what others purge, for as long as this is not cancelled. Never raises anything else."""
        while True:
            try:
                async with self._subscription() as subscription:
                    while await self._sync():
                        if subscription is None or not await self._listen(subscription):
                            break
            except Exception:  # noqa: BLE001  a node that hears of no purges any more must not go on as if it did
                self.synced = False
                _log.exception("listening to purges failed in an unforeseen way, and begins anew")
            await asyncio.sleep(_AGAIN_S)

    async def sync(self) -> None:
        """Read what is new, put back what is missing, publish what waits. Raises ``TierDown``."""
        async with self._syncing:
            newest = await self._newest()
            if not newest:
                with suppress(TierDown):
                    _, newest = await self._run(_BEGIN, self._purges.newest, STEP)
            if newest != self._seen:
                await self._read_all(newest)
            self._purges.reach(newest)
            self.synced = True
            # A Redis that is full can be read all the same; what it does not take now waits for the next time.
            with suppress(TierDown):
                for field, purge in tuple(self._pending.items()):
                    await self._publish(purge)
                    if self._pending.get(field) is purge:
                        del self._pending[field]

    async def _sync(self) -> bool:
        try:
            await self.sync()
        except TierDown:
            self.synced = False
        return self.synced

    async def _publish(self, purge: Purge) -> Purge:
        field = _field(purge)
        last, generation = await self._run(_PUBLISH, self._purges.newest, STEP, field)
        numbered = replace(purge, generation=generation)
        self._purges.learn(numbered)
        self._follow(last, generation)
        return numbered

    def _follow(self, last: int, generation: int) -> None:
        """Note that the hash has come from ``last`` to ``generation`` by a rule that is known here."""
        # If anything else came in between, the next sync finds another generation than the one seen, and reads all.
        if self._seen == last:
            self._seen = generation

    def _wait_for_redis(self, purge: Purge) -> None:
        self._pending[_field(purge)] = purge
        if len(self._pending) > _PENDING:
            soft = all(waiting.soft for waiting in self._pending.values())
            self._pending.clear()
            everything = self._purges.issue(Purge("all", "", soft))
            self._pending[_field(everything)] = everything

    async def _newest(self) -> int:
        newest = await self._shards.call(KEY, lambda client: ask(client, "HGET", KEY, _NEWEST))
        return _number(newest)

    async def _run(self, script: str, *arguments: str | int) -> tuple[int, int]:
        """A script on the hash: its generation before and after."""

        async def run(client: Redis) -> tuple[int, int]:
            before, after = cast("list[bytes]", await client.eval(script, 1, KEY, *arguments))
            return int(before), int(after)

        return await self._shards.call(KEY, run)

    async def _read_all(self, newest: int) -> None:
        """Learn every rule of the hash, which has come at least as far as ``newest``, and mend it."""
        theirs: dict[str, int] = {}
        cursor: int | None = None
        while cursor != 0:
            cursor, fields = await self._shards.call(KEY, lambda client, at=cursor or 0: _look(client, at))
            for field, generation in fields.items():
                theirs[field] = generation
                self._learn(field, generation)
        self._seen = newest
        try:
            await self._mend(theirs)
        except TierDown:
            self._seen = -1  # read again, mend again

    async def _mend(self, theirs: dict[str, int]) -> None:
        """Make the hash say what is known here."""
        # Numbers of our own are not for others: those purges are pending, or have been published under another.
        ours = {_field(purge): purge.generation for purge in self._purges}
        puts = [(f, number) for f, number in ours.items() if number % STEP == 0 and theirs.get(f, 0) < number]
        # What is not held here although it was just learnt has become part of a purge of everything.
        covered = [(field, number) for field, number in theirs.items() if field not in ours]
        for start in range(0, len(puts), _BATCH):
            await self._write(puts[start : start + _BATCH], ())
        for start in range(0, len(covered), _BATCH):
            await self._write((), covered[start : start + _BATCH])

    async def _write(self, puts: Sequence[tuple[str, int]], covered: Sequence[tuple[str, int]]) -> None:
        pairs = (part for pair in (*puts, *covered) for part in pair)
        self._follow(*await self._run(_MEND, len(puts), *pairs))

    def _learn(self, field: str, generation: int) -> None:
        with suppress(ValueError, TypeError):
            kind, soft, value = json.loads(field)
            if kind in ("tag", "prefix", "all") and isinstance(value, str):
                purge = Purge(kind, value, bool(soft), generation)
                if self._purges.learn(purge):
                    self._on_news(purge)

    async def _listen(self, subscription: PubSub) -> bool:
        """Hear messages until it is time to look at the hash again; False if the connection is lost."""
        until = time.monotonic() + self._interval
        try:
            while True:
                left = max(0.001, until - time.monotonic())
                # redis-py would reconnect in here, and wait for that without a limit.
                async with asyncio.timeout(left + self._interval):
                    heard = await subscription.get_message(ignore_subscribe_messages=True, timeout=left)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                if heard is not None and not self._hear(cast("dict[str, bytes]", heard)["data"]):
                    return True
                # In a storm of purges, first all that has come: each look at the hash would find it further on.
                if heard is None and time.monotonic() >= until:
                    return True
        except (RedisError, OSError, ValueError):
            return False

    def _hear(self, message: bytes) -> bool:
        """Learn the rule that a message holds; whether nothing was missed before it."""
        try:
            last, generation, field = message.decode().split(" ", 2)
            self._learn(field, int(generation))
            self._follow(int(last), int(generation))
        except ValueError:
            return False
        return self._seen >= int(generation)

    @asynccontextmanager
    async def _subscription(self) -> AsyncGenerator[PubSub | None]:
        """A subscription, or None if there is none to be had: then there is still the hash to be looked at."""
        subscription: PubSub | None = None
        try:
            subscription = await self._subscribe()
            yield subscription
        finally:
            if subscription is not None:
                with suppress(RedisError, OSError):
                    await subscription.aclose()

    async def _subscribe(self) -> PubSub | None:
        # In a cluster, what is published at one server is heard at all.
        with suppress(TierDown):
            for shard in await self._shards.all():
                if shard.circuit.state != "closed":
                    continue
                subscription = shard.client.pubsub()  # pyright: ignore[reportUnknownMemberType]
                try:
                    await shard.call(lambda _, on=subscription: on.subscribe(KEY))
                except BaseException as error:
                    with suppress(RedisError, OSError):
                        await subscription.aclose()
                    if not isinstance(error, TierDown):
                        raise
                else:
                    return subscription
        return None


async def _look(client: Redis, cursor: int) -> tuple[int, dict[str, int]]:
    """Some of the rules, and where to go on."""
    found = await ask(client, "HSCAN", KEY, cursor, "COUNT", _BATCH)
    cursor, fields = cast("tuple[int, dict[bytes, bytes]]", found)
    return cursor, {
        name.decode(errors="replace"): _number(value) for name, value in fields.items() if name != _NEWEST.encode()
    }


def _number(text: object) -> int:
    """A generation as Redis has it; 0 for what is none: somebody else's, or a wrong bit."""
    try:
        return max(0, int(cast("bytes", text or b"0")))
    except (ValueError, TypeError):
        return 0


def _field(purge: Purge) -> str:
    """The rule that a purge sets, whatever its number."""
    return json.dumps([purge.kind, purge.soft, purge.value])
