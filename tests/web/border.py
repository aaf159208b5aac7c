"""The border that the web room is tested at: a service with prepared answers, and requests through httpx."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import httpx

from imgproxy.errors import ImageError
from imgproxy.formats import JPEG, Format, FormatRule
from imgproxy.freshness import FreshnessSettings
from imgproxy.journey import Journey
from imgproxy.metrics import Metrics
from imgproxy.model import (
    Caching,
    Client,
    Conditions,
    Deadline,
    Delivery,
    Found,
    Lifetime,
    Plan,
    RawReply,
    Rendition,
    Reply,
    SourceRef,
    Unchanged,
    Validators,
)
from imgproxy.options import Options
from imgproxy.overload.buckets import Network
from imgproxy.web.images import Images
from imgproxy.web.settings import WebSettings

if TYPE_CHECKING:
    from imgproxy.service import Pending

Outcome = Reply | Unchanged | RawReply | ImageError | Exception
Serve = Callable[["Call"], Awaitable[Outcome]]

URL = "https://example.com/a/cat.jpg?token=hidden"
BODY = b"\xff\xd8\xff not really"


@dataclass
class Call:
    """What the service was asked."""

    target: str
    client: Client
    conditions: Conditions
    deadline: Deadline
    journey: Journey
    crowded: bool = False


@dataclass
class FakeService:
    """Gives one answer to everything, or what a coroutine function says."""

    outcome: Outcome | Serve
    at_hand: Callable[[Call], Outcome | None] = lambda _: None
    """What needs no waiting; for the others ``outcome``."""
    calls: list[Call] = field(default_factory=list)

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
        call = Call(target, client, conditions, deadline, journey, crowded)
        self.calls.append(call)
        outcome = self.at_hand(call) or self.outcome
        if inspect.iscoroutinefunction(outcome) or isinstance(outcome, RawReply):
            return cast("Pending", call)  # what it holds is the service's own business
        answer = _given(outcome, journey)
        assert isinstance(answer, Reply | Unchanged)
        return answer

    async def finish(
        self, pending: Pending, conditions: Conditions, deadline: Deadline, journey: Journey
    ) -> Reply | Unchanged | RawReply:
        call = cast("Call", pending)
        assert (call.conditions, call.deadline, call.journey) == (conditions, deadline, journey)
        outcome = self.outcome
        return _given(await outcome(call) if inspect.iscoroutinefunction(outcome) else outcome, journey)


def _given(outcome: object, journey: Journey) -> Reply | Unchanged | RawReply:
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome, Reply | Unchanged | RawReply)
    journey.plan = outcome.plan
    return outcome


def plan(url: str = URL, **delivery: Any) -> Plan:
    return Plan(SourceRef(url), Options(), FormatRule(), delivery=Delivery(**delivery))


def reply(
    body: bytes = BODY,
    *,
    of: Plan | None = None,
    format_: Format = JPEG,
    validators: Validators | None = None,
    caching: Caching | None = None,
    fallback_for: int = 0,
    found: Found | None = None,
    tags: tuple[str, ...] = (),
    lifetime: Lifetime | None = None,
) -> Reply:
    rendition = Rendition(body, format_, 300, 200, 1200, 800)
    told = validators or Validators(), caching or Caching()
    return Reply(rendition, of or plan(), 5000, *told, fallback_for, found or Found(), tags, lifetime or Lifetime())


def raw(
    *headers: tuple[str, str], status: int = 200, chunks: tuple[bytes, ...] = (b"one", b"two"), of: Plan | None = None
) -> RawReply:
    async def stream() -> AsyncGenerator[bytes, None]:
        for chunk in chunks:
            yield chunk

    return RawReply(of or plan(), status, headers, stream())


def rooms(given: Mapping[str, object]) -> tuple[WebSettings, FreshnessSettings]:
    """The settings of the web and of freshness, from one heap."""
    fresh = given.keys() & FreshnessSettings.model_fields.keys()
    web = {name: value for name, value in given.items() if name not in fresh}
    return WebSettings.model_validate(web), FreshnessSettings.model_validate({name: given[name] for name in fresh})


def images(
    outcome: Outcome | Serve | FakeService,
    *,
    vary: tuple[str, ...] = (),
    metrics: Metrics | None = None,
    behind_edge: bool = False,
    trusted: tuple[Network, ...] = (),
    is_loop: Callable[[str], bool] = lambda _: False,
    **settings: object,
) -> Images:
    service = outcome if isinstance(outcome, FakeService) else FakeService(outcome)
    return Images(
        service,
        *rooms(settings),
        metrics or Metrics(),
        lambda headers: Client(frozenset({"webp"}) if "image/webp" in headers.get("accept", "") else frozenset()),
        vary,
        behind_edge=behind_edge,
        trusted=trusted,
        is_loop=is_loop,
    )


async def ask(app: Images, path: str = "/unsafe/plain/x", method: str = "GET", **headers: str) -> httpx.Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers={"accept": "*/*"}) as client:
        return await client.request(method, path, headers=fields)
