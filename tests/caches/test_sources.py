"""Originals: one download for all who ask, one question for all sizes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable

import pytest
import pytest_asyncio

from imgproxy.caches.refusals import Refusals
from imgproxy.caches.sources import Sources
from imgproxy.errors import SourceRefused, SourceTooLarge, SourceUnreachable
from imgproxy.freshness import FreshnessSettings, lifetime
from imgproxy.model import Caching, Deadline, Lifetime, Provenance, Source, SourceRef
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins
from tests.changing import Changing
from tests.origins.origin import Origin, descriptors, running

TTL = 60.0


class Room:
    """Sources over a changing origin, with a clock and a purge counter of the test's."""

    def __init__(self, origin: Origin, picture: Changing) -> None:
        self.origin = origin
        self.picture = picture
        self.clock = 1_000_000.0
        self.newest = 0
        self.negative = Refusals(10, lambda: self.clock)
        self.sources: Sources
        self.life: Callable[[Caching], Lifetime] = lambda _: Lifetime(TTL)

    async def get(
        self, path: str = "/a", known: Provenance | None = None, purged: int = 0, max_bytes: int = 0
    ) -> tuple[Provenance, bytes | None]:
        ref = SourceRef(self.origin.url(path))
        told, source = await self.sources.fetch(
            ref, max_bytes=max_bytes, deadline=Deadline.after(10), known=known, purged=purged
        )
        return told, None if source is None else read(source)


def read(source: Source) -> bytes:
    try:
        assert os.fstat(source.fd).st_size == source.size
        return os.pread(source.fd, source.size, 0)
    finally:
        source.close()


@pytest_asyncio.fixture
async def room(request: pytest.FixtureRequest) -> AsyncGenerator[Room]:
    size = getattr(request, "param", 1_000_000)
    picture = Changing()
    before = descriptors()
    async with running(picture) as origin:
        room = Room(origin, picture)
        origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
        room.sources = Sources(
            origins,
            size,
            lifetime=lambda caching: room.life(caching),  # noqa: PLW0108 - tests put another in its place
            newest=lambda: room.newest,
            refusals=room.negative,
            now=lambda: room.clock,
        )
        async with room.sources:
            yield room
        await origins.aclose()
    assert descriptors() <= before + 1


async def test_many_sizes_are_one_download(room: Room) -> None:
    for _ in range(10):
        told, body = await room.get()
        assert (body, told.validators.etag, told.size) == (b"one", '"1"', 3)
    assert room.picture.asked == 1
    assert room.sources.found == {"miss": 1, "hit": 9}


async def test_all_who_ask_at_once_are_one_download(room: Room) -> None:
    room.picture.gate = asyncio.Event()
    asking = [asyncio.ensure_future(room.get()) for _ in range(50)]
    await room.origin.asked.wait()
    room.picture.gate.set()
    assert {body for _, body in await asyncio.gather(*asking)} == {b"one"}
    assert room.picture.asked == 1


@pytest.mark.parametrize("room", [0], indirect=True)
async def test_at_once_holds_without_a_budget_too(room: Room) -> None:
    room.picture.gate = asyncio.Event()
    asking = [asyncio.ensure_future(room.get()) for _ in range(20)]
    await room.origin.asked.wait()
    room.picture.gate.set()
    assert {body for _, body in await asyncio.gather(*asking)} == {b"one"}
    assert (room.picture.asked, room.sources.bytes) == (1, 0)
    await room.get()
    assert room.picture.asked == 2


async def test_the_origin_is_asked_again_after_the_lifetime_and_its_304_renews(room: Room) -> None:
    first, _ = await room.get()
    room.clock += TTL
    told, body = await room.get()
    assert (body, told.checked_at) == (b"one", room.clock)
    assert told.checked_at == first.checked_at + TTL
    assert (room.picture.asked, room.picture.conditional, room.picture.sent) == (2, 1, 1)
    await room.get()
    assert room.picture.asked == 2


async def test_one_question_serves_all_sizes(room: Room) -> None:
    known, _ = await room.get()
    room.clock += TTL
    for _ in range(6):
        told, body = await room.get(known=known)
        assert body is None
        assert told.checked_at == room.clock
    assert (room.picture.asked, room.picture.conditional) == (2, 1)


@pytest.mark.parametrize("room", [0], indirect=True)
async def test_one_question_serves_all_sizes_without_the_bytes_too(room: Room) -> None:
    known, _ = await room.get()
    room.clock += TTL
    asked = await asyncio.gather(*(room.get(known=known) for _ in range(6)))
    assert [body for _, body in asked] == [None] * 6
    assert (room.picture.asked, room.picture.conditional, room.picture.sent) == (2, 1, 1)
    # Whoever has no version of it still needs the bytes.
    assert (await room.get())[1] == b"one"
    assert room.picture.sent == 2


async def test_a_changed_picture_is_fetched_once(room: Room) -> None:
    known, _ = await room.get()
    room.clock += TTL
    room.picture.change(b"two!", '"2"')
    asked = await asyncio.gather(*(room.get(known=known) for _ in range(6)))
    assert {body for _, body in asked} == {b"two!"}
    assert (room.picture.asked, room.picture.sent) == (2, 2)


@pytest.mark.parametrize("etag", [None, '"same"'])
async def test_versions_are_told_apart_with_validators_and_without(room: Room, etag: str | None) -> None:
    room.picture.change(b"one", etag)
    known, _ = await room.get()
    assert bool(known.digest) == (etag is None)
    room.clock += TTL
    assert (await room.get(known=known))[1] is None
    room.clock += TTL
    room.picture.change(b"other", etag and '"other"')
    assert (await room.get(known=known))[1] == b"other"


async def test_a_purge_makes_what_was_known_before_it_worthless(room: Room) -> None:
    known, _ = await room.get()
    room.newest = 7
    room.picture.change(b"two", '"1"')  # under the old tag: only an unconditional question finds out
    told, body = await room.get(known=None, purged=7)
    assert (told.generation, body) == (7, b"two")
    assert known.generation == 0
    assert (room.picture.asked, room.picture.conditional) == (2, 0)
    await room.get(purged=7)
    assert room.picture.asked == 2


async def test_what_was_asked_before_a_purge_does_not_serve_those_after_it(room: Room) -> None:
    room.picture.gate = asyncio.Event()
    old = asyncio.ensure_future(room.get())
    await room.origin.asked.wait()
    room.newest = 3
    new = asyncio.ensure_future(room.get(purged=3))
    room.origin.asked.clear()
    await room.origin.asked.wait()
    room.picture.gate.set()
    assert ((await old)[0].generation, (await new)[0].generation) == (0, 3)
    assert room.picture.asked == 2


async def test_a_missing_source_is_remembered_for_a_while(room: Room) -> None:
    room.picture.status = "404 Not Found"
    for _ in range(3):
        with pytest.raises(SourceRefused):
            await room.get()
    assert room.picture.asked == 1
    room.picture.status = "200 OK"
    room.clock += 13
    assert (await room.get())[1] == b"one"


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "403 No", "429 Slow down"])
async def test_what_may_pass_is_not_remembered(room: Room, status: str) -> None:
    room.picture.status = status
    for _ in range(2):
        with pytest.raises(SourceRefused):
            await room.get()
    assert room.picture.asked == 2


async def test_a_vanished_source_is_not_answered_from_memory(room: Room) -> None:
    await room.get()
    room.clock += TTL
    room.picture.status = "410 Gone"
    with pytest.raises(SourceRefused):
        await room.get()
    room.clock += 13
    room.picture.status = "200 OK"
    await room.get()
    assert room.picture.conditional == 1


async def test_limits_hold_for_what_is_remembered(room: Room) -> None:
    await room.get()
    with pytest.raises(SourceTooLarge):
        await room.get(max_bytes=2)
    assert (await room.get(max_bytes=3))[1] == b"one"


@pytest.mark.parametrize("room", [400], indirect=True)
async def test_the_budget_holds_and_the_least_used_go_first(room: Room) -> None:
    room.picture.body = bytes(100)
    for path in "abcd":
        await room.get(f"/{path}")
    await room.get("/a")
    assert room.sources.bytes == 400
    await room.get("/e")
    assert room.sources.bytes == 400
    await room.get("/a")
    assert room.picture.asked == 5
    await room.get("/b")
    assert room.picture.asked == 6
    room.picture.body = bytes(101)
    await room.get("/big")
    assert room.sources.bytes <= 400
    await room.get("/big")
    assert room.picture.asked == 8


async def test_what_may_not_be_stored_is_not(room: Room) -> None:
    settings = FreshnessSettings(cache_control_passthrough=True)
    room.life = lambda caching: lifetime(settings, caching)
    room.picture.headers = ("Cache-Control: no-store",)
    await room.get()
    assert room.sources.bytes == 0
    await room.get()
    assert (room.picture.asked, room.picture.conditional) == (2, 0)


async def test_an_origin_that_is_down_is_an_error_and_no_state(room: Room) -> None:
    with pytest.raises(SourceUnreachable):
        await room.sources.fetch(SourceRef("http://127.0.0.1:2/"), max_bytes=0, deadline=Deadline.after(5), known=None)
    assert (await room.get())[1] == b"one"


async def test_the_one_who_asked_first_may_leave(room: Room) -> None:
    room.picture.gate = asyncio.Event()
    first = asyncio.ensure_future(room.get())
    await room.origin.asked.wait()
    other = asyncio.ensure_future(room.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    room.picture.gate.set()
    assert (await other)[1] == b"one"
    assert room.picture.asked == 1


async def test_a_304_that_says_nothing_of_caching_leaves_what_was_said(room: Room) -> None:
    """RFC 9111 §3.2: field by field; a Date is no word about it."""
    settings = FreshnessSettings(cache_control_passthrough=True)
    room.life = lambda caching: lifetime(settings, caching)
    room.picture.headers = ("Cache-Control: max-age=5, must-revalidate", "Expires: x")
    told, _ = await room.get()
    room.clock += 5
    room.picture.headers = ("Date: Sun, 06 Nov 1994 08:49:37 GMT",)
    renewed, _ = await room.get(known=told)
    assert room.picture.conditional == 1
    assert renewed.caching == Caching("max-age=5, must-revalidate", "x", None, "Sun, 06 Nov 1994 08:49:37 GMT")


@pytest.mark.parametrize("status", ["401 No", "403 No", "404 No", "451 No"])
async def test_what_was_withdrawn_is_not_kept(room: Room, status: str) -> None:
    await room.get()
    assert room.sources.bytes == 3
    room.clock += TTL
    room.picture.status = status
    with pytest.raises(SourceRefused):
        await room.get()
    assert (room.sources.bytes, room.sources.entries) == (0, 0)


async def test_one_plans_limit_is_not_anothers(room: Room) -> None:
    with pytest.raises(SourceTooLarge):
        await room.get(max_bytes=2)
    assert (await room.get())[1] == b"one"
    with pytest.raises(SourceTooLarge):
        await room.get(max_bytes=2)
    assert (await room.get(max_bytes=3))[1] == b"one"


async def test_urls_of_any_length_are_not_remembered_at_any_length(room: Room) -> None:
    for _ in range(2):
        await room.get("/" + "a" * 5_000)
    assert (room.picture.asked, room.sources.entries) == (2, 0)
