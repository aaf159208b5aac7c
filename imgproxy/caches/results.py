"""The results that are remembered: memory first, then the tiers that nodes share. A tier that fails is a miss."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from imgproxy.caches.base import SKEW_S, TierDown
from imgproxy.caches.purges import Marks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgproxy.caches.base import Tier
    from imgproxy.caches.behind import Behind, Write
    from imgproxy.caches.memory import Memory
    from imgproxy.caches.purges import Purges
    from imgproxy.model import Caching, Entry, Lifetime


class Use(Enum):
    """What an entry is good for."""

    FRESH = "hit"
    STALE = "stale"
    """To be answered with, while the origin is asked."""
    SPARE = "spare"
    """To be answered with only if the origin does not answer."""
    SPENT = "expired"
    """To be renewed only, if the origin says that its source is still the same."""

    def at_once(self, *, patient: bool = False) -> bool:
        """Whether it is answered with before anybody is asked; the ``patient`` rather wait than take a stale one."""
        return self is Use.FRESH or (self is Use.STALE and not patient)


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry in a tier, and what it is good for now."""

    entry: Entry
    tier: str
    use: Use
    age: float
    """Seconds since the origin vouched for it."""
    ttl: float
    """Seconds that it stays fresh; negative or zero when it is not."""


class Results:
    """All tiers together.

    ``shared``: the tiers beyond memory, nearest first. ``trusted``: whether this node knows what was purged; until it
    does, it asks no shared tier. ``now``: Unix seconds.
    """

    def __init__(
        self,
        memory: Memory,
        shared: Sequence[Tier],
        behind: Behind,
        purges: Purges,
        *,
        lifetime: Callable[[Caching], Lifetime],
        trusted: Callable[[], bool],
        now: Callable[[], float],
    ) -> None:
        self._memory = memory
        self._shared = shared
        self._behind = behind
        self._purges = purges
        self._lifetime = lifetime
        self._trusted = trusted
        self._now = now
        self.asked: Counter[tuple[str, str]] = Counter()
        """How often each tier was asked, by what it said: a `Use`'s value, "miss", "purged" or "down"."""

    @property
    def shares(self) -> bool:
        """Whether there is more to ask than memory."""
        return bool(self._shared)

    def recall(self, key: str, marks: Marks) -> Hit | None:
        """What memory holds under ``key``, as far as the purges ``marks`` leave it of use."""
        return self._judged(key, self._memory.find(key), self._memory.name, marks)

    async def look_up(self, key: str, marks: Marks, *, nearest: bool = False) -> Hit | None:
        """What the shared tiers hold, or only the nearest of them (once more); it is kept in those before it too."""
        if not self._trusted():
            return None
        best: Hit | None = None
        for place, tier in enumerate(self._shared[:1] if nearest else self._shared):
            try:
                entry = await tier.get(key)
            except TierDown:
                self.asked[tier.name, "down"] += 1
                continue
            hit = self._judged(key, entry, tier.name, marks, again=nearest)
            if hit is None:
                continue
            if hit.use.at_once():
                self._copy(key, hit.entry, self._shared[:place])
                return hit
            best = hit if best is None or hit.age < best.age else best
        return best

    def hit(self, entry: Entry, tier: str, marks: Marks) -> Hit:
        """What an entry is good for."""
        told = entry.provenance
        lifetime = self._lifetime(told.caching)
        age = self._now() - told.checked_at
        ttl = lifetime.fresh - max(0.0, age)
        if told.generation < marks.soft or age < -SKEW_S:
            # Stale by decree, however young, or from a clock that is far ahead: its stale uses start now.
            ttl = min(ttl, 0.0)
        age = max(0.0, age)
        late = -ttl
        if ttl > 0:
            use = Use.FRESH
        elif late < lifetime.while_revalidate:
            use = Use.STALE
        elif late < lifetime.if_error:
            use = Use.SPARE
        else:
            use = Use.SPENT
        return Hit(entry, tier, use, age, ttl)

    def keep(self, key: str, entry: Entry, then: Write | None = None) -> bool:
        """Put the entry into all tiers, into the shared ones behind the answer; ``then`` is awaited after that.

        Whether any of them may keep it.
        """
        if self._lifetime(entry.provenance.caching).storable:
            return self._copy(key, entry, self._shared, then)
        # Nor may the older one stay, that this one stands for now.
        self.forget(key, then)
        return False

    def keep_here(self, key: str, entry: Entry) -> None:
        """Put the entry into memory only."""
        self._copy(key, entry, ())

    def later(self, do: Write | None) -> None:
        """Have something small done behind the answer; None is nothing."""
        if do is not None:
            self._behind.submit(0, do)

    def forget(self, key: str, then: Write | None = None) -> None:
        """Remove one entry everywhere, and do ``then`` after that."""
        self._memory.remove(key)

        async def remove() -> None:
            for tier in self._shared:
                with suppress(TierDown):
                    await tier.remove(key)
            if then is not None:
                await then()

        self._behind.submit(0, remove)

    def _copy(self, key: str, entry: Entry, shared: Sequence[Tier], then: Write | None = None) -> bool:
        lifetime = self._lifetime(entry.provenance.caching)
        age = self._now() - entry.provenance.checked_at
        seconds = lifetime.fresh + max(lifetime.while_revalidate, lifetime.if_error) - age
        self._memory.keep(key, entry, seconds)

        async def write() -> None:
            failed: TierDown | None = None
            for tier in shared:
                try:
                    await tier.put(key, entry, seconds)
                except TierDown as error:
                    failed = error
            if then is not None:
                await then()
            if failed is not None:
                raise failed

        if (shared and not self._behind.submit(len(entry.rendition.body), write)) or not shared:
            self.later(then)
        return seconds > 0 or bool(shared)

    def _judged(self, key: str, entry: Entry | None, tier: str, marks: Marks, *, again: bool = False) -> Hit | None:
        """What an entry is good for, counted; ``again``: for a request that has been counted as a miss already."""
        if entry is None:
            if not again:
                self.asked[tier, "miss"] += 1
            return None
        told = entry.provenance
        if told.generation < self._purges.last:
            # Also the tags that it was made under count, whatever those of this request are.
            own = self._purges.marks(told.url, entry.tags)
            marks = Marks(max(marks.hard, own.hard), max(marks.soft, own.soft))
        if told.generation < marks.hard:
            self.asked[tier, "purged"] += 1
            if tier == self._memory.name:
                self._memory.remove(key)
            return None
        hit = self.hit(entry, tier, marks)
        self.asked[tier, hit.use.value] += 1
        return hit
