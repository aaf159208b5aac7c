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
from imgproxy.readings import Reading, Readings
from imgproxy.tokens import is_token

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from imgproxy.caches.purges import Purges
    from imgproxy.caches.results import Hit, Results
    from imgproxy.dialects.imgproxy import Dialect
    from imgproxy.etags import Tags
    from imgproxy.flight import Flights
    from imgproxy.hurry import Hurry
    from imgproxy.making import Makings
    from imgproxy.model import Caching, Client, Lifetime, Plan
    from imgproxy.origins.configured import ConfiguredPicture
    from imgproxy.origins.fetch import Origins
    from imgproxy.readings import Rules

_log = logging.getLogger("imgproxy.service")

_NONE = Validators()

# For what is made behind an answer, when nobody waits: a request's usual time.
_BEHIND_S = 10.0
# More are not even queued: the next stale answer asks again.
_REFRESHES_WAITING = 1_000
_BETTER_WAITING = 100
# The signer's clock and ours need not agree to the second.
_EXPIRY_SLACK_S = 30.0


class Rates(Protocol):
    """What each client, and each signing key, may ask for that is not in memory."""

    def take(self, client: str, key: int | None) -> float:
        """0 if it may have one more, else the seconds to wait for it."""
        ...


@dataclass(frozen=True, slots=True)
class Pending:
    """A request whose answer has to be waited for, and how far it is."""

    order: Order
    """What was asked for."""
    making: Order
    """What is to be made: the same, or something cheaper."""
    hit: Hit | None = None
    """What memory has of it, for the worst case."""
    patient: bool = False
    known: Validators = _NONE
    """Of a copy that the client has."""
    failure: SourceError | None = None
    """What the fallback image is to stand in for."""


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
    hurry: Hurry
    """When cheaper answers are given."""
    fallback: ConfiguredPicture
    lifetime: Callable[[Caching], Lifetime]
    now: Callable[[], float] = unix_seconds
    """Unix time, for URLs that expire."""
    refreshing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    """How many results are made anew at once behind answers: never all of the places that others wait for."""
    behind_edge: bool = False
    """Whether an edge stands before this server that answers stale by itself while it asks us."""
    rates: Rates | None = None
    readings: Readings = field(default_factory=Readings)

    def begin(
        self,
        target: str,
        client: Client,
        conditions: Conditions,
        deadline: Deadline,
        journey: Journey,
        *,
        crowded: bool = False,
    ) -> Reply | Unchanged | Pending:
        """The answer if nothing has to be waited for: it is in memory, or refused; else what ``finish`` needs.

        ``crowded``: so many are served already that only what memory has is answered. Raises ``ImageError``.
        ``target`` has a character for each byte (latin-1).
        """
        known = self.readings.find(target, client, self.rules)
        reading = known or self._read(target, client)
        plan, journey.key = reading.plan, reading.signed_by
        journey.plan = plan
        if 0 < plan.delivery.expires < self.now() - _EXPIRY_SLACK_S:
            raise ExpiredUrl(f"the URL, or the token in it, expired at {plan.delivery.expires}")
        order = self._order(reading)
        try:
            if known is None:
                # Before anything that is stored: nodes may have other settings than the one that stored it.
                self.origins.check(plan.source)
            begun = self._at_hand(order, conditions, deadline, journey, crowded=crowded)
        except SourceError as error:
            return Pending(order, order, failure=self._stoppable(error))
        if known is None and not isinstance(begun, Pending):
            self.readings.note(target, client, self.rules, reading)
        return begun

    async def finish(
        self, pending: Pending, conditions: Conditions, deadline: Deadline, journey: Journey
    ) -> Reply | Unchanged | RawReply:
        """The answer that ``begin`` did not have. Raises ``ImageError``."""
        plan = pending.order.plan
        if pending.failure is not None:
            return await self._fall_back(plan, pending.failure, deadline, journey)
        try:
            if plan.options[Raw].enabled:
                return await self._pass_on(plan, conditions, deadline)
            return await self._answer(pending, conditions, deadline, journey)
        except SourceError as error:
            return await self._fall_back(plan, self._stoppable(error), deadline, journey)

    def _read(self, target: str, client: Client) -> Reading:
        """What a target asks for, once its signature or token is checked. Raises ``RequestError``."""
        signed, rules = self.dialect.split(target), self.rules
        if is_token(signed.signature) and rules.signer.checks(signed.signature):
            token, signed_by = rules.tokens.read(signed.signature)
            request = self.dialect.read(signed.path)
            token.check(request, rules.planner.presets)
            plan = token.bound(rules.planner.plan(request, client))
        else:
            signed_by = rules.signer.verify(signed.signature, signed.path)
            plan = rules.planner.plan(self.dialect.read(signed.path), client)
        return Reading.of(plan, self.origins.place(plan.source), signed_by)

    def _order(self, reading: Reading) -> Order:
        plan, tags = reading.plan, reading.tags
        return Order(plan, reading.key, tags, self.purges.marks(plan.source.url, tags), self.purges.newest)

    def _stoppable(self, error: SourceError) -> SourceError:
        """The error, if the fallback image may stand in for it; else it is raised."""
        if isinstance(error, BrokenImage) or not self.fallback:
            raise error
        return error

    def _at_hand(
        self, order: Order, conditions: Conditions, deadline: Deadline, journey: Journey, *, crowded: bool
    ) -> Reply | Unchanged | Pending:
        """What can be said of an order without waiting."""
        if order.plan.options[Raw].enabled:
            self._admit(journey, crowded=crowded)
            return Pending(order, order)
        hit = self.results.recall(order.key, order.marks)
        # Who asks by a tag behind an edge is the edge: it has answered its visitor, and wants to know what is true now.
        patient = self.behind_edge and conditions.if_none_match is not None
        if hit is not None and hit.use.at_once(patient=patient):
            return self._reply(order, Made(hit), conditions, journey)
        self._admit(journey, crowded=crowded)
        known = Validators() if hit else self.tags.for_origin(order.plan, conditions)
        pending = Pending(order, order, hit, patient, known)
        if not self.hurry:
            self._check(pending, deadline)
            return pending
        return self._hurried(pending, conditions, deadline, journey)

    def _admit(self, journey: Journey, *, crowded: bool) -> None:
        """Refuse what memory does not have, where nothing more is to be begun for this request."""
        if crowded:
            raise QueueFull("more than IMGPROXY_MAX_CLIENTS requests at once")
        if self.rates is not None and (pause := self.rates.take(journey.client, journey.key)):
            raise RateLimited("more is asked for than the rate allows", retry_after=pause)

    def _check(self, pending: Pending, deadline: Deadline) -> None:
        """Refuse what would be refused anyway, before it costs anything."""
        if pending.hit is None and not self.results.shares and self._flight(pending) not in self.flights:
            self.makings.admission.check(self.makings.costs.expected(pending.making.plan), deadline)

    def _flight(self, pending: Pending) -> Hashable:
        """What is under way, or will be, for this request."""
        # The purges are in the key: who asks after one must not be given what was begun before it.
        flight = pending.making.key, pending.making.marks
        return flight if pending.known == _NONE or flight in self.flights else (*flight, pending.known)

    def _hurried(
        self, pending: Pending, conditions: Conditions, deadline: Deadline, journey: Journey
    ) -> Reply | Unchanged | Pending:
        """Under pressure something cheaper: another encoding, and another size before a refusal."""
        order = pending.order
        try:
            if pending.hit is None and (quick := self.hurry.instead(order.plan)) is not None:
                rush = self._order(Reading.of(quick, self.origins.place(quick.source)))
                hit = self.results.recall(rush.key, rush.marks)
                if hit is not None and hit.use.at_once():
                    return self._reply(order, Made(hit, degraded=True), conditions, journey)
                pending = Pending(order, rush, hit)
            self._check(pending, deadline)
        except (Overloaded, QueueFull):
            if (near := self.makings.nearest(order)) is None:
                raise
            return self._reply(order, near, conditions, journey)
        return pending

    async def _answer(
        self, pending: Pending, conditions: Conditions, deadline: Deadline, journey: Journey
    ) -> Reply | Unchanged:
        order, known = pending.order, pending.known
        make = partial(
            self.makings.make, pending.making, pending.hit, deadline, journey, known, patient=pending.patient
        )
        try:
            made, collapsed = await self.flights.join(self._flight(pending), make, deadline)
        except (Overloaded, QueueFull):
            if (near := self.makings.nearest(order)) is None:
                raise
            made, collapsed = near, False
        if isinstance(made, StillGood):
            return self._still_good(order, known, made)
        if pending.making is not order:
            made = replace(made, degraded=True)
        return self._reply(order, made, conditions, journey, collapsed=collapsed)

    async def _refresh(self, order: Order, stale: Hit | None, request_id: str) -> Made | StillGood:
        async with self.refreshing:
            return await self.makings.refresh(order, stale, Deadline.after(_BEHIND_S), Journey(request_id))

    async def _make_up_for(self, order: Order, request_id: str) -> Made | StillGood:
        await self.hurry.over(Deadline.after(_BEHIND_S))
        return await self._refresh(order, None, request_id)

    def _reply(
        self, order: Order, made: Made, conditions: Conditions, journey: Journey, *, collapsed: bool = False
    ) -> Reply | Unchanged:
        plan, hit, entry = order.plan, made.hit, made.hit.entry
        if hit.use is Use.STALE and not made.forwarded and not made.degraded:
            refresh = partial(self._refresh, order, hit, journey.request_id)
            self.flights.behind((order.key, order.marks, "refresh"), refresh, at_most=_REFRESHES_WAITING)
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
            if self.hurry.makes_up_for(plan):
                better = partial(self._make_up_for, order, journey.request_id)
                self.flights.behind((order.key, order.marks, "better"), better, at_most=_BETTER_WAITING)
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
