import asyncio

import pytest

from imgproxy.caches.base import TierDown
from imgproxy.circuit import Circuit


class Full(OSError):
    pass


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Dependency:
    """Something that takes as long, by the clock, and fails, as a test says."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.takes = 0.001
        self.error: BaseException | None = None
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        self.clock.now += self.takes
        if self.error is not None:
            raise self.error
        return "here"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def dependency(clock):
    return Dependency(clock)


@pytest.fixture
def states():
    return []


@pytest.fixture
def circuit(clock, states):
    return Circuit("it", 0.05, refusals=(Full,), clock=clock, on_change=lambda it: states.append(it.state))


async def fail(circuit, dependency, times, error=None):
    dependency.error = error or ConnectionRefusedError("no")
    for _ in range(times):
        with pytest.raises(TierDown):
            await circuit.call(dependency)


async def test_a_result_passes_through(circuit, dependency):
    assert await circuit.call(dependency) == "here"
    assert circuit.outcomes == {"ok": 1}


async def test_a_failure_is_a_tier_that_is_down_and_keeps_its_cause(circuit, dependency):
    dependency.error = ConnectionRefusedError("no")
    with pytest.raises(TierDown) as caught:
        await circuit.call(dependency)
    assert caught.value.__cause__ is dependency.error


async def test_what_takes_too_long_is_given_up(clock):
    circuit = Circuit("it", 0.001, clock=clock)
    with pytest.raises(TierDown):
        await circuit.call(lambda: asyncio.sleep(60))
    assert circuit.outcomes == {"timeout": 1}


async def test_a_bug_is_no_failure(circuit, dependency):
    dependency.error = ZeroDivisionError()
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            await circuit.call(dependency)
    assert circuit.state == "closed"


async def test_five_failures_within_a_second_open_it(circuit, dependency, states):
    await fail(circuit, dependency, 4)
    assert circuit.state == "closed"
    await fail(circuit, dependency, 1)
    assert states == ["open"]
    await fail(circuit, dependency, 100)
    assert dependency.asked == 5
    assert circuit.outcomes == {"error": 5, "skipped": 100}


async def test_five_failures_in_a_minute_do_not(circuit, dependency, clock):
    for _ in range(20):
        await fail(circuit, dependency, 1)
        clock.now += 0.3
    assert circuit.state == "closed"


async def test_once_a_second_one_caller_probes(circuit, dependency, clock, states):
    await fail(circuit, dependency, 5)
    for second in range(3):
        clock.now += 1
        await fail(circuit, dependency, 10)
        assert dependency.asked == 6 + second
    dependency.error = None
    clock.now += 1
    assert await circuit.call(dependency) == "here"
    assert states == ["open", "half-open", "open", "half-open", "open", "half-open", "open", "half-open", "closed"]
    assert circuit.reason == ""


async def test_while_one_probes_the_others_do_not_wait(circuit, dependency, clock):
    await fail(circuit, dependency, 5)
    clock.now += 1
    probing, answer = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        probing.set()
        await answer.wait()
        return "back"

    async with asyncio.TaskGroup() as group:
        probe = group.create_task(circuit.call(slow))
        await probing.wait()
        assert circuit.state == "half-open"
        with pytest.raises(TierDown):
            await circuit.call(dependency)
        answer.set()
    assert probe.result() == "back"
    assert circuit.state == "closed"


async def test_a_probe_whose_caller_leaves_lets_the_next_one_probe(circuit, dependency, clock):
    await fail(circuit, dependency, 5)
    clock.now += 1
    probing = asyncio.Event()

    async def never() -> None:
        probing.set()
        await asyncio.sleep(60)

    task = asyncio.ensure_future(circuit.call(never))
    await probing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    dependency.error = None
    assert await circuit.call(dependency) == "here"


async def test_callers_who_leave_are_no_failures(circuit):
    for _ in range(20):
        task = asyncio.ensure_future(circuit.call(lambda: asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert circuit.state == "closed"
    assert circuit.outcomes == {"cancelled": 20}


async def test_slowness_opens_it_and_a_fast_probe_closes_it(circuit, dependency, clock):
    dependency.takes = 0.03
    calls = 0
    while circuit.state == "closed":
        await circuit.call(dependency)
        calls += 1
    assert 5 <= calls <= 15
    assert circuit.reason == "slow"
    clock.now += 1
    await circuit.call(dependency)
    assert (circuit.state, circuit.reason) == ("open", "slow")
    dependency.takes = 0.001
    clock.now += 1
    await circuit.call(dependency)
    assert circuit.state == "closed"


async def test_a_hiccup_is_no_slowness(circuit, dependency):
    for _ in range(10):
        dependency.takes = 0.1
        await circuit.call(dependency)
        dependency.takes = 0.001
        for _ in range(50):
            await circuit.call(dependency)
    assert circuit.state == "closed"


async def test_without_a_limit_of_slowness_it_is_patient(clock, dependency):
    circuit = Circuit("it", 5, slow=None, clock=clock)
    dependency.takes = 3
    for _ in range(100):
        await circuit.call(dependency)
    assert circuit.state == "closed"


async def test_a_refused_write_is_no_failure(circuit, dependency):
    await fail(circuit, dependency, 100, Full("full"))
    assert circuit.state == "closed"
    assert circuit.outcomes == {"refused": 100}


async def test_an_answer_from_before_it_opened_changes_nothing(circuit, dependency):
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        asked.set()
        await answer.wait()
        return "late"

    async with asyncio.TaskGroup() as group:
        late = group.create_task(circuit.call(slow))
        await asked.wait()
        await fail(circuit, dependency, 5)
        answer.set()
    assert late.result() == "late"
    assert circuit.state == "open"
