"""How a result comes to be: found in a shared tier, made by another node, or rendered from its source here."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from imgproxy.caches.base import TierDown
from imgproxy.caches.leases import new_token
from imgproxy.caches.mezzanines import Mezzanines
from imgproxy.caches.poison import KILLS, subject_of
from imgproxy.caches.refusals import may_pass
from imgproxy.caches.results import Use
from imgproxy.errors import (
    ImageError,
    SourceError,
    SourcePoisoned,
    SourceTooExpensive,
    WatermarkMissing,
    WorkerLost,
)
from imgproxy.model import Deadline, Entry, Job, Provenance, StillGood, Validators
from imgproxy.options import Watermark

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from imgproxy.caches.behind import Write
    from imgproxy.caches.kin import Kin
    from imgproxy.caches.leases import Leases
    from imgproxy.caches.poison import Poison
    from imgproxy.caches.purges import Marks
    from imgproxy.caches.refusals import Refusals
    from imgproxy.caches.results import Hit, Results
    from imgproxy.caches.sources import Sources, Turn
    from imgproxy.journey import Journey
    from imgproxy.model import Plan, Rendition, Source
    from imgproxy.origins.configured import ConfiguredPicture
    from imgproxy.overload.admission import Admission
    from imgproxy.overload.cost import Costs
    from imgproxy.render.base import Renderer

_log = logging.getLogger("imgproxy.making")

# How often a node looks whether another has made what it waits for: a render takes 10 to 500 ms.
_LOOK_EVERY_S = 0.02
# An origin that did not answer is left alone by the same picture for so long.
_REST_S = 5.0
_MOST_RESTING = 10_000
_NONE = Validators()


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made: a plan, the key of its result, and the purges that concern it."""

    plan: Plan
    key: str
    tags: tuple[str, ...]
    """What the result can be purged by."""
    marks: Marks
    generation: int
    """The newest purge that was known when it was asked for."""


@dataclass(frozen=True, slots=True)
class Made:
    """A result and how it was come by: ``forwarded`` as in ``Found``."""

    hit: Hit
    forwarded: str = ""
    stored: bool = False
    renewed: bool = False
    degraded: bool = False


@dataclass(slots=True)
class Makings:
    """Makes results.

    ``leases`` is None where no other node could be making the same, ``kin`` where another size may not stand in.
    ``patience``: seconds that a request usually has. A render that had half of them and did not end is to blame itself.
    """

    results: Results
    sources: Sources
    refusals: Refusals
    poison: Poison
    costs: Costs
    admission: Admission
    renderer: Renderer
    watermark: ConfiguredPicture
    now: Callable[[], float]
    leases: Leases | None = None
    kin: Kin | None = None
    patience: float = 10.0
    mezzanines: Mezzanines = field(default_factory=partial(Mezzanines, 0))
    _resting: OrderedDict[str, float] = field(default_factory=OrderedDict[str, float], init=False)

    async def make(
        self,
        order: Order,
        spare: Hit | None,
        deadline: Deadline,
        journey: Journey,
        known: Validators = _NONE,
        *,
        patient: bool = False,
    ) -> Made | StillGood:
        """The result, fresh or at least of use; ``spare`` is what memory has for the worst case.

        ``patient``: who asks rather waits for the origin than takes a stale one. StillGood if nothing is stored and
        the origin says that ``known``, of a copy that the client has, still fits. Raises ``ImageError`` if the result
        cannot be had, and nothing stands in for it.
        """
        with journey.stage("cache"):
            hit = await self.results.look_up(order.key, order.marks)
        if hit is None or (spare is not None and spare.age < hit.age):
            hit = spare
        if hit is not None and hit.use.at_once(patient=patient):
            return Made(hit)
        if hit is not None and hit.use is not Use.SPENT and self._rests(order.key):
            return Made(hit)
        return await self._renew(order, hit, deadline, journey, known)

    async def refresh(self, order: Order, stale: Hit | None, deadline: Deadline, journey: Journey) -> Made | StillGood:
        """The result made fresh behind an answer, unless another node already did it. ``stale`` is what there is."""
        found = await self.results.look_up(order.key, order.marks)
        if found is not None and found.use is Use.FRESH:
            return Made(found)
        if stale is not None and self._rests(order.key):
            return Made(stale)
        return await self._renew(order, stale, deadline, journey)

    async def stand_in(self, order: Order, picture: Source, deadline: Deadline, journey: Journey) -> Made:
        """The fallback image under the plan. Kept in memory only: other nodes may have another picture."""
        told = Provenance(order.plan.source.url, picture.size, checked_at=self.now(), generation=order.generation)
        async with self.admission.slot(self.costs.expected(order.plan), deadline):
            rendition = await self._render(order, picture, told, deadline, journey)
        entry = _entry(order, rendition, told)
        self.results.keep_here(order.key, entry)
        return Made(self.results.hit(entry, "", order.marks), "uri-miss")

    def nearest(self, order: Order) -> Made | None:
        """A result of the same picture in another size that memory has, if one may stand in."""
        for key in self.kin.nearest(order.plan) if self.kin is not None else ():
            hit = self.results.recall(key, order.marks)
            if hit is not None and hit.use is not Use.SPENT:
                return Made(hit, degraded=True)
        return None

    async def _renew(
        self, order: Order, old: Hit | None, deadline: Deadline, journey: Journey, known: Validators = _NONE
    ) -> Made | StillGood:
        if error := self.refusals.find(order.key, max(order.marks)):
            raise error
        try:
            async with self._turn(order, deadline) as turn:
                if turn.made is not None:
                    return Made(turn.made)
                entry = await self._from_source(order, old, deadline, journey, known)
                if isinstance(entry, StillGood):
                    self.results.later(turn.over)
                    return entry
                stored = self.results.keep(order.key, entry, turn.over)
                if self.kin is not None and stored:
                    self.kin.note(order.plan, order.key, entry.rendition)
                renewed = old is not None and entry.rendition is old.entry.rendition
                hit = self.results.hit(entry, "", order.marks)
                return Made(hit, "stale" if old else "uri-miss", stored, renewed)
        except ImageError as error:
            if old is not None and old.use is not Use.SPENT and may_pass(error):
                fields = {"request_id": journey.request_id, "code": error.code, "reason": str(error)}
                _log.warning("answering with a stale result", extra={"fields": fields})
                self._rest(order.key)
                return Made(old, "stale")
            self.refusals.note(order.key, error, order.generation)
            if old is not None and not may_pass(error):
                self.results.forget(order.key)
            raise

    async def _from_source(
        self, order: Order, old: Hit | None, deadline: Deadline, journey: Journey, asked: Validators
    ) -> Entry | StillGood:
        plan = order.plan
        known = old.entry.provenance if old else None
        if known is None and asked != _NONE:
            known = Provenance(plan.source.url, validators=asked, generation=order.generation)
        waiting = time.monotonic()
        purged = max(order.marks)
        async with self._place(order, known, deadline) as turn:
            journey.stages["queue"] = time.monotonic() - waiting
            with journey.stage("downloading"):
                told, source = await self.sources.fetch(
                    plan.source,
                    max_bytes=plan.limits.source_bytes,
                    deadline=deadline,
                    known=known,
                    purged=purged,
                )
            turn.leave()
            if source is None:
                if old is None:
                    return StillGood(told.validators, told.caching)
                return replace(old.entry, provenance=told, tags=order.tags)
            try:
                return _entry(order, await self._render(order, source, told, deadline, journey), told)
            finally:
                source.close()

    @asynccontextmanager
    async def _place(self, order: Order, known: Provenance | None, deadline: Deadline) -> AsyncGenerator[Turn]:
        """A place, and a turn at the origin. Who has to wait for a slow origin gives his place to others meanwhile."""
        source, limits, work = order.plan.source, order.plan.limits, self.costs.expected(order.plan)
        with self.mezzanines.wanting(source.url):
            async with self.admission.slot(work, deadline):
                turn = self.sources.turn_at_once(source, limits.source_bytes, known, max(order.marks))
                if turn is not None:
                    try:
                        yield turn
                    finally:
                        turn.leave()
                    return
            async with self.sources.turn(source, deadline) as turn, self.admission.slot(work, deadline):
                turn.begin()
                yield turn

    async def _render(
        self, order: Order, source: Source, told: Provenance, deadline: Deadline, journey: Journey
    ) -> Rendition:
        """The rendition; or, of a source that ends render processes, ``SourcePoisoned``."""
        known, subject, wish = max(order.marks), subject_of(told), subject_of(told, order.plan.key)
        crash: WorkerLost | None = None
        while True:
            async with self.poison.trial(subject):
                for each in (subject, wish):
                    await self.poison.check(each, known)
                started = time.monotonic()
                try:
                    rendition = await self._rendered(order.plan, source, told, deadline, journey)
                except ImageError as error:
                    guilty = self._guilty(error, time.monotonic() - started, subject, wish, again=crash is not None)
                    if guilty and await self.poison.blame(guilty, known) >= KILLS:
                        raise SourcePoisoned(str(error)) from error
                    # A crash may have been the machine's fault, or another picture's. The next process will show.
                    if crash is not None or not isinstance(error, WorkerLost) or not deadline.remaining:
                        raise
                    crash = error
                else:
                    self.poison.acquit(subject)
                    if crash is not None:
                        await self.poison.pardon(subject)
                    return rendition
            _log.warning("rendering again", extra={"fields": {"request_id": journey.request_id}})

    def _guilty(self, error: ImageError, seconds: float, subject: str, wish: str, *, again: bool) -> str:
        """What a process ended over: the source if it crashed, else only what was made of it; empty if neither.

        A process that was killed from outside, by an operator or for the machine's memory, tells of its picture only if
        the next one is killed over it, too.
        """
        if not error.ended_process:
            return ""
        if isinstance(error, WorkerLost):
            return subject if again or not error.from_outside else ""
        alone = isinstance(error, SourceTooExpensive) or seconds > self.patience / 2
        return wish if alone else ""

    async def _rendered(
        self, plan: Plan, source: Source, told: Provenance, deadline: Deadline, journey: Journey
    ) -> Rendition:
        journey.source_bytes = source.size
        mark = await self._mark(deadline) if plan.options[Watermark].opacity else None
        try:
            # The loan first: who waits for another's mezzanine must not have the turn that the other needs.
            async with (
                self.mezzanines.loan(plan, told, self.costs.pixels(plan, source), deadline) as loan,
                self.admission.turn(self.costs.weighed(plan, source), deadline),
            ):
                with journey.stage("processing"):
                    report = await self.renderer.render(Job(plan, source, mark, loan.mezzanine), deadline)
                loan.made = report.raster
        finally:
            if mark is not None:
                mark.close()
        self.costs.learn(plan, source, report)
        journey.stages |= {"load": report.load_s, "encode": report.encode_s}
        return report.rendition

    async def _mark(self, deadline: Deadline) -> Source:
        """The watermark. That it cannot be had is our fault, not the source's."""
        try:
            return await self.watermark.source(deadline)
        except SourceError as error:
            raise WatermarkMissing(str(error)) from error

    @asynccontextmanager
    async def _turn(self, order: Order, deadline: Deadline) -> AsyncGenerator[_Turn]:
        """The turn to make the key: one node's as long as Redis answers, anybody's when it does not."""
        leases = self.leases
        turn = await self._awaited(leases, order, deadline) if leases is not None else _Turn()
        if leases is None or turn.over is None:
            yield turn
            return
        renewing = asyncio.get_running_loop().create_task(leases.keep(order.key, turn.token))
        try:
            yield turn
        except BaseException:
            self.results.later(turn.over)
            raise
        finally:
            renewing.cancel()

    async def _awaited(self, leases: Leases, order: Order, deadline: Deadline) -> _Turn:
        # Half of the time for the other node: should it hang, the rest is enough to make it here.
        patience = Deadline.after(deadline.remaining / 2)
        while True:
            asked = new_token()
            try:
                token = await leases.acquire(order.key, asked)
            except TierDown:
                # Redis may have given it all the same: nobody should wait for a lease that nobody knows to have.
                self.results.later(partial(leases.give_back, order.key, asked))
                return _Turn()
            # Also with the lease in hand: who had it may just have finished.
            hit = await self.results.look_up(order.key, order.marks, nearest=True)
            over = partial(leases.give_back, order.key, token) if token else None
            if hit is not None and hit.use is Use.FRESH:
                if over is not None:
                    self.results.later(over)
                return _Turn(made=hit)
            if token or not patience.remaining:
                return _Turn(token or "", over)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _rests(self, key: str) -> bool:
        return self._resting.get(key, 0.0) > time.monotonic()

    def _rest(self, key: str) -> None:
        self._resting[key] = time.monotonic() + _REST_S
        if len(self._resting) > _MOST_RESTING:
            self._resting.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Turn:
    """Leave to make a key: with a lease that ``over`` gives back, without one, or not at all because it is ``made``."""

    token: str = ""
    over: Write | None = None
    made: Hit | None = None


def _entry(order: Order, rendition: Rendition, told: Provenance) -> Entry:
    return Entry(rendition, hashlib.sha256(rendition.body).hexdigest(), told, order.tags)
