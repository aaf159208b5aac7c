"""Places in flight, and the queue before them."""

from __future__ import annotations

import asyncio
import time

import pytest

from imgproxy.errors import QueueFull, RenderTimeout
from imgproxy.model import Deadline
from imgproxy.overload.admission import Admission
from tests.render.conftest import until


async def test_slots_are_bounded_and_first_come_first_served() -> None:
    admission = Admission(4, 2)
    order: list[int] = []
    leave = asyncio.Event()

    async def request(number: int) -> None:
        async with admission.slot(Deadline.after(5)):
            order.append(number)
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(request(number))
        await until(lambda: admission.waiting == 2)
        assert order == [0, 1, 2, 3]
        start = time.monotonic()
        with pytest.raises(QueueFull):
            async with admission.slot(Deadline.after(5)):
                pass
        assert time.monotonic() - start < 0.01
        leave.set()
    assert order == [0, 1, 2, 3, 4, 5]


async def test_the_deadline_counts_in_the_queue_and_zero_is_no_bound() -> None:
    admission = Admission(4, 0)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        leave = asyncio.Event()

        async def request() -> None:
            async with admission.slot(Deadline.after(5)):
                await leave.wait()

        for _ in range(300):
            group.create_task(request())
        await until(lambda: admission.waiting == 296)
        with pytest.raises(RenderTimeout):
            async with admission.slot(Deadline.after(0.01)):
                pass
        leave.set()
    assert admission.waiting == 0
