from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from imgproxy import freshness
from imgproxy.caches.behind import Behind
from imgproxy.caches.memory import Memory
from imgproxy.caches.poison import Poison
from imgproxy.caches.purges import Purges
from imgproxy.caches.refusals import Refusals
from imgproxy.caches.results import Results
from imgproxy.caches.sources import Sources
from imgproxy.clock import unix_seconds
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.errors import (
    BadSignature,
    BrokenImage,
    ExpiredUrl,
    ImageError,
    SourceForbidden,
    SourceRefused,
    UnknownImageType,
    WatermarkMissing,
)
from imgproxy.etags import Tags
from imgproxy.flight import Flights
from imgproxy.freshness import FreshnessSettings
from imgproxy.hurry import Hurry
from imgproxy.journey import Journey
from imgproxy.making import Makings
from imgproxy.model import Conditions, Deadline, RawReply, Reply, Unchanged
from imgproxy.negotiation import Negotiator
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.configured import ConfiguredSettings, fallback, watermark
from imgproxy.origins.fetch import Origins
from imgproxy.overload.admission import Admission
from imgproxy.overload.cost import Costs
from imgproxy.planning import Planner, PlanSettings
from imgproxy.presets import Presets
from imgproxy.readings import Rules
from imgproxy.render.inline import Inline
from imgproxy.service import Service
from imgproxy.signing import KeyPair, Signer, path_of
from imgproxy.tokens import Tokens
from tests import charts
from tests.origins.origin import descriptors, running, says, whole
from tests.remembering import serve as answer

NOW = 2_000_000_000
PAIR = KeyPair(b"key", b"salt")
SIGNER = Signer([PAIR])
lifetime = partial(freshness.lifetime, FreshnessSettings(result_cache_ttl=0, ttl=0))
"""Every request asks its origin: what is remembered has tests of its own."""

Make = Callable[..., Service]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "photo.png").write_bytes(charts.quadrants(300, 200))
    (root / "page.png").write_bytes(b"<html>not a picture</html>")
    (root / "cut.png").write_bytes(charts.quadrants(300, 200)[:900])
    (root / "huge.png").write_bytes(charts.grey(600, 500))
    return root


@pytest_asyncio.fixture
async def make(root: Path, tmp_path: Path) -> AsyncGenerator[Make]:
    """Services on the files beneath ``root``; all that they opened is closed at the end."""
    closing: list[Callable[[], Awaitable[None] | None]] = []

    def service(**configured: str) -> Service:
        origins = Origins(OriginSettings(local_filesystem_root=str(root), allow_loopback_source_addresses=True))
        pictures = ConfiguredSettings.model_validate(configured)
        mark, stand_in = watermark(origins, pictures), fallback(origins, pictures)
        closing.extend([mark.close, stand_in.close, origins.aclose])
        limits = PlanSettings(max_src_resolution=0.25)
        purges, refusals, memory = Purges(), Refusals(10), Memory(1_000_000)
        sources = Sources(
            origins, 0, lifetime=lifetime, newest=lambda: purges.newest, refusals=refusals, now=unix_seconds
        )
        closing.append(sources.aclose)
        results = Results(memory, [], Behind(), purges, lifetime=lifetime, trusted=lambda: True, now=unix_seconds)
        admission = Admission(8, 0)
        return Service(
            dialect=Dialect(),
            rules=Rules(SIGNER, Planner(limits, Presets(), Negotiator(), watermark=mark.identity), Tokens([PAIR])),
            tags=Tags(),
            origins=origins,
            purges=purges,
            results=results,
            flights=Flights(),
            makings=Makings(results, sources, refusals, Poison(), Costs(), admission, Inline(), mark, unix_seconds),
            hurry=Hurry(admission),
            fallback=stand_in,
            lifetime=lifetime,
            now=lambda: NOW,
        )

    (tmp_path / "mark.png").write_bytes(charts.mark())
    (tmp_path / "stand-in.png").write_bytes(charts.tiny(30))
    before = descriptors()
    yield service
    for close in closing:
        if awaitable := close():
            await awaitable
    assert descriptors() <= before + 1  # libvips may have opened one of its own


async def serve(
    service: Service, source: str, *options: str, conditions: Conditions | None = None, journey: Journey | None = None
) -> Reply | Unchanged | RawReply:
    target = SIGNER.sign(path_of(f"local:///{source}", options))
    return await answer(service, target, conditions or Conditions(), Deadline.after(10), journey or Journey("id"))


async def reply(service: Service, source: str, *options: str) -> Reply:
    answer = await serve(service, source, *options)
    assert isinstance(answer, Reply)
    return answer


async def test_a_signed_target_becomes_an_image(make: Make, root: Path) -> None:
    journey = Journey("id")
    answer = await serve(make(), "photo.png", "rs:fit:150:150", journey=journey)
    assert isinstance(answer, Reply)
    assert (answer.rendition.width, answer.rendition.height, answer.rendition.format.name) == (150, 100, "png")
    assert answer.source_bytes == journey.source_bytes == (root / "photo.png").stat().st_size
    assert answer.validators.etag
    assert answer.validators.last_modified
    assert answer.fallback_for == 0
    assert journey.plan == answer.plan
    assert journey.stages.keys() == {"cache", "queue", "downloading", "processing", "load", "encode"}


async def test_nothing_is_fetched_for_a_wrong_signature(make: Make) -> None:
    journey = Journey("id")
    with pytest.raises(BadSignature):
        await answer(make(), "/forged/plain/local:///photo.png", Conditions(), Deadline.after(1), journey)
    assert (journey.plan, journey.stages) == (None, {})


@pytest.mark.parametrize(("expires", "good"), [(NOW - 31, False), (NOW - 29, True), (NOW + 1, True), (0, True)])
async def test_urls_expire(make: Make, expires: int, good: bool) -> None:
    service = make()
    if good:
        assert (await reply(service, "photo.png", f"exp:{expires}")).plan.delivery.expires == expires
    else:
        with pytest.raises(ExpiredUrl):
            await serve(service, "photo.png", f"exp:{expires}")


async def test_an_unchanged_source_is_not_rendered(make: Make, root: Path) -> None:
    service, journey = make(), Journey("id")
    first = (await reply(service, "photo.png", "w:60")).validators
    known = Conditions(f'"x", {first.etag}')
    answer = await serve(service, "photo.png", "w:60", conditions=known, journey=journey)
    assert isinstance(answer, Unchanged)
    assert answer.validators == first
    assert (journey.source_bytes, "processing" in journey.stages) == (0, False)
    assert isinstance(await serve(service, "photo.png", "w:61", conditions=known), Reply)
    (root / "photo.png").write_bytes(charts.quadrants(150, 100))
    assert isinstance(await serve(service, "photo.png", "w:60", conditions=known), Reply)


async def test_a_date_is_asked_about_too(make: Make) -> None:
    service = make()
    date = (await reply(service, "photo.png")).validators.last_modified
    assert isinstance(await serve(service, "photo.png", conditions=Conditions(None, date)), Unchanged)


async def test_any_tag_is_unchanged_once_there_is_an_image(make: Make) -> None:
    assert isinstance(await serve(make(), "photo.png", "w:60", conditions=Conditions("*")), Unchanged)


async def test_an_origin_without_tags_is_compared_by_the_result(make: Make) -> None:
    service = make()
    async with running(says(whole(charts.tiny(9)))) as origin:
        target = SIGNER.sign(path_of(origin.url("/photo")))
        first = await answer(service, target, Conditions(), Deadline.after(10), Journey("id"))
        assert isinstance(first, Reply)
        known = Conditions(first.validators.etag)
        again = await answer(service, target, known, Deadline.after(10), Journey("id"))
    assert isinstance(again, Unchanged)
    assert again.validators == first.validators


async def test_raw_is_passed_on(make: Make, root: Path) -> None:
    body = (root / "page.png").read_bytes()
    for range_, part in ((None, body), ("bytes=1-4", body[1:5])):
        answer = await serve(make(), "page.png", "raw:1", conditions=Conditions(range=range_))
        assert isinstance(answer, RawReply)
        assert answer.status == (206 if range_ else 200)
        async with aclosing(answer.body):
            assert b"".join([piece async for piece in answer.body]) == part


async def test_raw_asks_with_the_clients_own_validators(make: Make) -> None:
    service = make()
    first = await serve(service, "photo.png", "raw:1")
    assert isinstance(first, RawReply)
    await first.body.aclose()
    again = await serve(service, "photo.png", "raw:1", conditions=Conditions(dict(first.headers)["etag"]))
    assert isinstance(again, RawReply)
    await again.body.aclose()
    assert again.status == 304


FAILURES = [("nosuch.png", 404), ("page.png", 422), ("huge.png", 422)]


@pytest.mark.parametrize(("source", "status"), FAILURES)
async def test_the_fallback_image_stands_in(
    make: Make, tmp_path: Path, source: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ImageError):
        await serve(make(), source)
    caplog.set_level(logging.WARNING)
    answer = await reply(make(fallback_image_path=str(tmp_path / "stand-in.png")), source, "w:15")
    assert (answer.rendition.width, answer.fallback_for) == (15, status)
    assert answer.validators.etag is None
    (record,) = [each for each in caplog.records if each.name == "imgproxy.service"]
    assert record.message == "answering with the fallback image"


async def test_no_fallback_image_for_a_broken_picture_or_a_bad_url(make: Make, tmp_path: Path) -> None:
    service = make(fallback_image_path=str(tmp_path / "stand-in.png"))
    with pytest.raises(BrokenImage):
        await serve(service, "cut.png")
    with pytest.raises(SourceForbidden):
        await serve(service, "../root/photo.png")


async def test_without_its_fallback_image_the_error_stays_what_it_was(make: Make) -> None:
    with pytest.raises(UnknownImageType) as caught:
        await serve(make(fallback_image_url="local:///nosuch.png"), "page.png")
    assert isinstance(caught.value.__cause__, SourceRefused)


async def test_the_watermark_is_laid_on_where_it_is_asked_for(make: Make, tmp_path: Path) -> None:
    service = make(watermark_path=str(tmp_path / "mark.png"))
    plain, marked = [await reply(service, "photo.png", *wm) for wm in ((), ("wm:1",))]
    assert plain.rendition.body != marked.rendition.body
    assert (await reply(make(), "photo.png", "wm:1")).rendition.body == plain.rendition.body


async def test_a_watermark_that_cannot_be_had_fails_the_request(make: Make) -> None:
    service = make(watermark_url="local:///nosuch.png")
    with pytest.raises(WatermarkMissing):
        await serve(service, "photo.png", "wm:1")
    assert (await reply(service, "photo.png")).rendition.width == 300


def test_stages_add_up() -> None:
    journey = Journey("id")
    for _ in range(2):
        with journey.stage("x"):
            pass
    with pytest.raises(ZeroDivisionError), journey.stage("y"):
        _ = 1 / 0
    assert journey.stages.keys() == {"x", "y"}
