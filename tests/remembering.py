"""A service with caches in this process: a clock of the test's, a source of the test's, renders that copy.

The origin, the renderer and the clock are the test's; everything between them is the server's own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from imgproxy import freshness
from imgproxy.caches.behind import Behind
from imgproxy.caches.kin import Kin
from imgproxy.caches.memory import Memory
from imgproxy.caches.poison import Poison
from imgproxy.caches.purges import Purges
from imgproxy.caches.refusals import Refusals
from imgproxy.caches.results import Results
from imgproxy.caches.sources import Sources
from imgproxy.caches.store import Store
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.errors import ImageError
from imgproxy.etags import Tags
from imgproxy.flight import Flights
from imgproxy.formats import PNG
from imgproxy.freshness import FreshnessSettings
from imgproxy.hurry import Hurry
from imgproxy.journey import Journey
from imgproxy.making import Makings
from imgproxy.model import (
    Caching,
    Client,
    Conditions,
    Deadline,
    Job,
    Purge,
    RawReply,
    Rendition,
    Reply,
    Report,
    Source,
    SourceRef,
    StillGood,
    Unchanged,
    Validators,
)
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.configured import ConfiguredSettings, fallback, watermark
from imgproxy.origins.fetch import Origins
from imgproxy.origins.shares import Turn
from imgproxy.overload.admission import Admission
from imgproxy.overload.cost import Costs
from imgproxy.planning import Planner
from imgproxy.presets import Presets
from imgproxy.purging import Purging
from imgproxy.readings import Rules
from imgproxy.service import Pending, Service
from imgproxy.signing import Signer, path_of
from imgproxy.tokens import Tokens

_NONE = Validators()


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Gallery:
    """An origin: pictures by URL, each with a version; and what it was asked."""

    versions: dict[str, int] = field(default_factory=dict)
    failure: ImageError | None = None
    asked: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    tagged: bool = True
    caching: Caching = field(default_factory=Caching)

    def turn(self, ref: SourceRef, deadline: Deadline) -> AbstractAsyncContextManager[Turn]:  # noqa: ARG002
        return nullcontext(Turn(lambda: None))

    def turn_at_once(self, ref: SourceRef) -> Turn | None:  # noqa: ARG002
        return Turn(lambda: None)

    async def fetch(
        self,
        ref: SourceRef,
        *,
        max_bytes: int,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
        validators: Validators = _NONE,
    ) -> Source | StillGood:
        self.asked.append(ref.url)
        if self.failure is not None:
            raise self.failure
        version = self.versions.get(ref.url, 0)
        told = Validators(f'"{version}"') if self.tagged else Validators()
        if validators.etag is not None and validators.etag == told.etag:
            return StillGood(told, self.caching)
        self.sent.append(ref.url)
        body = f"{ref.url} {version}".encode()
        fd = os.memfd_create("picture")
        os.write(fd, body)
        return Source(fd, len(body), ref.url, "image/png", told, self.caching)


@dataclass
class Copier:
    """A renderer whose renditions say what they were made of."""

    rendered: int = 0
    failure: ImageError | None = None
    failures: int = -1
    """How many renders fail with it; -1: all."""

    async def render(self, job: Job, deadline: Deadline) -> Report:  # noqa: ARG002
        self.rendered += 1
        if self.failure is not None and self.failures:
            self.failures -= 1
            raise self.failure
        body = os.pread(job.source.fd, job.source.size, 0) + f" {job.plan.path}".encode()
        return Report(Rendition(body, PNG, 1, 1, 1, 1))


async def serve(
    service: Service,
    target: str,
    conditions: Conditions,
    deadline: Deadline,
    journey: Journey,
    *,
    crowded: bool = False,
    client: Client = Client(),  # noqa: B008 - frozen
) -> Reply | Unchanged | RawReply:
    """The answer, whether or not it has to be waited for."""
    begun = service.begin(target, client, conditions, deadline, journey, crowded=crowded)
    return await service.finish(begun, conditions, deadline, journey) if isinstance(begun, Pending) else begun


class Remembering:
    """One node."""

    def __init__(
        self,
        clock: Clock,
        gallery: Gallery,
        store: Store | None,
        settings: FreshnessSettings,
        *,
        behind_edge: bool = False,
        brownout: bool = False,
        adaptive: bool = False,
    ) -> None:
        self.clock = clock
        self.gallery = gallery
        self.copier = Copier()
        self.lifetime = partial(freshness.lifetime, settings)
        self.purges = Purges()
        self.behind = Behind()
        self.memory = Memory(1_000_000, clock)
        self.refusals = Refusals(settings.negative_cache_ttl, clock)
        self.sources = Sources(
            gallery,
            10_000,
            lifetime=self.lifetime,
            newest=lambda: self.purges.newest,
            refusals=self.refusals,
            now=clock,
        )
        shared = [store] if store is not None else []
        self.results = Results(
            self.memory, shared, self.behind, self.purges, lifetime=self.lifetime, trusted=lambda: True, now=clock
        )
        self.purging = Purging(self.purges, self.memory, Presets(), shared, store=store)
        origins = Origins(OriginSettings())
        nothing = ConfiguredSettings()
        self.flights: Flights = Flights()
        self.poison = Poison()
        self.short_of_memory = False
        self.admission = Admission(8, 0, shedding=lambda: self.short_of_memory)
        self.service = Service(
            dialect=Dialect(),
            rules=Rules(Signer(), Planner(), Tokens()),
            tags=Tags(),
            origins=origins,
            purges=self.purges,
            results=self.results,
            flights=self.flights,
            makings=Makings(
                self.results,
                self.sources,
                self.refusals,
                self.poison,
                Costs(),
                self.admission,
                self.copier,
                watermark(origins, nothing),
                clock,
                kin=Kin() if brownout else None,
            ),
            fallback=fallback(origins, nothing),
            lifetime=self.lifetime,
            now=clock,
            behind_edge=behind_edge,
            hurry=Hurry(self.admission, brownout, adaptive),
        )

    async def ask(
        self,
        url: str,
        *options: str,
        conditions: Conditions | None = None,
        crowded: bool = False,
        client: Client = Client(),  # noqa: B008 - frozen
    ) -> Reply | Unchanged | RawReply:
        target = "/x" + path_of(url, options, base64=True)
        conditions, deadline = conditions or Conditions(), Deadline.after(10)
        return await serve(self.service, target, conditions, deadline, Journey("id"), crowded=crowded, client=client)

    async def image(self, url: str, *options: str, client: Client = Client()) -> Reply:  # noqa: B008 - frozen
        reply = await self.ask(url, *options, client=client)
        assert isinstance(reply, Reply)
        return reply

    async def purge(self, purge: Purge) -> dict[str, int | None]:
        return (await self.purging.purge(purge)).entries

    async def settle(self) -> None:
        """Wait until nothing goes on behind the answers."""
        await self.flights.settled()
        await self.behind.drain()

    async def aclose(self) -> None:
        await self.flights.aclose()
        await self.sources.aclose()
        await self.behind.__aexit__(None, None, None)


@asynccontextmanager
async def remembering(
    gallery: Gallery | None = None,
    store: Store | None = None,
    clock: Clock | None = None,
    *,
    behind_edge: bool = False,
    brownout: bool = False,
    adaptive: bool = False,
    **settings: object,
) -> AsyncGenerator[Remembering]:
    node = Remembering(
        clock or Clock(),
        gallery or Gallery(),
        store,
        FreshnessSettings.model_validate(settings),
        behind_edge=behind_edge,
        brownout=brownout,
        adaptive=adaptive,
    )
    async with node.behind:
        try:
            yield node
        finally:
            await node.aclose()
