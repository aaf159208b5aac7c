"""The tier in this process: a budget of bytes, spent on what is asked for most.

Newcomers spend a while in a small *window*, which forgets the least recently used. What leaves it enters the *main*
part only if that has room, or if it was asked for more often than what would have to go there (W-TinyLFU, Einziger,
Friedman, Manes: https://arxiv.org/abs/1512.00727; for unequal sizes, against the sum of the victims' counts: "AV" in
https://arxiv.org/abs/2105.08770). So a crawler that asks for everything once evicts nothing that people look at.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from sys import getsizeof
from typing import TYPE_CHECKING, Literal, NamedTuple

from imgproxy.caches.sketch import Sketch
from imgproxy.model import Purge

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.model import Entry

Reason = Literal["size", "expired", "rejected"]
"""Why an entry went: for more popular ones; by its age; or it was never let in (too big, or asked for too seldom)."""

OVERHEAD = 800
"""Bytes that an entry takes besides its body and texts: records, lists of keys (test_memory.py measures it)."""

_SHARE_OF_ONE = 8
"""An entry bigger than this part of the budget is not kept: one giant must not evict everyone."""
_SHARE_OF_WINDOW = 50
_BYTES_A_CELL = 256
"""The sketch takes 0.4 % on top of the budget, and has a dozen cells or more for each entry of usual size."""
_REPEATS_AN_ENTRY = 10
"""Counts fade by half after this many requests for each entry that is kept (TinyLFU's sample size)."""


class _Kept(NamedTuple):
    entry: Entry
    until: float
    cost: int


class Memory:
    """Entries by key, in at most ``budget`` bytes. ``clock`` is monotonic, in seconds. For one event loop."""

    name = "memory"

    def __init__(self, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.evictions: dict[Reason, int] = {"size": 0, "expired": 0, "rejected": 0}
        self._clock = clock
        self._largest = budget // _SHARE_OF_ONE
        self._window_budget = budget // _SHARE_OF_WINDOW
        self._main_budget = budget - self._window_budget
        self._sketch = Sketch(budget // _BYTES_A_CELL)
        # Both: least recently used first.
        self._window: OrderedDict[str, _Kept] = OrderedDict()
        self._main: OrderedDict[str, _Kept] = OrderedDict()
        self._window_bytes = self._main_bytes = 0

    @property
    def bytes(self) -> int:
        return self._window_bytes + self._main_bytes

    @property
    def entries(self) -> int:
        return len(self._window) + len(self._main)

    def find(self, key: str) -> Entry | None:
        """The entry, or None; either way ``key`` was asked for once more."""
        self._sketch.add(key)
        part = self._main
        kept = part.get(key)
        if kept is None:
            part = self._window
            kept = part.get(key)
            if kept is None:
                return None
        if kept.until <= self._clock():
            self.remove(key)
            self.evictions["expired"] += 1
            return None
        part.move_to_end(key)
        return kept.entry

    def keep(self, key: str, entry: Entry, seconds: float) -> None:
        """Keep the entry in place of any older one; it, or others for it, may be let go at once."""
        self.remove(key)
        if not seconds > 0 or not self._largest:
            return
        kept = _Kept(entry, self._clock() + seconds, cost(key, entry))
        if kept.cost > self._largest:
            self.evictions["rejected"] += 1
        elif kept.cost > self._window_budget:
            self._admit(key, kept)
        else:
            self._window[key] = kept
            self._window_bytes += kept.cost
            while self._window_bytes > self._window_budget:
                leaving, candidate = self._window.popitem(last=False)
                self._window_bytes -= candidate.cost
                self._admit(leaving, candidate)

    def remove(self, key: str) -> bool:
        """Whether there was an entry to remove."""
        if kept := self._main.pop(key, None):
            self._main_bytes -= kept.cost
        elif kept := self._window.pop(key, None):
            self._window_bytes -= kept.cost
        return kept is not None

    def shrink(self) -> None:
        """Let half of what is kept go, the least recently used of it: the machine needs the memory."""
        goal = self.bytes // 2
        for part in (self._window, self._main):
            while part and self.bytes > goal:
                self.remove(next(iter(part)))
                self.evictions["size"] += 1

    def drop_matching(self, purge: Purge) -> int:
        """How many entries the purge concerns and is newer than; a hard one removes them.

        Looks at each entry: 1-2 ms for a thousand of them.
        """
        concerned = [
            key
            for part in (self._window, self._main)
            for key, (entry, _, _) in part.items()
            if (not purge.generation or entry.provenance.generation < purge.generation)
            and purge.concerns(entry.provenance.url, entry.tags)
        ]
        if not purge.soft:
            for key in concerned:
                self.remove(key)
        return len(concerned)

    async def get(self, key: str) -> Entry | None:
        return self.find(key)

    async def put(self, key: str, entry: Entry, seconds: float) -> None:
        self.keep(key, entry, seconds)

    async def drop(self, tag: str) -> int:
        return self.drop_matching(Purge("tag", tag))

    async def aclose(self) -> None:
        self._window.clear()
        self._main.clear()
        self._window_bytes = self._main_bytes = 0

    def _admit(self, key: str, kept: _Kept) -> None:
        """Let what leaves the window into the main part, if it is worth more than what must go for it."""
        # First requests do not age the others, else a crawl would make all popularity fade: they only fill the cells.
        if self._sketch.crowded or self._sketch.repeats > _REPEATS_AN_ENTRY * max(self.entries, 100):
            self._sketch.halve()
        victims = self._victims(key, kept.cost)
        if victims is None:
            self.evictions["rejected"] += 1
            return
        now = self._clock()
        for victim in victims:
            self.evictions["expired" if self._main[victim].until <= now else "size"] += 1
            self.remove(victim)
        self._main[key] = kept
        self._main_bytes += kept.cost

    def _victims(self, key: str, needed: int) -> list[str] | None:
        """Whom the main part would lose for ``needed`` bytes, or None if ``key`` is asked for no more than they are."""
        missing = self._main_bytes + needed - self._main_budget
        worth = self._sketch.estimate(key)
        now = self._clock()
        victims: list[str] = []
        for victim, kept in self._main.items():
            if missing <= 0:
                break
            if kept.until > now:
                worth -= self._sketch.estimate(victim)
                if worth <= 0:
                    return None
            victims.append(victim)
            missing -= kept.cost
        return victims


def cost(key: str, entry: Entry) -> int:
    """What it takes to keep the entry, in bytes. Whole texts count: URLs and headers are as long as others like."""
    origin = entry.provenance
    texts = (
        key,
        entry.digest,
        *entry.tags,
        origin.url,
        origin.digest,
        origin.validators.etag,
        origin.validators.last_modified,
        origin.caching.cache_control,
        origin.caching.expires,
        origin.caching.age,
        origin.caching.date,
    )
    return OVERHEAD + len(entry.rendition.body) + sum(map(getsizeof, texts))
