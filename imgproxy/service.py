"""The story of a request, one screen: read, plan, fetch, render, reply."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imgproxy.errors import BrokenImage, ExpiredUrl, SourceError, WatermarkMissing
from imgproxy.model import Job, RawReply, Reply, StillGood, Unchanged, Validators
from imgproxy.options import Raw, Watermark

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from imgproxy.dialects.imgproxy import Dialect
    from imgproxy.etags import Tags
    from imgproxy.model import Client, Conditions, Deadline, Plan, Report, Source
    from imgproxy.origins.configured import ConfiguredPicture
    from imgproxy.origins.fetch import Origins
    from imgproxy.planning import Planner
    from imgproxy.render.base import Renderer
    from imgproxy.signing import Signer

_log = logging.getLogger("imgproxy.service")


@dataclass(slots=True)
class Journey:
    """How one request went so far: filled in on the way, read by the log line and the metrics.

    The one mutable object that walks through the rooms with a request.
    """

    request_id: str
    plan: Plan | None = None
    source_bytes: int = 0
    stages: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds by stage: "queue", "downloading", "processing", and inside that "load" and "encode"."""

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Add the time spent inside to the stage ``name``."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.monotonic() - start


def _wall_seconds() -> float:
    return datetime.now(UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Service:
    """Answers request targets with images."""

    dialect: Dialect
    signer: Signer
    planner: Planner
    tags: Tags
    origins: Origins
    renderer: Renderer
    watermark: ConfiguredPicture
    fallback: ConfiguredPicture
    now: Callable[[], float] = _wall_seconds
    """Unix time, for URLs that expire."""

    async def serve(
        self, target: str, client: Client, conditions: Conditions, deadline: Deadline, journey: Journey
    ) -> Reply | Unchanged | RawReply:
        """The answer to a raw request target (``/<signature>/<options>/<source>``).

        Raises ``ImageError``. ``target`` has a character for each byte (latin-1).
        """
        journey.plan = plan = self.plan(target, client)
        if plan.options[Raw].enabled:
            return await self._pass_on(plan, conditions, deadline)
        waiting = time.monotonic()
        async with self.renderer.slot(deadline):
            journey.stages["queue"] = time.monotonic() - waiting
            try:
                return await self._answer(plan, conditions, deadline, journey)
            except SourceError as error:
                if isinstance(error, BrokenImage) or not self.fallback:
                    raise
                return await self._fall_back(plan, error, deadline, journey)

    def plan(self, target: str, client: Client) -> Plan:
        """What a target asks for, once its signature and its time are checked. Raises ``RequestError``."""
        signed = self.dialect.split(target)
        self.signer.verify(signed.signature, signed.path)
        plan = self.planner.plan(self.dialect.read(signed.path), client)
        if 0 < plan.delivery.expires < self.now():
            raise ExpiredUrl(f"the URL expired at {plan.delivery.expires}")
        return plan

    async def _answer(
        self, plan: Plan, conditions: Conditions, deadline: Deadline, journey: Journey
    ) -> Reply | Unchanged:
        known = self.tags.for_origin(plan, conditions)
        with journey.stage("downloading"):
            source = await self.origins.fetch(
                plan.source, max_bytes=plan.limits.source_bytes, deadline=deadline, validators=known
            )
        if isinstance(source, StillGood):
            told = source.validators
            validators = Validators(told.etag or known.etag, told.last_modified or known.last_modified)
            return Unchanged(plan, self.tags.mint(plan, validators), source.caching)
        try:
            validators = self.tags.mint(plan, source.validators)
            if self.tags.matches(conditions, validators.etag):
                return Unchanged(plan, validators, source.caching)
            report = await self._render(plan, source, deadline, journey)
        finally:
            source.close()
        rendition = report.rendition
        if validators.etag is None:
            validators = replace(validators, etag=self.tags.of_body(plan, rendition.body))
            if self.tags.matches(conditions, validators.etag):
                return Unchanged(plan, validators, source.caching)
        return Reply(rendition, plan, source.size, validators, source.caching)

    async def _render(self, plan: Plan, source: Source, deadline: Deadline, journey: Journey) -> Report:
        journey.source_bytes = source.size
        mark = await self._mark(deadline) if plan.options[Watermark].opacity else None
        try:
            with journey.stage("processing"):
                report = await self.renderer.render(Job(plan, source, mark), deadline)
        finally:
            if mark is not None:
                mark.close()
        journey.stages |= {"load": report.load_s, "encode": report.encode_s}
        return report

    async def _mark(self, deadline: Deadline) -> Source:
        """The watermark. That it cannot be had is our fault, not the source's."""
        try:
            return await self.watermark.source(deadline)
        except SourceError as error:
            raise WatermarkMissing(str(error)) from error

    async def _fall_back(self, plan: Plan, error: SourceError, deadline: Deadline, journey: Journey) -> Reply:
        """The fallback image under the same plan, without validators: the source may be back any time."""
        fields = {"request_id": journey.request_id, "code": error.code, "reason": str(error)}
        try:
            source = await self.fallback.source(deadline)
        except SourceError as missing:
            _log.error("the fallback image cannot be had: %s", missing, extra={"fields": fields})
            raise error from missing
        _log.warning("answering with the fallback image", extra={"fields": fields})
        try:
            report = await self._render(plan, source, deadline, journey)
        finally:
            source.close()
        return Reply(report.rendition, plan, source.size, fallback_for=error.status)

    async def _pass_on(self, plan: Plan, conditions: Conditions, deadline: Deadline) -> RawReply:
        """The source as it is: no slot, no checks of what it holds; the origin's own validators."""
        status, headers, body = await self.origins.stream(
            plan.source,
            deadline=deadline,
            validators=Validators(conditions.if_none_match, conditions.if_modified_since),
            range=conditions.range,
        )
        return RawReply(plan, status, headers, body)
