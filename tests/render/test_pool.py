"""The pool with real render processes: what is lost when one is killed, spins, crashes or lies, and what is not."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from imgproxy.errors import Draining, InternalError, RenderTimeout, SourceTooExpensive, WorkerLost
from imgproxy.model import Deadline, Job, Report, Source
from imgproxy.render.budget import Budget
from imgproxy.render.pool import Pool
from imgproxy.render.settings import PoolSettings, available_cpus
from tests.render import sabotage
from tests.render.conftest import URL, until

if TYPE_CHECKING:
    from collections.abc import Coroutine

Jobs = Callable[[str], Job]


def full(pool: Pool) -> bool:
    """All processes are there and idle, the spare included."""
    return pool._idle.qsize() == len(pool.pids) == pool.size + 1 and pool.busy == pool.waiting == 0


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


async def outcomes(*renders: Coroutine[Any, Any, Report]) -> list[Report | BaseException]:
    return await asyncio.gather(*renders, return_exceptions=True)


async def test_two_hundred_jobs_leave_no_descriptor_and_no_process(pool: Pool, job: Jobs) -> None:
    await pool.render(job("render"), Deadline.after(5))
    before, pids = open_fds(), pool.pids
    for result in await outcomes(*(pool.render(job("render"), Deadline.after(20)) for _ in range(200))):
        assert isinstance(result, Report)
    assert open_fds() == before
    assert pool.pids == pids
    assert full(pool)
    assert pool.memory.resident_bytes > 3 * 20e6
    assert pool.memory.vips_peak_bytes > 0


async def test_only_so_many_render_at_a_time(pool: Pool, job: Jobs) -> None:
    renders = asyncio.gather(*(pool.render(job("sleep:0.1"), Deadline.after(5)) for _ in range(5)))
    await until(lambda: pool.busy == 2)
    assert pool.waiting == 3
    start = time.monotonic()
    await renders
    assert time.monotonic() - start > 0.2
    assert full(pool)


async def test_kill_9_under_load_is_one_failed_request(pool: Pool, job: Jobs) -> None:
    renders = [asyncio.ensure_future(pool.render(job("sleep:0.05"), Deadline.after(10))) for _ in range(20)]
    await until(lambda: pool.busy == 2)
    await asyncio.sleep(0.02)
    busy = next(process for process in pool._processes if process._answer is not None)
    os.kill(busy.pid, signal.SIGKILL)
    results = await asyncio.gather(*renders, return_exceptions=True)
    lost = [result for result in results if not isinstance(result, Report)]
    assert [type(error) for error in lost] == [WorkerLost]
    assert "SIGKILL" in str(lost[0])
    assert isinstance(lost[0], WorkerLost)
    assert lost[0].from_outside
    await until(lambda: full(pool))
    assert pool.restarts == {"crashed": 1}
    assert busy.pid not in pool.pids


async def test_a_kill_of_an_idle_process_costs_nothing(pool: Pool, job: Jobs) -> None:
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.05)  # noqa: ASYNC251 - dead before the loop notices
    for result in await outcomes(*(pool.render(job("render"), Deadline.after(5)) for _ in range(4))):
        assert isinstance(result, Report)
    await until(lambda: full(pool))
    assert pool.restarts == {"crashed": 3}


@pytest.mark.parametrize("act", ["spin", "sleep:60"])
async def test_a_render_past_its_deadline_is_killed(pool: Pool, job: Jobs, act: str) -> None:
    start = time.monotonic()
    with pytest.raises(RenderTimeout):
        await pool.render(job(act), Deadline.after(0.1))
    assert 0.1 <= time.monotonic() - start < 0.4
    start = time.monotonic()
    await pool.render(job("render"), Deadline.after(5))  # the spare takes over
    assert time.monotonic() - start < 0.1
    await until(lambda: full(pool))
    assert pool.restarts == {"killed": 1}


async def test_all_spin_at_once_and_the_pool_recovers(pool: Pool, job: Jobs) -> None:
    results = await outcomes(*(pool.render(job("spin"), Deadline.after(0.1)) for _ in range(6)))
    assert [type(result) for result in results] == [RenderTimeout] * 6
    await pool.render(job("render"), Deadline.after(5))
    await until(lambda: full(pool))


@pytest.mark.parametrize(
    ("act", "detail"),
    [
        ("signal:SIGSEGV", "SIGSEGV"),
        ("abort:gmem.c: failed to allocate", "SIGABRT"),
        ("exit:3", "exit status 3"),
        ("garbage:hello", "garbage"),
        ('garbage:{"kind":"ready"}', "garbage"),
        ('garbage:{"kind":"ready","layers":[]}', "nobody asked"),
        ('garbage:{"kind":"confining"}', "nobody asked"),
        ('garbage:{"kind":"error","code":"timeout","detail":""}', "garbage"),
        ("garbage:descriptor", "garbage"),
        ("garbage:short", "garbage"),
        ("garbage:hang up", "SIGKILL"),
    ],
)
async def test_a_process_that_crashes_or_lies_is_replaced(pool: Pool, job: Jobs, act: str, detail: str) -> None:
    pids = set(pool.pids)
    bad, good = await outcomes(
        pool.render(job(act), Deadline.after(5)),
        pool.render(job("render"), Deadline.after(5)),
    )
    assert isinstance(bad, WorkerLost)
    assert not bad.from_outside
    assert bad.ended_process
    assert detail in str(bad)
    assert "\n" not in str(bad)  # what it wrote is for the log
    assert isinstance(good, Report)
    await until(lambda: full(pool))
    assert pool.restarts == {"crashed": 1}
    assert len(pids & set(pool.pids)) == 2


async def test_an_unasked_answer_is_the_end_of_a_process(pool: Pool, job: Jobs) -> None:
    pids = pool.pids
    await pool.render(job("talkative"), Deadline.after(5))
    await until(lambda: pool.restarts.total() == 1)
    await until(lambda: full(pool))
    assert pool.pids != pids


async def test_a_cancelled_render_ends_in_order(pool: Pool, job: Jobs) -> None:
    before, pids = open_fds(), pool.pids
    for _ in range(3):
        render = asyncio.ensure_future(pool.render(job("sleep:0.05"), Deadline.after(5)))
        await until(lambda: pool.busy == 1)
        render.cancel()
        with pytest.raises(asyncio.CancelledError):
            await render
        assert pool.busy == 1
        await until(lambda: full(pool))
    assert pool.pids == pids
    assert open_fds() == before


async def test_a_cancelled_render_still_has_its_deadline(pool: Pool, job: Jobs) -> None:
    render = asyncio.ensure_future(pool.render(job("spin"), Deadline.after(0.1)))
    await until(lambda: pool.busy == 1)
    render.cancel()
    await until(lambda: full(pool) and pool.restarts.total() == 1)
    assert pool.restarts == {"killed": 1}


async def test_cancelled_while_waiting_for_a_process(pool: Pool, job: Jobs) -> None:
    renders = [asyncio.ensure_future(pool.render(job("sleep:0.05"), Deadline.after(5))) for _ in range(6)]
    await until(lambda: pool.busy == 2 and pool.waiting == 4)
    for render in renders[2:]:
        render.cancel()
    await asyncio.wait(renders)
    assert full(pool)


async def test_the_deadline_counts_while_waiting_for_a_process(pool: Pool, job: Jobs) -> None:
    results = await outcomes(
        pool.render(job("sleep:0.2"), Deadline.after(5)),
        pool.render(job("sleep:0.2"), Deadline.after(5)),
        pool.render(job("render"), Deadline.after(0.05)),
    )
    assert [type(result) for result in results] == [Report, Report, RenderTimeout]
    assert full(pool)


async def test_a_job_that_does_not_fit_costs_no_process(pool: Pool, job: Jobs) -> None:
    with pytest.raises(InternalError, match="too large"):
        await pool.render(job("render:" + "x" * 200_000), Deadline.after(5))
    assert full(pool)


async def test_probe_meets_every_process(pool: Pool) -> None:
    for _ in range(3):
        await pool.probe(Deadline.after(5))
    victim = pool.pids[0]
    os.kill(victim, signal.SIGSTOP)
    start = time.monotonic()
    failures = 0
    for _ in range(3):
        try:
            await pool.probe(Deadline.after(0.2))
        except RenderTimeout:
            failures += 1
    assert failures == 1
    assert time.monotonic() - start < 1
    await until(lambda: full(pool))
    assert victim not in pool.pids


async def test_probe_of_a_pool_that_does_not_run() -> None:
    with pytest.raises(InternalError):
        await Pool(1).probe(Deadline.after(1))


async def test_close_answers_what_is_under_way(job: Jobs) -> None:
    pool = Pool(1, command=sabotage.COMMAND)
    before = open_fds()
    await pool.start()
    render = asyncio.ensure_future(pool.render(job("spin"), Deadline.after(5)))
    await until(lambda: pool.busy == 1)
    await pool.aclose()
    with pytest.raises(Draining) as caught:
        await render
    assert not caught.value.ended_process  # the picture is not to blame
    with pytest.raises(Draining):
        await pool.render(job("render"), Deadline.after(5))
    assert pool.pids == ()
    assert open_fds() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222 - no zombies, no children at all


async def test_a_start_that_fails_says_why() -> None:
    before = open_fds()
    pool = Pool(2, command=(sys.executable, "-c", "import no_such_module"))
    with pytest.raises(WorkerLost, match=r"exit status 1:\n(.|\n)*No module named 'no_such_module'"):
        await pool.start()
    assert pool.pids == ()
    await until(lambda: open_fds() == before)
    with pytest.raises(FileNotFoundError):
        await Pool(1, command=("/no/such/program",)).start()


async def test_restarts_that_fail_are_tried_again_and_told(
    pool: Pool, job: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    command, pool._command = pool._command, (sys.executable, "-c", "raise SystemExit('not today')")
    with caplog.at_level(logging.ERROR, "imgproxy.render"):
        with pytest.raises(WorkerLost):
            await pool.render(job("signal:SIGSEGV"), Deadline.after(5))
        await until(lambda: "no new render process (next attempt in 0.2 s)" in caplog.text, 10)
    assert "not today" in caplog.text
    assert isinstance(await pool.render(job("render"), Deadline.after(5)), Report)
    pool._command = command
    await until(lambda: full(pool))


def test_it_runs_on_uvloop(job: Jobs) -> None:
    async def story() -> None:
        pool = Pool(1, command=sabotage.COMMAND)
        await pool.start()
        await pool.render(job("render"), Deadline.after(5))
        with pytest.raises(RenderTimeout):
            await pool.render(job("spin"), Deadline.after(0.1))
        with pytest.raises(WorkerLost):
            await pool.render(job("signal:SIGSEGV"), Deadline.after(5))
        await until(lambda: full(pool))
        await pool.probe(Deadline.after(5))
        await pool.aclose()
        assert pool.pids == ()

    uvloop.run(story())


def test_settings() -> None:
    assert PoolSettings().workers == 0
    assert Pool(0).size == available_cpus() >= 1
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        PoolSettings(workers=-1)
    settings = PoolSettings.model_validate({"worker_memory": "1GiB", "max_svg_size": "1MiB", "require_sandbox": "true"})
    assert settings.budget == Budget(1 << 30, 1 << 20)
    assert settings.require_sandbox
    assert PoolSettings().budget == Budget()


@pytest.mark.parametrize("act", ["grow:400", "fill:400"])
async def test_a_render_that_takes_too_much_memory_is_killed(job: Jobs, act: str) -> None:
    pool = Pool(1, budget=Budget(memory=200 << 20), command=sabotage.COMMAND)
    await pool.start()
    start = time.monotonic()
    with pytest.raises(SourceTooExpensive, match="its process was killed") as caught:
        await pool.render(job(act), Deadline.after(20))
    assert time.monotonic() - start < 5
    assert caught.value.ended_process
    await until(lambda: full(pool))
    assert pool.restarts == {"memory": 1}
    await pool.aclose()


async def test_memory_within_the_budget_is_left_alone(pool: Pool, job: Jobs) -> None:
    """The twin: the same render, with a budget that it keeps, lives until its deadline."""
    with pytest.raises(RenderTimeout) as caught:
        await pool.render(job("grow:400"), Deadline.after(1))
    assert caught.value.ended_process
    await until(lambda: full(pool))
    assert pool.restarts == {"killed": 1}


async def test_a_mapped_source_is_not_the_renders_memory(job: Jobs) -> None:
    pool = Pool(1, budget=Budget(memory=200 << 20), command=sabotage.COMMAND)
    await pool.start()
    body = os.memfd_create("source")
    os.truncate(body, 400 << 20)
    large = Source(body, 400 << 20, "")
    await pool.render(replace(job("map:0.3"), source=large), Deadline.after(10))
    large.close()
    assert pool.restarts.total() == 0
    await pool.aclose()


async def test_processes_are_recycled_and_nothing_is_lost(job: Jobs) -> None:
    pool = Pool(2, max_jobs=5, command=sabotage.COMMAND)
    await pool.start()

    async def load() -> list[Report]:
        done: list[Report] = []
        while pool.restarts["recycled"] < 3:
            done += await asyncio.gather(*(pool.render(job("sleep:0.01"), Deadline.after(60)) for _ in range(15)))
        return done

    loading = asyncio.ensure_future(load())
    fewest = 3
    async with asyncio.timeout(60):
        while not loading.done():
            fewest = min(fewest, sum(process.alive and process.sandbox is not None for process in pool._processes))
            await asyncio.sleep(0.001)
    assert len(await loading) >= 15
    assert fewest == 2  # a worker goes only while the spare is there
    await until(lambda: full(pool), 30)
    assert set(pool.restarts) == {"recycled"}
    await pool.aclose()


async def test_one_that_has_grown_is_recycled(pool: Pool, job: Jobs) -> None:
    await pool.render(job("leak:200"), Deadline.after(10))
    assert pool.restarts.total() == 0
    await pool.render(job("leak:350"), Deadline.after(10))
    await until(lambda: full(pool) and pool.restarts.total() == 1)
    assert pool.restarts == {"recycled": 1}


async def test_memory_that_is_free_is_given_back(job: Jobs) -> None:
    pool = Pool(1, command=sabotage.COMMAND)
    await pool.start()
    for _ in range(2):
        await pool.render(job("churn:200"), Deadline.after(10))
    assert max(process.private_bytes for process in pool._processes) < 120e6
    await pool.aclose()


async def test_a_process_that_has_gone_wrong_is_out_of_rotation(pool: Pool, job: Jobs) -> None:
    """It answers, and is alive; only a picture shows it. Each probe meets another process."""
    before = set(pool.pids)
    await pool.render(job("corrupt"), Deadline.after(5))
    assert pool.restarts.total() == 0
    start = time.monotonic()
    failed = 0
    for _ in range(3):
        try:
            await pool.probe(Deadline.after(5))
        except InternalError:
            failed += 1
    assert failed == 1
    assert time.monotonic() - start < 5
    await until(lambda: full(pool))
    assert len(before & set(pool.pids)) == 2


async def test_the_pool_finds_it_out_by_itself(job: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.render.pool._PATROL_SECONDS", 0.4)
    pool = Pool(1, command=sabotage.COMMAND)
    await pool.start()
    try:
        sound = set(pool.pids)
        await asyncio.sleep(0.5)
        assert set(pool.pids) == sound
        await pool.render(job("corrupt"), Deadline.after(5))
        await until(lambda: pool.restarts.total() == 1 and full(pool))
        assert len(sound & set(pool.pids)) == 1
        assert (await pool.render(job("render"), Deadline.after(5))).rendition.body
    finally:
        await pool.aclose()


async def test_the_log_has_the_crash_and_the_client_has_not(
    pool: Pool, job: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "imgproxy.render"):
        with pytest.raises(WorkerLost) as caught:
            await pool.render(job("abort:in /etc/secret/decoder.c" + "!" * 5000), Deadline.after(5))
        await until(lambda: full(pool))
    (record,) = [record for record in caplog.records if record.message == "a render process ended"]
    fields: Any = record.__dict__["fields"]
    assert fields["ended_with"] == "SIGABRT"
    assert fields["cause"] == "crashed"
    assert fields["jobs"] == 1
    assert fields["source_format"] == "jpeg"
    assert fields["source_bytes"] == job("").source.size
    assert len(fields["last_words"]) == 4096
    assert URL not in str(fields)
    assert str(caught.value) == f"render process {fields['pid']} ended with SIGABRT"


async def test_a_mistake_of_ours_leaves_its_stack_in_the_log_only(
    pool: Pool, job: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "imgproxy.render"), pytest.raises(InternalError) as caught:
        await pool.render(job("fail:other"), Deadline.after(5))
    assert str(caught.value) == "KeyError: 'other'"
    (record,) = caplog.records
    fields: Any = record.__dict__["fields"]
    assert "sabotage.py" in fields["last_words"]
    assert "Traceback" in fields["last_words"]
    assert pool.restarts.total() == 0
