"""Second tries: where they help, and never many."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from imgproxy.errors import ImageError, SourceRefused, SourceUnreachable
from imgproxy.model import Deadline, SourceRef
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins
from imgproxy.origins.retries import Retries, jitter
from tests.origins.contract import soon, taken
from tests.origins.origin import Answer, running, whole

GOOD = whole(b"picture")


def first(*answers: bytes | None) -> Answer:
    """An origin with these answers, one after the other, then good ones; None closes the connection."""
    left = list(answers)

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        said = left.pop(0) if left else GOOD
        if said:
            writer.write(said)
        writer.close()

    return answer


@pytest.fixture
async def origins():
    origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
    origins._asking._retries._budget = 1.0
    yield origins
    await origins.aclose()


@pytest.mark.parametrize(
    "answer", [None, *(whole(b"", status=f"{status} Down") for status in (502, 503, 504))], ids=str
)
async def test_a_failure_that_may_be_over_is_tried_again_once(origins: Origins, answer: bytes | None) -> None:
    async with running(first(answer)) as origin:
        ref = SourceRef(origin.url())
        assert taken(await origins.fetch(ref, max_bytes=0, deadline=soon())) == b"picture"
        assert len(origin.requests) == 2
    origins._asking._retries._budget = 1.0
    async with running(first(answer, answer)) as origin:
        with pytest.raises((SourceRefused, SourceUnreachable)):
            await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())
        assert len(origin.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        whole(b"", status="500 No"),
        whole(b"", status="404 No"),
        whole(b"", status="429 No"),
        whole(b"", "Retry-After: 1", status="503 No"),  # it asks not to be asked
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",  # a body has begun
        b"SSH-2.0\r\n\r\n",
    ],
)
async def test_other_failures_are_not(origins: Origins, answer: bytes) -> None:
    async with running(first(answer)) as origin:
        with pytest.raises(ImageError):
            await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())
        assert len(origin.requests) == 1


async def test_not_when_the_deadline_is_near(origins: Origins) -> None:
    async with running(first(None)) as origin:
        with pytest.raises(SourceUnreachable):
            await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=Deadline.after(1))
        assert len(origin.requests) == 1


async def test_not_when_the_origin_failed_before(origins: Origins) -> None:
    async with running(first(whole(b"", status="500 No"), None)) as origin:
        for _ in range(2):
            with pytest.raises(ImageError):
                await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())
        assert len(origin.requests) == 2


async def test_an_origin_that_is_down_gets_a_tenth_more_at_most() -> None:
    async def down(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(b"", status="503 Down"))
        writer.close()

    origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
    async with running(down) as origin:

        async def ask(number: int) -> None:
            with suppress(ImageError):
                await origins.fetch(SourceRef(origin.url(f"/{number % 3}")), max_bytes=0, deadline=soon())

        for _ in range(20):
            await asyncio.gather(*(ask(n) for n in range(10)))
        assert 200 <= len(origin.requests) <= 220
    await origins.aclose()


async def test_an_idle_connection_that_is_closed_meanwhile_costs_nothing(origins: Origins) -> None:
    """Every second request is dropped, each on a connection that was good for one."""
    origins._asking._retries._budget = 0.0
    connections: list[int] = []

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        if port in connections:
            writer.close()
            return
        connections.append(port)
        writer.write(GOOD)

    async with running(answer) as origin:
        for n in range(5):
            ref = SourceRef(origin.url(f"/{n}"))
            assert taken(await origins.fetch(ref, max_bytes=0, deadline=soon())) == b"picture"
        assert origin.targets == [b"/0", b"/1", b"/1", b"/2", b"/2", b"/3", b"/3", b"/4", b"/4"]


async def test_a_new_connection_that_is_closed_is_not_tried_behind_our_back(origins: Origins) -> None:
    origins._asking._retries._budget = 0.0
    async with running(first(None)) as origin:
        with pytest.raises(SourceUnreachable):
            await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())
        assert len(origin.requests) == 1


def test_the_budget() -> None:
    retries = Retries()
    assert not retries.spend(9)
    for _ in range(1000):
        retries.earn()
    assert not retries.spend(0.9)
    assert [retries.spend(9) for _ in range(12)] == [True] * 10 + [False] * 2
    spent = 0
    for _ in range(1000):
        retries.earn()
        spent += retries.spend(9)
    assert 99 <= spent <= 100


def test_who_failed_together_comes_back_apart() -> None:
    pauses = [jitter() for _ in range(200)]
    assert 0.05 <= min(pauses) < 0.06
    assert 0.14 < max(pauses) <= 0.15
