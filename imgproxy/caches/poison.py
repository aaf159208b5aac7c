"""The poison list: sources that end render processes, refused for a while instead of tried again and again.

A picture that crashes a decoder costs a process each time. The second time it is put on the list, on this node and,
through Redis, on all: requests for it are refused before they cost another one. Until a source has been rendered once,
at most two renders of it run at a time, and after a crash one: so not even a rush of different sizes can end more
processes than it takes to know it. The count is of a version of the source: another picture under the same URL has
a clean record, and so has the old one after a purge. Processes that are killed from outside say nothing of what they
rendered, unless the second try is killed, too.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import OrderedDict
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from imgproxy.caches.base import TierDown
from imgproxy.errors import SourcePoisoned

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from redis.asyncio import Redis

    from imgproxy.caches.shards import Shards
    from imgproxy.model import Provenance

KILLS = 2
"""Processes that a source may end. One may have been the machine's fault."""
SECONDS = 3600.0
"""How long it is refused, give or take a fifth."""
_PARDON_S = 60.0
"""How long a process counts that ended over a source which then was rendered: it was probably somebody else's fault."""
_MOST = 10_000
_MOST_PROVEN = 50_000
_PREFIX = "imgproxy:1:x:"

# The count, which starts anew where a purge came after the last one.
_COUNT = """
if tonumber(redis.call('HGET', KEYS[1], 'g') or '-1') < tonumber(ARGV[1]) then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'g', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'n', 1)
"""


@dataclass(frozen=True, slots=True)
class _Record:
    kills: int
    until: float
    generation: int


@dataclass(slots=True)
class _Trial:
    users: int = 0
    running: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self) -> None:
        """Have all who wait look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Poison:
    """How many render processes each source has ended. ``shards``: Redis, for all nodes; None: for this one only.

    A subject is a version of a source, and what was asked of it if only that is to blame; ``subject_of`` gives one.
    """

    def __init__(self, shards: Shards | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._shards = shards
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._proven: OrderedDict[str, None] = OrderedDict()
        self._trials: dict[str, _Trial] = {}

    @property
    def entries(self) -> int:
        """Subjects that are refused here."""
        now = self._clock()
        return sum(record.kills >= KILLS and record.until > now for record in self._records.values())

    async def check(self, subject: str, generation: int) -> None:
        """Raise ``SourcePoisoned`` if the subject is on the list; ``generation``: the newest purge that concerns it."""
        if subject in self._proven and subject not in self._records:
            return
        kills = self._known(subject, generation)
        if kills < KILLS and self._shards is not None:
            try:
                kills = max(kills, await self._ask(subject, generation))
            except TierDown:
                pass  # this node's own list is what is left
            else:
                if kills >= KILLS:
                    self._note(subject, kills, generation)
        if kills >= KILLS:
            raise SourcePoisoned(f"it has ended {kills} render processes")

    async def blame(self, subject: str, generation: int) -> int:
        """Count a process that ended over the subject; how many they are now."""
        self._proven.pop(subject, None)
        kills = self._known(subject, generation) + 1
        self._note(subject, kills, generation)
        if self._shards is not None:
            try:
                shared = await self._shards.call(_PREFIX + subject, self._count(subject, generation))
            except TierDown:
                return kills
            if shared > kills:
                kills = shared
                self._note(subject, kills, generation)
        return kills

    def acquit(self, subject: str) -> None:
        """The subject was rendered: its trials are over."""
        if subject in self._trials:
            self._trials[subject].change()
        self._proven[subject] = None
        self._proven.move_to_end(subject)
        if len(self._proven) > _MOST_PROVEN:
            self._proven.popitem(last=False)

    @asynccontextmanager
    async def trial(self, subject: str) -> AsyncGenerator[None]:
        """A render of the subject, inside: until one has succeeded, no more run at a time than may go wrong."""
        if subject in self._proven:
            yield
            return
        trial = self._trials.setdefault(subject, _Trial())
        trial.users += 1
        try:
            # Of those that run, each may end a process: together with those that did, no more than may be.
            while subject not in self._proven and trial.running >= max(1, KILLS - self._count_of(subject)):
                await trial.changed.wait()
            trial.running += 1
            try:
                yield
            finally:
                trial.running -= 1
                trial.change()
        finally:
            trial.users -= 1
            if not trial.users:
                del self._trials[subject]

    async def pardon(self, subject: str) -> None:
        """It went well the second time: what happened the first time is soon forgotten."""
        record = self._records.get(subject)
        if record is not None and record.kills < KILLS:
            until = min(record.until, self._clock() + _PARDON_S)
            self._records[subject] = _Record(record.kills, until, record.generation)
        if self._shards is not None:
            with suppress(TierDown):
                await self._shards.call(
                    _PREFIX + subject, lambda client: client.pexpire(_PREFIX + subject, int(1000 * _PARDON_S), lt=True)
                )

    def _count_of(self, subject: str) -> int:
        record = self._records.get(subject)
        return record.kills if record is not None and record.until > self._clock() else 0

    def _known(self, subject: str, generation: int) -> int:
        record = self._records.get(subject)
        if record is None:
            return 0
        if record.until <= self._clock() or record.generation < generation:
            del self._records[subject]
            return 0
        return record.kills

    def _note(self, subject: str, kills: int, generation: int) -> None:
        self._records.pop(subject, None)
        self._records[subject] = _Record(kills, self._clock() + _lasting(), generation)
        if len(self._records) > _MOST:
            self._records.popitem(last=False)

    async def _ask(self, subject: str, generation: int) -> int:
        async def ask(client: Redis) -> list[bytes | None]:
            return await cast("Awaitable[list[bytes | None]]", client.hmget(_PREFIX + subject, ["n", "g"]))  # pyright: ignore[reportUnknownMemberType]

        assert self._shards is not None  # noqa: S101 - asked by the caller
        answer = await self._shards.call(_PREFIX + subject, ask)
        try:
            count, known = answer
            return int(count) if count and int(known or -1) >= generation else 0
        except (TypeError, ValueError):  # damaged on the way, or somebody else's
            return 0

    def _count(self, subject: str, generation: int) -> Callable[[Redis], Awaitable[int]]:
        async def count(client: Redis) -> int:
            seconds = int(1000 * _lasting())
            answer = await cast(
                "Awaitable[int]", client.eval(_COUNT, 1, _PREFIX + subject, str(generation), str(seconds))
            )
            if type(answer) is not int:  # damaged on the way
                raise TierDown("the answer is no count")
            return answer

        return count


def subject_of(told: Provenance, plan_key: str = "") -> str:
    """A version of a source, and the plan if only that is to blame, as a digest."""
    parts = (told.url, told.validators.etag, told.validators.last_modified, told.digest, plan_key)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _lasting() -> float:
    # Jitter: what nodes refused together they do not try again together.
    return SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
