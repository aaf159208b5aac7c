"""All that is remembered, opened: what the settings name, wired together, until the block ends."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imgproxy.caches.base import TierDown
from imgproxy.caches.behind import Behind
from imgproxy.caches.bulletin import Bulletin
from imgproxy.caches.connecting import connect
from imgproxy.caches.kin import Kin
from imgproxy.caches.leases import Leases
from imgproxy.caches.memory import Memory
from imgproxy.caches.mezzanines import Mezzanines
from imgproxy.caches.poison import Poison
from imgproxy.caches.purges import Purges
from imgproxy.caches.redis import RedisTier
from imgproxy.caches.refusals import Refusals
from imgproxy.caches.results import Results
from imgproxy.caches.sources import Fetching, Sources
from imgproxy.caches.store import ERRORS, Store
from imgproxy.circuit import Circuit
from imgproxy.flight import ended
from imgproxy.metrics import CacheState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from imgproxy.caches.settings import CacheSettings
    from imgproxy.caches.shards import Shards
    from imgproxy.flight import Flights
    from imgproxy.model import Caching, Lifetime, Purge

_log = logging.getLogger("imgproxy.caches")

# Purges are rare and must arrive: they may take as long as no result may.
_PATIENCE_S = 1.0
# How soon a node without Redis hears of purges that others wrote into the store that they share.
_READ_STORE_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Caches:
    """What is remembered."""

    memory: Memory
    results: Results
    sources: Sources
    mezzanines: Mezzanines
    refusals: Refusals
    poison: Poison
    kin: Kin
    purges: Purges
    behind: Behind
    remote: Remote

    def shrink(self) -> None:
        """Give half of the memory back: the machine needs it."""
        self.memory.shrink()
        self.sources.shrink()
        self.mezzanines.shrink()

    def state(self, flights: Flights[Any]) -> CacheState:
        """What has been counted; ``flights`` are the makings under way."""
        behind, memory, remote = self.behind, self.memory, self.remote
        before = {"source": self.sources, "mezzanine": self.mezzanines}
        found = {(name, how): count for name, tier in before.items() for how, count in tier.found.items()}
        return CacheState(
            asked={**self.results.asked, **found},
            bytes={memory.name: memory.bytes, **{name: tier.bytes for name, tier in before.items()}},
            entries={memory.name: memory.entries, **{name: tier.entries for name, tier in before.items()}},
            evictions=dict(memory.evictions),
            writes={"done": behind.written, "dropped": behind.dropped, "failed": behind.failed},
            pending_bytes=behind.pending_bytes,
            open={
                name: sum(circuit.state != "closed" for circuit in circuits())
                for name, circuits in remote.circuits.items()
            },
            damaged=remote.damaged.total(),
            collapsed=flights.collapsed,
            waiting=flights.waiting,
        )


@dataclass(slots=True)
class Remote:
    """The tiers that nodes share, and what goes with them. Those that are None are not configured."""

    redis: RedisTier | None = None
    leases: Leases | None = None
    shards: Shards | None = None
    bulletin: Bulletin | None = None
    store: Store | None = None
    circuits: dict[str, Callable[[], Sequence[Circuit]]] = field(
        default_factory=dict[str, "Callable[[], Sequence[Circuit]]"]
    )
    """The ways to them, by dependency."""
    damaged: Counter[str] = field(default_factory=Counter[str])
    """Values that were not as they had been put, by tier."""

    @property
    def tiers(self) -> tuple[RedisTier | Store, ...]:
        """Nearest first."""
        return tuple(tier for tier in (self.redis, self.store) if tier is not None)


@asynccontextmanager
async def opened(
    settings: CacheSettings,
    origins: Fetching,
    *,
    lifetime: Callable[[Caching], Lifetime],
    negative_ttl: float,
    now: Callable[[], float],
) -> AsyncGenerator[Caches]:
    """The caches of one node. Neither Redis nor the store need be there for this, or ever."""
    async with AsyncExitStack() as stack:
        memory, refusals = Memory(settings.memory_cache_size), Refusals(negative_ttl)
        # Numbers are of Redis' clock where there is one, so that all nodes count alike; else of this node's own.
        purges = Purges(None if settings.redis_url.get_secret_value() else now)
        remote = Remote()
        if settings.redis_url.get_secret_value():
            _connect_redis(settings, remote, purges, memory, stack)
        if settings.result_store_url:
            _connect_store(settings, remote, now)
        written = _Written(remote.store, purges, memory)
        # After the tiers on the stack, so that it ends before them.
        behind = await stack.enter_async_context(Behind())
        results = Results(
            memory,
            remote.tiers,
            behind,
            purges,
            lifetime=lifetime,
            trusted=lambda: (remote.bulletin is None or remote.bulletin.synced) and written.read,
            now=now,
        )
        sources = Sources(
            origins,
            settings.source_cache_size,
            lifetime=lifetime,
            newest=lambda: purges.newest,
            refusals=refusals,
            now=now,
        )
        await stack.enter_async_context(sources)
        for loop in (remote.bulletin, written if remote.store else None):
            if loop is not None:
                stack.push_async_callback(ended, asyncio.get_running_loop().create_task(loop.run()))
        stack.callback(_warn_of_pending, remote.bulletin)
        mezzanines = Mezzanines(settings.mezzanine_cache_size)
        yield Caches(
            memory, results, sources, mezzanines, refusals, Poison(remote.shards), Kin(), purges, behind, remote
        )


def _connect_redis(
    settings: CacheSettings, remote: Remote, purges: Purges, memory: Memory, stack: AsyncExitStack
) -> None:
    url = settings.redis_url.get_secret_value()
    shards = connect(url, timeout=settings.redis_timeout, on_change=_note)
    patient = connect(url, timeout=_PATIENCE_S, slow=None)
    stack.push_async_callback(patient.aclose)

    def on_news(purge: Purge) -> None:
        memory.drop_matching(purge)

    def on_damage() -> None:
        remote.damaged["redis"] += 1

    remote.redis = RedisTier(shards, max_value_size=settings.redis_max_value_size, on_damage=on_damage)
    stack.push_async_callback(shards.aclose)
    remote.shards, remote.leases = shards, Leases(shards)
    remote.bulletin = Bulletin(patient, purges, on_news)
    remote.circuits["redis"] = lambda: shards.circuits


def _warn_of_pending(bulletin: Bulletin | None) -> None:
    if bulletin is not None and bulletin.pending:
        _log.warning("%d purges never reached Redis, nor the other nodes: purge again", bulletin.pending)


def _connect_store(settings: CacheSettings, remote: Remote, now: Callable[[], float]) -> None:
    # No limit of slowness: an object store is slow by nature, and the operator has said how slow it may be.
    reading = Circuit("store", settings.result_store_timeout, slow=None, errors=ERRORS, on_change=_note)
    writing = Circuit("store, writing", _PATIENCE_S, slow=None, errors=ERRORS, on_change=_note)

    def on_damage() -> None:
        remote.damaged["store"] += 1

    remote.store = Store.from_url(
        settings.result_store_url, reading, now=now, writing=writing, ttl=settings.result_store_ttl, on_damage=on_damage
    )
    remote.circuits["store"] = lambda: (reading, writing)


def _note(circuit: Circuit) -> None:
    level = logging.INFO if circuit.state == "closed" else logging.WARNING
    fields = {"tier": circuit.name, "state": circuit.state, "reason": circuit.reason}
    _log.log(level, "a cache tier is %s", circuit.state, extra={"fields": fields})


class _Written:
    """The purges that stand in the store: for nodes that share it without Redis, and for after a restart of all."""

    def __init__(self, store: Store | None, purges: Purges, memory: Memory) -> None:
        self.read = store is None
        """Whether they are known here. Until then the store may hold what was purged."""
        self._store = store
        self._purges = purges
        self._memory = memory

    async def run(self) -> None:
        while self._store is not None:
            try:
                for purge in await self._store.load_purges():
                    if self._purges.learn(purge):
                        self._memory.drop_matching(purge)
                self.read = True
            except TierDown:
                _log.warning("the purges in the result store cannot be read")
            await asyncio.sleep(_READ_STORE_EVERY_S)
