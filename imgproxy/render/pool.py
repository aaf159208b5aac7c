"""The pool of render processes: as many renders at a time as workers, one process more as a hot spare.

A render past its deadline is killed with its process, and the spare takes over at once while a new process starts:
libvips' own kill flag does not stop an encoder or an SVG (an AVIF ran 100 s past a 0.5 s deadline), SIGKILL does.
A decoder that crashes costs one request. ``concurrent.futures`` can do neither: one SIGSEGV breaks its whole pool.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field

from imgproxy.environment import RoomSettings
from imgproxy.errors import Draining, ImageError, InternalError, RenderTimeout, WorkerLost
from imgproxy.model import Report
from imgproxy.render.process import COMMAND, Process
from imgproxy.render.wire import Answer, Ping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from imgproxy.model import Deadline, Job

T = TypeVar("T")

_log = logging.getLogger("imgproxy.render")

_START_SECONDS = 30.0
"""A start takes a quarter of a second on an idle machine; on one that is busy it may take long."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
"""Seconds between attempts to start a process that does not come up."""


class PoolSettings(RoomSettings):
    """How much is rendered at the same time."""

    workers: int = Field(
        default=0,
        ge=0,
        description="Render processes, which is how many images are rendered at the same time. 0: the number of CPUs.",
        json_schema_extra={
            "imgproxy": "2 per CPU",
            "why": "A worker here is a process that keeps one core busy; more of them than cores only cost memory.",
        },
    )


@dataclass(frozen=True, slots=True)
class Memory:
    """What the render processes hold now, summed; libvips' figures are those of their last renders."""

    resident_bytes: int
    vips_bytes: int
    vips_peak_bytes: int
    vips_allocations: int


class Pool:
    """A Renderer with ``workers`` (0: one for each CPU) killable processes."""

    def __init__(self, workers: int, command: Sequence[str] = COMMAND) -> None:
        self.size = workers or available_cpus()
        self.busy = 0
        """Processes that are rendering."""
        self.restarts: Counter[str] = Counter()
        """Processes lost, by reason: "killed" at a deadline, or "crashed"."""
        self._command = command
        self._permits = asyncio.Semaphore(self.size)
        # First in, first out: all processes take their turn, so that a probe meets each of them.
        self._idle: asyncio.Queue[Process] = asyncio.Queue()
        self._processes: set[Process] = set()
        self._waiting = 0
        self._vacancy = asyncio.Event()
        self._refilling: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Start all processes. Raises WorkerLost with what the process wrote if one does not come up."""
        try:
            await asyncio.gather(*(self._start_process() for _ in range(self.size + 1)))
        except BaseException:
            await self.aclose()
            raise
        self._refilling = asyncio.get_running_loop().create_task(self._refill())

    async def aclose(self) -> None:
        """End all processes. Renders under way are answered with Draining."""
        self._closing = True
        if self._refilling is not None:
            self._refilling.cancel()
            await asyncio.wait([self._refilling])
        for process in (processes := tuple(self._processes)):
            process.kill(Draining("the pool of render processes is closing"))
        for process in processes:
            await process.ended.wait()

    async def render(self, job: Job, deadline: Deadline) -> Report:
        """The report on a job; see Renderer.

        When the caller is cancelled, the process goes on until its answer or the deadline, and then returns.
        """
        report = await asyncio.shield(await self._hand_over(job, deadline))
        assert isinstance(report, Report)  # noqa: S101 - for the type checker: Process compares
        return report

    async def probe(self, deadline: Deadline) -> None:
        """Have an idle process render a tiny picture; an ImageError says that the pool is not healthy."""
        if self._refilling is None or self._refilling.done():
            raise InternalError("the pool is not running")
        process = await self._idle_process(deadline)
        answer = process.request(Ping(), deadline)
        answer.add_done_callback(lambda done: self._after_probe(process, done))
        await asyncio.shield(answer)

    @property
    def waiting(self) -> int:
        """Renders that wait for a process."""
        return self._waiting

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes, spare included, oldest first."""
        return tuple(sorted(process.pid for process in self._processes))

    @property
    def memory(self) -> Memory:
        processes = tuple(self._processes)
        return Memory(
            sum(process.resident_bytes() for process in processes),
            sum(process.vips_bytes for process in processes),
            sum(process.vips_peak_bytes for process in processes),
            sum(process.vips_allocations for process in processes),
        )

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise Draining("the pool of render processes is closed")

    async def _hand_over(self, job: Job, deadline: Deadline) -> asyncio.Future[Answer]:
        self._refuse_if_closing()
        await self._wait(self._permits.acquire(), deadline)
        try:
            process, answer = await self._give(job, deadline)
        except BaseException:
            self._permits.release()
            raise
        self.busy += 1
        answer.add_done_callback(lambda _: self._after_render(process))
        return answer

    async def _give(self, job: Job, deadline: Deadline) -> tuple[Process, asyncio.Future[Answer]]:
        while True:
            process = await self._idle_process(deadline)
            try:
                return process, process.request(job, deadline)
            except OSError:  # it died while idle and took nothing: no request is lost
                process.kill()
            except ImageError:
                self._idle.put_nowait(process)
                raise

    async def _idle_process(self, deadline: Deadline) -> Process:
        while not (process := await self._wait(self._idle.get(), deadline)).alive:
            pass
        return process

    async def _wait(self, turn: Awaitable[T], deadline: Deadline) -> T:
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline.remaining):
                return await turn
        except TimeoutError:
            raise RenderTimeout("no render process came free before the deadline") from None
        finally:
            self._waiting -= 1

    def _after_render(self, process: Process) -> None:
        self.busy -= 1
        self._permits.release()
        if process.alive:
            self._idle.put_nowait(process)

    def _after_probe(self, process: Process, answer: asyncio.Future[Answer]) -> None:
        if answer.exception() is not None:
            process.kill()
        elif process.alive:
            self._idle.put_nowait(process)

    async def _start_process(self) -> None:
        process = Process(self._command, self._lost)
        self._processes.add(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await process.ready
        except TimeoutError:
            process.kill()
            raise WorkerLost("a render process did not come up in time") from None
        except BaseException:
            process.kill()
            raise
        self._idle.put_nowait(process)

    def _lost(self, process: Process) -> None:
        """A process has ended: count it, say so, and have another one started."""
        self._processes.discard(process)
        if self._closing:
            return
        self.restarts["killed" if process.overdue else "crashed"] += 1
        _log.log(logging.WARNING if process.overdue else logging.ERROR, "%s", process.epitaph)
        self._vacancy.set()

    async def _refill(self) -> None:
        """Keep the pool at full strength. One start at a time: a storm of crashes must not become one of starts."""
        pause = _FIRST_PAUSE
        while True:
            await self._vacancy.wait()
            self._vacancy.clear()
            try:
                while len(self._processes) <= self.size:
                    await self._start_process()
                pause = _FIRST_PAUSE
            except (ImageError, OSError) as error:
                _log.error("no new render process (next attempt in %.1f s): %s", pause, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                self._vacancy.set()


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, and its cgroup's quota (v2), rounded up."""
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cpus
    return cpus if quota == "max" else max(1, min(cpus, math.ceil(int(quota) / int(period))))
