"""Origins that are down are left alone, for longer each time; nobody else is, and one bad URL shuts no host."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import httpx
import pytest

from imgproxy.errors import (
    AddressForbidden,
    ImageError,
    RenderTimeout,
    SourceRefused,
    SourceResting,
    SourceTimeout,
    SourceTooLarge,
    SourceUnreachable,
)
from imgproxy.model import Deadline, Source, SourceRef
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins
from imgproxy.origins.health import FAILURES, WINDOW_S, Health
from tests.origins.contract import soon, taken
from tests.origins.origin import redirects, running, says, whole

HOST = "http://a.example"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


def no_connection() -> SourceUnreachable:
    error = SourceUnreachable("connection refused")
    error.__cause__ = httpx.ConnectError("connection refused")
    return error


def fail(health: Health, error: ImageError | None = None, about: object = "/", origin: str = HOST) -> None:
    health.admit(origin).end(error or no_connection(), about)


def rests(health: Health, origin: str = HOST) -> float | None:
    """Seconds for Retry-After while it is left alone, else None; nobody has asked."""
    try:
        health.admit(origin).end(asyncio.CancelledError())
    except SourceResting as resting:
        return resting.retry_after
    return None


def test_five_in_a_row_and_it_rests(health: Health) -> None:
    for _ in range(FAILURES - 1):
        fail(health)
        assert rests(health) is None
    fail(health)
    assert rests(health) == 1
    assert rests(health, "http://b.example") is None
    assert health.resting == 1


def test_an_answer_in_between_begins_the_row_anew(health: Health) -> None:
    for outcome in (None, SourceRefused(404), SourceRefused(403), SourceRefused(429), SourceTooLarge("x")):
        for _ in range(FAILURES - 1):
            fail(health)
        health.admit(HOST).end(outcome)
    assert rests(health) is None
    assert not health._troubled


def test_what_is_long_ago_does_not_count(health: Health, clock: Clock) -> None:
    for _ in range(20):
        fail(health)
        clock.now += WINDOW_S / (FAILURES - 1) + 0.1
    assert rests(health) is None


def test_pauses_double_up_to_half_a_minute_and_one_asks(health: Health, clock: Clock) -> None:
    for _ in range(FAILURES):
        fail(health)
    for pause in (1, 2, 4, 8, 16, 30, 30):
        clock.now += pause - 0.01
        assert rests(health) == 1
        clock.now += 0.02
        probe = health.admit(HOST)
        assert not probe.may_be_repeated
        for _ in range(3):
            assert rests(health) == 1  # one at a time
        probe.end(no_connection())
        probe.end(None)  # the first word counts
    clock.now += 31
    health.admit(HOST).end(None)
    assert rests(health) is None
    assert health.resting == 0
    for _ in range(FAILURES):
        fail(health)
    assert rests(health) == 1  # and not half a minute: it had been well


def test_a_probe_that_is_given_up_leaves_room_for_the_next(health: Health, clock: Clock) -> None:
    for _ in range(FAILURES):
        fail(health)
    clock.now += 1.1
    for error in (asyncio.CancelledError(), RenderTimeout("x"), AddressForbidden("x")):
        health.admit(HOST).end(error)
    health.admit(HOST).end(None)
    assert health.resting == 0


@pytest.mark.parametrize(
    "error", [SourceRefused(500), SourceRefused(503), SourceTimeout("slow"), SourceRefused(429, retry_after=3)]
)
def test_one_bad_url_shuts_no_host(health: Health, error: ImageError) -> None:
    for _ in range(50):
        fail(health, error, "/bad")
    assert rests(health) is None
    for n in range(FAILURES - 1):
        fail(health, error, f"/bad{n}")
    assert rests(health) is not None


@pytest.mark.parametrize(
    "error", [RenderTimeout("the request's own"), AddressForbidden("x"), SourceUnreachable("half a source"), KeyError()]
)
def test_what_is_not_the_origins_fault_says_nothing(health: Health, error: BaseException) -> None:
    for n in range(3 * FAILURES):
        health.admit(HOST).end(error, n)
    assert not health._troubled


def test_an_origin_may_ask_for_a_pause(health: Health, clock: Clock) -> None:
    for n in range(FAILURES):
        fail(health, SourceRefused(503, retry_after=20), n)
    clock.now += 19.9
    assert rests(health) == 1
    clock.now += 0.2
    health.admit(HOST).end(SourceRefused(429, retry_after=3600))
    clock.now += 59.9
    assert rests(health) == 1  # a minute at most
    clock.now += 0.2
    assert rests(health) is None


def test_who_asked_before_does_not_prolong_it(health: Health, clock: Clock) -> None:
    late = [health.admit(HOST) for _ in range(10)]
    for _ in range(FAILURES):
        fail(health)
    for each in late[:9]:
        each.end(no_connection())
    clock.now += 1.1
    assert rests(health) is None
    fail(health)
    assert rests(health) == 2
    late[9].end(None)
    assert rests(health) is None


def test_origins_that_are_well_are_not_remembered_and_others_are_bounded(health: Health) -> None:
    for n in range(3000):
        health.admit(f"http://{n}.example").end(None)
    assert not health._troubled
    for n in range(3000):
        fail(health, origin=f"http://{n}.example")
    assert len(health._troubled) == 1000


# --- through Origins ------------------------------------------------------------------------------


def settings(**changes: object) -> OriginSettings:
    return OriginSettings.model_validate({"allow_loopback_source_addresses": True} | changes)


async def outcome(origins: Origins, url: str, deadline: Deadline | None = None) -> ImageError | bytes:
    try:
        return taken(await origins.fetch(SourceRef(url), max_bytes=100, deadline=deadline or soon()))
    except ImageError as error:
        return error


@pytest.fixture
async def origins():
    origins = Origins(settings(download_timeout=0.1))
    yield origins
    await origins.aclose()


async def test_an_origin_that_is_gone_is_refused_at_once(origins: Origins) -> None:
    async with running(says(b"")) as origin:
        pass
    for _ in range(FAILURES):
        assert isinstance(await outcome(origins, origin.url()), SourceUnreachable)
    start = time.monotonic()
    for _ in range(10):
        error = await outcome(origins, origin.url("/other"))
        assert isinstance(error, SourceResting)
        assert error.retry_after
    assert time.monotonic() - start < 0.1  # ten of them: 10 ms each are allowed
    assert origins.resting == 1
    with pytest.raises(SourceResting):
        await origins.stream(SourceRef(origin.url()), deadline=soon())


@pytest.mark.parametrize(
    "answer",
    [
        (whole(b"", status="500 No"),),
        (b"",),  # silence
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx",),  # and half a body
    ],
)
async def test_an_origin_that_fails_every_url(origins: Origins, answer: tuple[bytes, ...]) -> None:
    async with running(says(*answer, close=False)) as origin:
        for n in range(FAILURES):
            assert not isinstance(await outcome(origins, origin.url(f"/{n}")), SourceResting)
        assert isinstance(await outcome(origins, origin.url("/6")), SourceResting)
        assert len(origin.requests) == FAILURES


async def test_a_short_deadline_of_ours_is_not_held_against_it(origins: Origins) -> None:
    async with running(says(b"", close=False)) as origin:
        for n in range(2 * FAILURES):
            error = await outcome(origins, origin.url(f"/{n}"), Deadline.after(0.01))
            assert isinstance(error, RenderTimeout)
    assert origins.resting == 0


async def test_who_redirects_is_not_blamed_for_where_to(origins: Origins) -> None:
    async with running(says(b"")) as gone:
        pass
    async with (
        running(says(redirects(gone.url()), close=False)) as origin,
        running(says(whole(b"picture"))) as other,
    ):
        for n in range(2 * FAILURES):
            error = await outcome(origins, origin.url(f"/{n}"))
            assert isinstance(error, SourceUnreachable if n < FAILURES else SourceResting)
        assert len(origin.requests) == 2 * FAILURES
        assert await outcome(origins, other.url()) == b"picture"
    assert origins.resting == 1


@pytest.mark.parametrize("error", [SourceRefused(500), SourceTimeout("slow"), SourceRefused(404)])
def test_whom_others_send_to_an_origins_worst_urls_shuts_nobody_out(health: Health, error: ImageError) -> None:
    for n in range(3 * FAILURES):
        health.admit(HOST, sent=True).end(error, f"/{n}")
    assert health.resting == 0
    for n in range(FAILURES):
        health.admit(HOST, sent=True).end(no_connection(), f"/{n}")
    assert health.resting == 1  # whoever asks, there is nobody


def test_whom_others_send_does_not_decide_that_it_stays_shut(health: Health, clock: Clock) -> None:
    for n in range(FAILURES):
        fail(health, SourceRefused(500), f"/{n}")
    clock.now += 2
    health.admit(HOST, sent=True).end(SourceRefused(500), "/x")
    health.admit(HOST).end(None)
    assert health.resting == 0


async def test_redirects_to_another_origins_errors_do_not_count_there(origins: Origins) -> None:
    async with (
        running(says(whole(b"", status="500 Internal Server Error"), close=False)) as victim,
        running(says(redirects(victim.url()), close=False)) as origin,
    ):
        for n in range(2 * FAILURES):
            assert isinstance(await outcome(origins, origin.url(f"/{n}")), SourceRefused)
    assert origins.resting == 0


async def test_it_is_found_to_be_back(origins: Origins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.origins.health._PAUSE_S", 0.05)
    well = asyncio.Event()

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(b"picture") if well.is_set() else whole(b"", status="500 No"))

    async with running(answer) as origin:
        for n in range(FAILURES):
            await outcome(origins, origin.url(f"/{n}"))
        well.set()
        assert isinstance(await outcome(origins, origin.url()), SourceResting)
        await asyncio.sleep(0.06)
        assert await outcome(origins, origin.url()) == b"picture"
        assert origins.resting == 0


async def test_a_request_that_is_cancelled_gives_its_probe_back(
    origins: Origins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgproxy.origins.health._PAUSE_S", 0.01)
    async with running(says(b"", close=False)) as origin:
        for n in range(FAILURES):
            await outcome(origins, origin.url(f"/{n}"))
        await asyncio.sleep(0.02)
        origin.asked.clear()
        probe = asyncio.ensure_future(outcome(origins, origin.url("/probe")))
        await asyncio.wait_for(origin.asked.wait(), 1)
        assert isinstance(await outcome(origins, origin.url()), SourceResting)
        probe.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await probe
        assert isinstance(await outcome(origins, origin.url("/next")), SourceTimeout)


async def test_what_is_counted(origins: Origins) -> None:
    async with running(says(whole(b"x" * 101))) as origin:
        urls = (origin.url(), "http://0.0.0.0/", "ftp://a/", "http://127.0.0.1:22/")
        for url in urls:
            await outcome(origins, url)
    async with running(says(redirects("/"), close=False)) as origin:
        await outcome(origins, origin.url())
    assert origins.refused == {"size": 1, "address": 1, "scheme": 1, "port": 1, "redirect": 1}
    async with running(says(b"", close=False)) as origin:
        asking = asyncio.ensure_future(outcome(origins, origin.url()))
        await asyncio.wait_for(origin.asked.wait(), 1)
        assert origins.in_flight == 1
        await asking
    assert origins.in_flight == 0


async def test_a_pause_that_is_asked_for_is_passed_on() -> None:
    origins = Origins(settings())
    async with (
        running(says(whole(b"", "Retry-After: 7", status="503 Later"))) as seconds,
        running(says(whole(b"", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", status="429 Later"))) as date,
        running(says(whole(b"", "Retry-After: soon", status="503 Later"))) as nonsense,
        running(says(whole(b"", "Retry-After: 7", status="404 Not Found"))) as other,
    ):
        waits = []
        for origin in (seconds, date, nonsense, other):
            error = await outcome(origins, origin.url())
            assert isinstance(error, SourceRefused)
            waits.append(error.retry_after)
            with pytest.raises(SourceRefused) as caught:
                await origins.stream(SourceRef(origin.url()), deadline=soon())
            assert caught.value.retry_after == error.retry_after
    assert waits == [7, 3600, None, None]
    await origins.aclose()


@pytest.mark.parametrize(("rate", "ends"), [(20_000, True), (0, False)])
async def test_a_source_has_to_arrive_at_some_rate(rate: int, ends: bool) -> None:
    origins = Origins(settings(min_download_rate=rate))
    pieces = (b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n", *[b"x" * 100] * 30)
    async with running(says(*pieces, pause=0.06, close=False)) as origin:
        start = time.monotonic()
        try:
            source = await origins.fetch(SourceRef(origin.url()), max_bytes=0, deadline=soon())
        except SourceTimeout:
            assert ends
            assert 1.0 < time.monotonic() - start < 1.5  # a second of grace, and 0.15 s for what has arrived
        else:
            assert not ends
            assert isinstance(source, Source)
            source.close()
        await origins.aclose()


async def test_a_connection_has_to_come_about_in_time() -> None:
    """A listener whose queue is full answers no SYN."""
    with socket.socket() as listener, contextlib.ExitStack() as held:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = held.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        origins = Origins(settings(connect_timeout=0.2))
        start = time.monotonic()
        error = await outcome(origins, f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert isinstance(error, SourceTimeout)
        assert 0.15 < time.monotonic() - start < 0.6
        await origins.aclose()


async def test_tls_has_to_come_about_in_time() -> None:
    async with running(says(b"", close=False)) as origin:
        origins = Origins(settings(connect_timeout=0.2))
        start = time.monotonic()
        error = await outcome(origins, origin.url().replace("http:", "https:"))
        assert isinstance(error, SourceTimeout)
        assert time.monotonic() - start < 0.6
        await origins.aclose()
