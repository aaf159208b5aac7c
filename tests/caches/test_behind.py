from __future__ import annotations

import asyncio
import gc
import logging
from functools import partial

import pytest

from imgproxy.caches.base import TierDown
from imgproxy.caches.behind import Behind


class Writes:
    """Writes that wait for a gate."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.gate = asyncio.Event()
        if is_open:
            self.gate.set()
        self.begun: list[int] = []
        self.done: list[int] = []
        self.at_once = self.most_at_once = 0

    async def write(self, number: int) -> None:
        self.begun.append(number)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        self.done.append(number)

    def numbered(self, number: int):
        return partial(self.write, number)


async def test_writes_are_done_in_order_two_at_a_time() -> None:
    writes = Writes()
    async with Behind() as behind:
        for number in range(5):
            assert behind.submit(10, writes.numbered(number))
        assert (behind.pending, behind.pending_bytes) == (5, 50)
        for _ in range(5):
            await asyncio.sleep(0)
        assert writes.begun == [0, 1]
        writes.gate.set()
        await behind.drain()
        assert writes.begun == [0, 1, 2, 3, 4]
        assert writes.most_at_once == 2
        assert (behind.written, behind.dropped, behind.failed) == (5, 0, 0)
        assert (behind.pending, behind.pending_bytes) == (0, 0)


async def test_too_many_bytes_are_dropped() -> None:
    writes = Writes()
    async with Behind(max_bytes=100) as behind:
        assert not behind.submit(101, writes.numbered(0))
        assert behind.submit(60, writes.numbered(1))
        assert not behind.submit(41, writes.numbered(2))
        assert behind.submit(40, writes.numbered(3))
        assert behind.dropped == 2
        writes.gate.set()
        await behind.drain()
        assert behind.submit(100, writes.numbered(4))
    assert writes.done == [1, 3, 4]
    assert behind.written == 3


async def test_too_many_writes_are_dropped() -> None:
    writes = Writes()
    async with Behind(max_pending=3) as behind:
        assert [behind.submit(0, writes.numbered(number)) for number in range(5)] == [True] * 3 + [False] * 2
        assert behind.dropped == 2
        writes.gate.set()


async def test_failures_are_counted_and_the_next_ones_still_done(caplog: pytest.LogCaptureFixture) -> None:
    async def refused() -> None:
        raise TierDown("no")

    async def broken() -> None:
        raise KeyError("a bug")

    writes = Writes(is_open=True)
    with caplog.at_level(logging.ERROR):
        async with Behind() as behind:
            for write in (refused, refused, refused, broken, broken, broken, writes.numbered(1)):
                assert behind.submit(1, write)
            await behind.drain()
    assert (behind.written, behind.failed, behind.dropped, behind.pending_bytes) == (1, 6, 0, 0)
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3


async def test_the_end_waits_for_what_is_pending() -> None:
    writes = Writes()
    async with Behind(patience=30) as behind:
        for number in range(4):
            behind.submit(1, writes.numbered(number))
        asyncio.get_running_loop().call_later(0.01, writes.gate.set)
    assert sorted(writes.done) == [0, 1, 2, 3]


async def test_the_end_does_not_wait_for_long(caplog: pytest.LogCaptureFixture) -> None:
    writes = Writes()
    async with Behind(patience=0.01) as behind:
        for number in range(4):
            behind.submit(1, writes.numbered(number))
    assert writes.begun == [0, 1]
    assert writes.done == []
    assert (behind.written, behind.dropped, behind.failed) == (0, 4, 0)
    assert (behind.pending, behind.pending_bytes) == (0, 0)
    assert len(caplog.records) == 1
    gc.collect()  # a coroutine that was made and never awaited would warn here


async def test_nothing_is_taken_before_or_after_its_time() -> None:
    writes = Writes(is_open=True)
    behind = Behind()
    assert not behind.submit(1, writes.numbered(0))
    async with behind:
        assert behind.submit(1, writes.numbered(1))
    assert not behind.submit(1, writes.numbered(2))
    assert writes.done == [1]
    assert behind.dropped == 2


async def test_an_error_inside_and_cancellation_end_it_too() -> None:
    writes = Writes()
    behind = Behind(patience=0.01)

    async def inside() -> None:
        async with behind:
            behind.submit(1, writes.numbered(1))
            raise LookupError

    with pytest.raises(LookupError):
        await inside()

    patient = Behind(patience=60)

    async def ending() -> None:
        async with patient:
            patient.submit(1, writes.numbered(2))

    task = asyncio.get_running_loop().create_task(ending())
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (patient.dropped, patient.pending) == (1, 0)
    assert len(asyncio.all_tasks()) == 1
