"""A pool of real render processes, and pictures for them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import pyvips

from imgproxy.model import Job, Source
from imgproxy.render.pool import Pool
from tests.render import sabotage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator


@pytest.fixture
def source() -> Generator[Source]:
    """A small photograph, as a fetch leaves it."""
    image = (pyvips.Image.xyz(100, 80) * 2).extract_band(0, n=2).bandjoin(50).cast("uchar")
    body: bytes = image.copy(interpretation="srgb").jpegsave_buffer()
    source = Source(os.memfd_create("source"), len(body), "https://origin.test/photo.jpg")
    os.write(source.fd, body)
    yield source
    source.close()


@pytest.fixture
def job(source: Source) -> Callable[[str], Job]:
    """A job that does what it is told; see sabotage."""
    return lambda act: Job(act, source)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def pool() -> AsyncGenerator[Pool]:
    """Two workers and a spare, saboteurs all."""
    pool = Pool(2, command=sabotage.COMMAND)
    await pool.start()
    yield pool
    await pool.aclose()
    assert pool.pids == ()


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for something that comes about by itself."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
