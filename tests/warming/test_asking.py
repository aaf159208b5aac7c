from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from imgproxy.warming.asking import ATTEMPTS, Asker, Outcome
from imgproxy.warming.places import Item
from tests.warming.answering import OK, Time, answering, said

BUSY = said("429 Too Many Requests", b"Too many requests\nmore", Retry_After="7")


async def ask(*turns: bytes | None) -> tuple[Outcome, Time, int]:
    """The outcome for such answers, how long was waited, and how often was asked."""
    time = Time()
    async with answering(a=[*turns]) as server, Asker(server.place, sleep=time.sleep, clock=time) as asker:
        outcome = await asker.ask(Item("/a"))
        return outcome, time, len(server.asked)


async def test_an_image() -> None:
    outcome, time, asked = await ask(OK)
    assert (outcome.good, outcome.status, outcome.size, outcome.hit) == (True, 200, 4, False)
    assert (time.slept, asked) == ([], 1)


@pytest.mark.parametrize(
    ("value", "hit"),
    [
        ("imgproxy; hit; ttl=3", True),
        ('edge; fwd=uri-miss, imgproxy; detail="hit"', False),
        ("edge; fwd=uri-miss, imgproxy; hit", True),
    ],
)
async def test_what_was_there_already(value: str, *, hit: bool) -> None:
    outcome, _, _ = await ask(said("200 OK", b"x", Cache_Status=value))
    assert outcome.hit is hit


async def test_every_byte_of_the_target_is_sent_as_it_is() -> None:
    target = "/s/plain/http://a/../b//c%2F%zz@webp"
    async with answering() as server, Asker(server.place, secret="hush") as asker:
        await asker.ask(Item(target, "image/webp"))
        assert server.asked == [target]
        (head,) = server.heads
    assert "accept: image/webp\r\n" in head
    assert "authorization: bearer hush\r\n" in head
    assert "accept-encoding: identity\r\n" in head


async def test_patience_that_is_asked_for_is_had() -> None:
    outcome, time, asked = await ask(BUSY, BUSY, OK)
    assert outcome.good
    assert (time.slept, asked) == ([7, 7], 3)


async def test_patience_until_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    outcome, time, _ = await ask(said("503 Service Unavailable", Retry_After=date), OK)
    assert outcome.good
    assert time.slept == [pytest.approx(20, abs=2)]


async def test_patience_is_everybodys() -> None:
    time = Time()
    async with answering(a=[BUSY, OK]) as server, Asker(server.place, sleep=time.sleep, clock=time) as asker:
        await asker.ask(Item("/a"))
        assert time.now >= 1007
        asker._not_before = time.now + 5
        await asker.ask(Item("/b"))
    assert time.slept == [7, 5]


async def test_patience_has_an_end() -> None:
    outcome, time, asked = await ask(said("429 Too Many Requests", b"Later", Retry_After="3600"))
    assert outcome.reason == "Later; it asks for 3600 s of patience"
    assert (time.slept, asked) == ([], 1)
    outcome, time, asked = await ask(BUSY)
    assert (outcome.status, outcome.reason, asked) == (429, "Too many requests", ATTEMPTS)


@pytest.mark.parametrize("turn", [said("502 Bad Gateway"), None], ids=["502", "closed"])
async def test_failures_in_passing_are_tried_again(turn: bytes | None) -> None:
    outcome, time, asked = await ask(turn, turn, OK)
    assert outcome.good
    assert asked == 3
    assert time.slept == [pytest.approx(0.5, rel=0.25), pytest.approx(1, rel=0.25)]


@pytest.mark.parametrize(
    ("turn", "status", "reason"),
    [
        (said("404 Not Found", b"Source is unreachable"), 404, "Source is unreachable"),
        (said("403 Forbidden"), 403, "Forbidden"),
        (said("302 Found", Location="http://elsewhere/"), 302, "a redirect, which is not followed"),
        (said("204 No Content"), 204, "No Content"),
        (said("500 Oops", "é".encode() * 999), 500, "é" * 50),
    ],
)
async def test_other_failures_are_final(turn: bytes, status: int, reason: str) -> None:
    outcome, time, asked = await ask(turn)
    assert (outcome.good, outcome.status, outcome.reason) == (False, status, reason)
    assert (asked, time.slept) == (1, [])


async def test_a_server_that_is_gone() -> None:
    time = Time()
    async with answering() as server:
        place = server.place
    async with Asker(place, sleep=time.sleep, clock=time) as asker:
        outcome = await asker.ask(Item("/a"))
    assert outcome.status == 0
    assert outcome.reason
    assert len(time.slept) == ATTEMPTS - 1


async def test_bodies_that_are_read_are_bounded() -> None:
    async with answering(a=[OK], b=[said("404 Not Found")], c=[None]) as server, Asker(server.place) as asker:
        assert await asker.read("/a", 4) == b"abcd"
        for target, reason in (("/a", "more than"), ("/b", "answered with 404"), ("/c", "disconnected")):
            with pytest.raises(OSError, match=reason):
                await asker.read(target, 3)
