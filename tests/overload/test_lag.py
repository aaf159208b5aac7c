from __future__ import annotations

import asyncio
import logging
import time

import pytest

from imgproxy.overload.lag import INTERVAL_S, Lag


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_late_is_counted() -> None:
    clock = Clock()
    lag = Lag(clock=clock)
    for seconds in (INTERVAL_S, INTERVAL_S + 0.2, INTERVAL_S + 0.3, INTERVAL_S, 7.0):
        clock.now += seconds
        lag.beat()
    assert (lag.stalls, lag.hangs) == (2, 1)
    assert lag.lag == pytest.approx(6.9)


def test_after_a_hang_the_node_rests_until_it_was_well_for_as_long() -> None:
    clock = Clock()
    lag = Lag(clock=clock)
    assert lag.obstacle == ""
    clock.now += 5.2
    lag.beat()
    assert lag.obstacle == "the event loop was blocked"
    clock.now += 4.9
    assert lag.obstacle
    clock.now += 0.2
    assert lag.obstacle == ""


def hold_up(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_hang_is_written_down_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    lag = Lag(stall=0.1, hang=0.3)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(lag.watch())
        await asyncio.sleep(0.15)
        assert lag.stalls == 0
        hold_up(1.0)
        told = [record for record in caplog.records if record.message == "the event loop hangs"]
        await asyncio.sleep(0.15)
        assert lag.obstacle
        assert lag.stalls == lag.hangs == 1
        watching.cancel()
    (record,) = told  # by the thread, before the loop turned again; once for one hang
    fields = getattr(record, "fields", {})
    assert "hold_up" in fields["stack"]
    assert record.levelno == logging.ERROR
    assert 0.3 <= fields["blocked_s"] < 1
    assert "the event loop turns again" in caplog.text
