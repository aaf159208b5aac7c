"""The story of a request, one screen: read, plan, remember or make, reply."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from imgproxy.caches.base import key_of
from imgproxy.caches.purges import Marks, tags_of
from imgproxy.caches.results import Use
from imgproxy.clock import unix_seconds
from imgproxy.errors import BrokenImage, ExpiredUrl, Overloaded, QueueFull, RateLimited, SourceError
from imgproxy.journey import Journey
from imgproxy.making import Made, Order
from imgproxy.model import Conditions, Deadline, Found, RawReply, Reply, SourceRef, StillGood, Unchanged, Validators
from imgproxy.options import Raw
from imgproxy.planning import cheaper

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.caches.purges import Purges
    from imgproxy.caches.results import Hit, Results
    from imgproxy.dialects.imgproxy import Dialect
    from imgproxy.etags import Tags
    from imgproxy.flight import Flights
    from imgproxy.making import Makings
    from imgproxy.model import Caching, Client, Lifetime, Plan
    from imgproxy.origins.configured import ConfiguredPicture
    from imgproxy.origins.fetch import Origins
    from imgproxy.planning import Planner
    from imgproxy.signing import Signer

_log = logging.getLogger("imgproxy.service")

_NONE = Validators()

# For what is made behind an answer, when nobody waits: a request's usual time.
_BEHIND_S = 10.0
# More are not even queued: the next stale answer asks again.
_REFRESHES_WAITING = 1_000
# The signer's clock and ours need not agree to the second.
_EXPIRY_SLACK_S = 30.0


class Rates(Protocol):
    """What each client, and each signing key, may ask for that is not in memory."""

    def take(self, client: str, key: int | None) -> float:
        """0 if it may have one more, else the seconds to wait for it."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What new settings can change while the server runs: keys and presets, exchanged as one."""

    signer: Signer
    planner: Planner


@dataclass(slots=True)
class Service:
    """Answers request targets with images."""

    dialect: Dialect
    rules: Rules
    tags: Tags
    origins: Origins
    purges: Purges
    results: Results
    flights: Flights[Made | StillGood]
    makings: Makings
    fallback: ConfiguredPicture
    lifetime: Callable[[Caching], Lifetime]
    now: Callable[[], float] = unix_seconds
    """Unix time, for URLs that expire."""
    refreshing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    """How many results are made anew at once behind answers: never all of the places that others wait for."""
    behind_edge: bool = False
    """Whether an edge stands before this server that answers stale by itself while it asks us."""
    rates: Rates | None = None
    brownout: bool = False
    """Whether cheaper answers are given when there is no time for better ones."""

    async def serve(
        self,
        target: str,
        client: Client,
        conditions: Conditions,
        deadline: Deadline,
        journey: Journey,
        *,
        crowded: bool = False,
    ) -> Reply | Unchanged | RawReply:
        """The answer to a raw request target (``/<signature>/<options>/<source>``).

        ``crowded``: so many are served already that only what memory has is answered. Raises ``ImageError``.
        ``target`` has a character for each byte (latin-1).
        """
        journey.plan = plan = self.plan(target, client, journey)
        try:
            # Before anything that is remembered: settings may have changed since, or differ between nodes.
            self.origins.check(plan.source)
            if plan.options[Raw].enabled:
                self._admit(journey, crowded=crowded)
                return await self._pass_on(plan, conditions, deadline)
            return await self._answer(self._order(plan), conditions, deadline, journey, crowded=crowded)
        except SourceError as error:
            if isinstance(error, BrokenImage) or not self.fallback:
                raise
            return await self._fall_back(plan, error, deadline, journey)

    def plan(self, target: str, client: Client, journey: Journey) -> Plan:
        """What a target asks for, once its signature and its time are checked. Raises ``RequestError``."""
        signed = self.dialect.split(target)
        rules = self.rules
        journey.key = rules.signer.verify(signed.signature, signed.path)
        plan = rules.planner.plan(self.dialect.read(signed.path), client)
        if 0 < plan.delivery.expires < self.now() - _EXPIRY_SLACK_S:
            raise ExpiredUrl(f"the URL expired at {plan.delivery.expires}")
        return plan

    def _order(self, plan: Plan) -> Order:
        key, tags = key_of(plan, self.origins.place(plan.source)), tags_of(plan)
        return Order(plan, key, tags, self.purges.marks(plan.source.url, tags), self.purges.newest)

    def _admit(self, journey: Journey, *, crowded: bool) -> None:
        """Refuse what memory does not have, where nothing more is to be begun for this request."""
        if crowded:
            raise QueueFull("more than IMGPROXY_MAX_CLIENTS requests at once")
        if self.rates is not None and (pause := self.rates.take(journey.client, journey.key)):
            raise RateLimited("more is asked for than the rate allows", retry_after=pause)

    async def _answer(
        self, order: Order, conditions: Conditions, deadline: Deadline, journey: Journey, *, crowded: bool
    ) -> Reply | Unchanged:
        hit = self.results.recall(order.key, order.marks)
        # Who asks by a tag behind an edge is the edge: it has answered its visitor, and wants to know what is true now.
        patient = self.behind_edge and conditions.if_none_match is not None
        if hit is not None and hit.use.at_once(patient=patient):
            made, collapsed = Made(hit), False
        else:
            self._admit(journey, crowded=crowded)
            known = Validators() if hit else self.tags.for_origin(order.plan, conditions)
            make = self._hurried if self.brownout else self._made
            made, collapsed = await make(order, hit, deadline, journey, known, patient=patient)
            if isinstance(made, StillGood):
                return self._still_good(order, known, made)
        if made.hit.use is Use.STALE and not made.forwarded and not made.degraded:
            refresh = partial(self._refresh, order, made.hit, journey.request_id)
            self.flights.behind((order.key, order.marks, "refresh"), refresh, at_most=_REFRESHES_WAITING)
        return self._reply(order, made, conditions, journey, collapsed=collapsed)

    async def _made(
        self,
        order: Order,
        hit: Hit | None,
        deadline: Deadline,
        journey: Journey,
        known: Validators = _NONE,
        *,
        patient: bool = False,
    ) -> tuple[Made | StillGood, bool]:
        """What a making gives, and whether it was another request's."""
        # The purges are in the key: who asks after one must not be given what was begun before it.
        flight = (order.key, order.marks)
        if flight not in self.flights:
            if known != _NONE:
                flight = (*flight, known)
            if hit is None and not self.results.shares:
                # What would be refused anyway is refused before it costs anything.
                self.makings.admission.check(self.makings.costs.expected(order.plan), deadline)
        make = partial(self.makings.make, order, hit, deadline, journey, known, patient=patient)
        return await self.flights.join(flight, make, deadline)

    async def _hurried(
        self,
        order: Order,
        hit: Hit | None,
        deadline: Deadline,
        journey: Journey,
        known: Validators = _NONE,
        *,
        patient: bool = False,
    ) -> tuple[Made | StillGood, bool]:
        """The same, or under pressure less: a cheaper encoding, and another size before a refusal."""
        quick = cheaper(order.plan)
        try:
            if hit is not None or quick == order.plan or not self.makings.admission.pressed:
                return await self._made(order, hit, deadline, journey, known, patient=patient)
            rush = self._order(quick)
            hit = self.results.recall(rush.key, rush.marks)
            if hit is not None and hit.use.at_once():
                return Made(hit, degraded=True), False
            made, collapsed = await self._made(rush, hit, deadline, journey)
            return (replace(made, degraded=True) if isinstance(made, Made) else made), collapsed
        except (Overloaded, QueueFull):
            if (near := self.makings.nearest(order)) is None:
                raise
            return near, False

    async def _refresh(self, order: Order, stale: Hit, request_id: str) -> Made | StillGood:
        async with self.refreshing:
            return await self.makings.refresh(order, stale, Deadline.after(_BEHIND_S), Journey(request_id))

    def _reply(
        self, order: Order, made: Made, conditions: Conditions, journey: Journey, *, collapsed: bool
    ) -> Reply | Unchanged:
        plan, hit, entry = order.plan, made.hit, made.hit.entry
        told = entry.provenance
        validators = self.tags.mint(plan, told.validators)
        if validators.etag is None:
            validators = replace(validators, etag=self.tags.of_result(plan, entry.digest))
        journey.found = found = Found(
            hit.tier,
            made.forwarded,
            collapsed,
            made.stored,
            made.renewed,
            hit.age,
            hit.ttl,
            told.generation,
            made.degraded,
        )
        lifetime = self.lifetime(told.caching)
        # Also those of this URL: another one of the same plan may have had the entry made.
        tags = tuple(sorted({*entry.tags, *order.tags}))
        if made.degraded:
            # Nobody may ask whether this is still good: it never was.
            validators, conditions = Validators(), Conditions()
        if self.behind_edge and hit.tier and hit.ttl <= 0:
            # nginx keeps the headers that it has when it gets a 304: it would call a stale image fresh. Without a tag
            # it takes the next one whole, and with it the headers.
            validators, conditions = Validators(), Conditions()
        if self.tags.still_fit(conditions, validators):
            return Unchanged(plan, validators, told.caching, found, tags, lifetime)
        return Reply(
            entry.rendition,
            plan,
            told.size,
            validators,
            told.caching,
            found=found,
            tags=tags,
            lifetime=lifetime,
        )

    def _still_good(self, order: Order, known: Validators, told: StillGood) -> Unchanged:
        """The answer for a client whose copy the origin vouches for, though nothing is stored here."""
        # Not the client's own date: it may have made it up.
        validators = Validators(told.validators.etag or known.etag, told.validators.last_modified)
        found = Found(forwarded="uri-miss", generation=order.generation)
        lifetime = self.lifetime(told.caching)
        return Unchanged(
            order.plan,
            self.tags.mint(order.plan, validators),
            told.caching,
            replace(found, ttl=lifetime.fresh),
            order.tags,
            lifetime,
        )

    async def _fall_back(self, plan: Plan, error: SourceError, deadline: Deadline, journey: Journey) -> Reply:
        """The fallback image under the same plan, without validators: the source may be back any time."""
        stand_in = replace(plan, source=SourceRef(f"fallback:{self.fallback.identity}"))
        order = Order(stand_in, key_of(stand_in), tags_of(stand_in), Marks(), self.purges.newest)
        hit = self.results.recall(order.key, order.marks)
        if hit is None:
            make = partial(self._stand_in, order, error, deadline, journey)
            made, _ = await self.flights.join((order.key, order.marks), make, deadline)
            assert isinstance(made, Made)  # noqa: S101 - nobody was asked whether it is still good
            hit = made.hit
        entry = hit.entry
        # Nobody vouched for it; it is neither old nor fresh.
        return Reply(entry.rendition, plan, entry.provenance.size, fallback_for=error.status, tags=tags_of(plan))

    async def _stand_in(self, order: Order, error: SourceError, deadline: Deadline, journey: Journey) -> Made:
        fields = {"request_id": journey.request_id, "code": error.code, "reason": str(error)}
        try:
            picture = await self.fallback.source(deadline)
        except SourceError as missing:
            _log.error("the fallback image cannot be had: %s", missing, extra={"fields": fields})
            raise error from missing
        _log.warning("answering with the fallback image", extra={"fields": fields})
        try:
            return await self.makings.stand_in(order, picture, deadline, journey)
        finally:
            picture.close()

    async def _pass_on(self, plan: Plan, conditions: Conditions, deadline: Deadline) -> RawReply:
        """The source as it is: no slot, no checks of what it holds; the origin's own validators."""
        status, headers, body = await self.origins.stream(
            plan.source,
            deadline=deadline,
            validators=Validators(conditions.if_none_match, conditions.if_modified_since),
            range=conditions.range,
        )
        return RawReply(plan, status, headers, body)
