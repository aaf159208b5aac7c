"""A pool of real render processes, and pictures for them."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import pyvips

from imgproxy.model import Job, Plan, Source, SourceRef
from imgproxy.render import wire
from imgproxy.render.pool import Pool
from imgproxy.render.process import ENVIRONMENT
from imgproxy.render.sandbox import ALL
from tests.render import sabotage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Generator, Sequence

URL = "https://origin.test/photo.jpg"


@pytest.fixture
def source() -> Generator[Source]:
    """A small photograph, as a fetch leaves it."""
    image = (pyvips.Image.xyz(100, 80) * 2).extract_band(0, n=2).bandjoin(50).cast("uchar")
    body: bytes = image.copy(interpretation="srgb").jpegsave_buffer()
    source = Source(os.memfd_create("source"), len(body), URL)
    os.write(source.fd, body)
    yield source
    source.close()


@pytest.fixture
def job(source: Source) -> Callable[[str], Job]:
    """A job that does what it is told; see sabotage."""
    return lambda act: told(act, source)


def told(act: str, source: Source) -> Job:
    """A job whose options are an act of sabotage."""
    options: Any = act
    formats: Any = None
    return Job(Plan(SourceRef(URL), options, formats), source)


@pytest_asyncio.fixture
async def pool() -> AsyncGenerator[Pool]:
    """Two workers and a spare, saboteurs all."""
    pool = Pool(2, command=sabotage.COMMAND)
    await pool.start()
    yield pool
    await pool.aclose()
    assert pool.pids == ()


class ByHand:
    """A render process without a pool: started like one, spoken to and waited for."""

    def __init__(
        self,
        layers: Collection[str] = ALL,
        command: Sequence[str] = sabotage.COMMAND,
        prefix: Sequence[str] = (),
        **rest: Any,
    ) -> None:
        self.line, theirs = wire.lines()
        self.line.socket.settimeout(20)
        given = theirs.socket.fileno(), theirs.results
        orders = (*map(str, given), str(768 << 20), str(512 << 10), ",".join(sorted(layers)))
        with closing(theirs):
            self.process = subprocess.Popen(
                [*prefix, *command, *orders], pass_fds=given, env=ENVIRONMENT, cwd="/", **rest
            )
        assert wire.receive_answer(self.line) == wire.Confining()
        ready = wire.receive_answer(self.line)
        assert isinstance(ready, wire.Ready)
        self.sandbox = ready.sandbox

    def ask(self, request: Job | wire.Ping) -> wire.Answer:
        wire.send_request(self.line, request)
        return wire.receive_answer(self.line)

    def end(self) -> int:
        self.line.close()
        return self.process.wait(10)


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that comes about by itself."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
