"""Names: asked seldom, in few threads, and remembered while nobody answers."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from imgproxy.origins.names import THREADS, Names


class Resolver:
    """In the place of the C library's: knows what it is told, hangs when it is told to."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str] | Exception] = {}
        self.asked: list[str] = []
        self.running = threading.Event()
        self.running.set()
        self.threads = 0

    def getaddrinfo(self, host: str, port: int, *_: object) -> list[object]:
        self.asked.append(host)
        self.running.wait(20)
        answer = self.answers.get(host, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        if isinstance(answer, Exception):
            raise answer
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in answer
        ]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch):
    it = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", it.getaddrinfo)
    yield it
    it.running.set()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def names(clock: Clock) -> Names:
    return Names(10, clock)


TEMPORARY = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


async def test_an_answer_is_new_for_a_while(resolver: Resolver, names: Names, clock: Clock) -> None:
    resolver.answers["a"] = ["192.0.2.1", "2001:db8::1", "192.0.2.1"]
    assert await names.lookup("a") == ("192.0.2.1", "2001:db8::1")
    resolver.answers["a"] = ["192.0.2.2"]
    clock.now += 9.9
    assert await names.lookup("a") == ("192.0.2.1", "2001:db8::1")
    clock.now += 0.2
    assert await names.lookup("a") == ("192.0.2.2",)
    assert resolver.asked == ["a", "a"]


async def test_aiohttp_gets_addresses_and_no_names(resolver: Resolver, names: Names) -> None:
    resolver.answers["a"] = ["192.0.2.1", "2001:db8::1"]
    found = await names.resolve("a", 80)
    assert [(each["host"], each["port"], each["family"]) for each in found] == [
        ("192.0.2.1", 80, socket.AF_INET),
        ("2001:db8::1", 80, socket.AF_INET6),
    ]


async def test_many_who_ask_are_one_question(resolver: Resolver, names: Names) -> None:
    resolver.answers["a"] = ["192.0.2.1"]
    resolver.running.clear()
    asking = [asyncio.ensure_future(names.lookup("a")) for _ in range(50)]
    await asyncio.sleep(0)
    resolver.running.set()
    assert set(await asyncio.gather(*asking)) == {("192.0.2.1",)}
    assert resolver.asked == ["a"]


async def test_who_leaves_takes_no_answer_from_others(resolver: Resolver, names: Names) -> None:
    resolver.answers["a"] = ["192.0.2.1"]
    resolver.running.clear()
    first, second = (asyncio.ensure_future(names.lookup("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    resolver.running.set()
    assert await second == ("192.0.2.1",)


async def test_a_name_of_a_thousand_addresses(resolver: Resolver, names: Names) -> None:
    resolver.answers["a"] = [f"192.0.{n // 250}.{n % 250}" for n in range(1000)]
    assert len(await names.lookup("a")) == 16


@pytest.mark.parametrize(
    "error",
    [socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long"), TEMPORARY, OSError(24, "files")],
)
async def test_a_failure_is_remembered_briefly(
    resolver: Resolver, names: Names, clock: Clock, error: Exception
) -> None:
    resolver.answers["a"] = error
    for _ in range(5):
        with pytest.raises(OSError):  # noqa: PT011 - gaierror is one
            await names.lookup("a")
    assert len(resolver.asked) == 1
    resolver.answers["a"] = ["192.0.2.1"]
    clock.now += 2.1
    assert await names.lookup("a") == ("192.0.2.1",)


@pytest.mark.parametrize("error", [TEMPORARY, socket.gaierror(socket.EAI_FAIL, "x"), OSError(24, "files")])
async def test_an_old_answer_serves_while_there_is_no_new_one(
    resolver: Resolver, names: Names, clock: Clock, error: Exception
) -> None:
    resolver.answers["a"] = ["192.0.2.1"]
    await names.lookup("a")
    resolver.answers["a"] = error
    for _ in range(5):
        clock.now += 100
        assert await names.lookup("a") == ("192.0.2.1",)
        assert await names.lookup("a") == ("192.0.2.1",)
    clock.now += 101
    with pytest.raises(OSError):  # noqa: PT011
        await names.lookup("a")
    assert len(resolver.asked) == 7


async def test_a_name_that_is_gone_is_gone(resolver: Resolver, names: Names, clock: Clock) -> None:
    resolver.answers["a"] = ["192.0.2.1"]
    await names.lookup("a")
    del resolver.answers["a"]
    clock.now += 11
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="not known"):
            await names.lookup("a")


async def test_a_resolver_that_hangs_costs_the_known_little_and_the_unknown_a_second(resolver: Resolver) -> None:
    names = Names(0.05)
    resolver.answers["old"] = ["192.0.2.1"]
    await names.lookup("old")
    resolver.running.clear()
    await asyncio.sleep(0.06)
    before = threading.active_count()
    start = time.monotonic()
    asked = [asyncio.ensure_future(names.lookup(f"new{n}")) for n in range(300)]
    waits: list[float] = []
    for _ in range(100):
        at = time.monotonic()
        assert await names.lookup("old") == ("192.0.2.1",)
        waits.append(time.monotonic() - at)
    assert sum(waits) < 0.5  # the first one waits 0.2 s for news, the others know better
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in outcomes} == {TimeoutError}
    assert 0.9 < time.monotonic() - start < 1.2
    assert threading.active_count() - before <= THREADS
    # Who comes later joins a question that has had its time, and waits no more.
    at = time.monotonic()
    with pytest.raises(TimeoutError):
        await names.lookup("new0")
    assert time.monotonic() - at < 0.1
    resolver.answers["later"] = ["192.0.2.3"]
    later = asyncio.ensure_future(names.lookup("later"))
    await asyncio.sleep(0)
    resolver.running.set()
    assert await later == ("192.0.2.3",)
    assert len(resolver.asked) < 2 * THREADS  # what nobody waited for any more was never asked


async def test_what_is_known_is_bounded(resolver: Resolver, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.origins.names._MOST_NAMES", 10)
    for n in range(30):
        resolver.answers[f"a{n}"] = ["192.0.2.1"]
        await names.lookup(f"a{n}")
    assert len(names._names) == 10
    assert not names._questions


def test_a_question_does_not_keep_a_process_alive(resolver: Resolver) -> None:
    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(names.lookup("a"), 0.01)

    names = Names(10)
    resolver.running.clear()
    asyncio.run(leave())
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "resolver")
