"""The pool of render processes: as many renders at a time as workers, one process more as a hot spare.

A render past its deadline is killed with its process, and the spare takes over at once while a new process starts:
libvips' own kill flag does not stop an encoder or an SVG (an AVIF ran 100 s past a 0.5 s deadline), SIGKILL does.
A decoder that crashes costs one request. ``concurrent.futures`` can do neither: one SIGSEGV breaks its whole pool.
A process that takes more memory than it may is killed likewise, and one that has grown or done much is replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from imgproxy.errors import Draining, ImageError, InternalError, RenderTimeout, SourceTooExpensive, WorkerLost
from imgproxy.flight import ended
from imgproxy.model import Deadline, Report
from imgproxy.render.budget import Budget
from imgproxy.render.process import COMMAND, Process
from imgproxy.render.sandbox import ALL, Sandbox
from imgproxy.render.settings import available_cpus
from imgproxy.render.wire import Answer, Ping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from imgproxy.model import Job


T = TypeVar("T")

_log = logging.getLogger("imgproxy.render")

_START_SECONDS = 30.0
"""A start takes a quarter of a second on an idle machine; on one that is busy it may take long."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
"""Seconds between attempts to start a process that does not come up."""
_WATCH_SECONDS = 0.05
"""Between two looks at the memory of who renders: a process fills 30 MB in that time on a busy machine."""
_IDLE_BYTES = 300 << 20
"""Memory that a process may keep between renders, beyond what it started with."""
_PATROL_SECONDS = 5.0
"""In which every process that has rendered is found out if it can render no more."""
_SANDBOXES = (ALL, ALL, ALL - {"seccomp"}, ALL - {"landlock"}, ALL - {"user"}, frozenset({"privileges"}))
"""What the first process is started with until it comes up. All of it twice: once may be bad luck."""
_LEVELS = {"crashed": logging.ERROR, "recycled": logging.INFO}


@dataclass(frozen=True, slots=True)
class Memory:
    """What the render processes hold now, summed; libvips' figures are those of their last renders."""

    resident_bytes: int
    vips_bytes: int
    vips_peak_bytes: int
    vips_allocations: int


class Pool:
    """A Renderer with ``workers`` (0: one for each CPU) killable processes."""

    def __init__(
        self,
        workers: int = 0,
        *,
        budget: Budget = Budget(),  # noqa: B008 - frozen
        max_jobs: int = 2000,
        require_sandbox: bool = False,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.size = workers or available_cpus()
        self.busy = 0
        """Processes that are rendering."""
        self.restarts: Counter[str] = Counter()
        """Processes lost, by reason: "crashed", "killed" at a deadline, out of "memory", or "recycled"."""
        self._command = command
        self._budget = budget
        self._max_jobs = max_jobs
        self._require_sandbox = require_sandbox
        self._layers = ALL
        """Of the sandbox, those that new processes put on."""
        self._sandbox = Sandbox(frozenset())
        """What held in the last process that came up."""
        self._permits = asyncio.Semaphore(self.size)
        # First in, first out: all processes take their turn, so that a probe meets each of them.
        self._idle: asyncio.Queue[Process] = asyncio.Queue()
        self._processes: set[Process] = set()
        self._waiting = 0
        self._vacancy = asyncio.Event()
        self._refilling: asyncio.Task[None] | None = None
        self._patrolling: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._closing = False

    async def start(self) -> None:
        """Start all processes. Raises WorkerLost with what the process wrote if one does not come up.

        Where a process cannot live in the whole sandbox, they do with what of it they can, unless it is required.
        """
        try:
            await self._start_first()
            await asyncio.gather(*(self._start_process() for _ in range(self.size)))
        except BaseException:
            await self.aclose()
            raise
        if self.sandbox.missing:
            _log.warning("the sandbox of the render processes is %s", self.sandbox)
        loop = asyncio.get_running_loop()
        self._refilling, self._patrolling = loop.create_task(self._refill()), loop.create_task(self._patrol())

    async def aclose(self) -> None:
        """End all processes. Renders under way are answered with Draining."""
        self._closing = True
        if self._watch is not None:
            self._watch.cancel()
        for task in (self._refilling, self._patrolling):
            if task is not None:
                await ended(task)
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
        await self._prove(await self._idle_process(deadline), deadline)

    async def _prove(self, process: Process, deadline: Deadline) -> None:
        try:
            answer = process.request(Ping(), deadline)
        except OSError:  # it died while idle
            process.kill()
            raise WorkerLost("a render process died while it had nothing to do") from None
        answer.add_done_callback(lambda done: self._after_probe(process, done))
        await asyncio.shield(answer)

    async def _patrol(self) -> None:
        """Have processes prove themselves that have rendered since they last did, one after another.

        Heap corruption need not kill: a process can live on and fail at every picture (imgproxy issue 1190: every
        request timed out, and the health check stayed green). A proof takes 20 ms of an idle process.
        """
        while True:
            await asyncio.sleep(_PATROL_SECONDS / (self.size + 1))
            with suppress(ImageError):
                if not self._idle.empty():
                    process = self._idle.get_nowait()
                    if process.alive and process.proved_jobs == process.jobs:
                        self._idle.put_nowait(process)
                    elif process.alive:
                        await self._prove(process, Deadline.after(_PATROL_SECONDS / 2))

    @property
    def waiting(self) -> int:
        """Renders that wait for a process."""
        return self._waiting

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes, spare included, oldest first."""
        return tuple(sorted(process.pid for process in self._processes))

    @property
    def sandbox(self) -> Sandbox:
        """What of the sandbox holds in all living processes."""
        held = [process.sandbox.held for process in self._processes if process.alive and process.sandbox]
        return Sandbox(ALL.intersection(*held)) if held else self._sandbox

    @property
    def memory(self) -> Memory:
        processes = tuple(self._processes)
        return Memory(
            sum(process.resident_bytes for process in processes),
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
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._look)
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
        if process.alive and self._worn(process):
            process.kill(cause="recycled")
        elif process.alive:
            self._idle.put_nowait(process)

    def _worn(self, process: Process) -> bool:
        """Whether an idle process is to be replaced. Only while the spare is there: so it costs no request."""
        if sum(each.alive and each.sandbox is not None for each in self._processes) <= self.size:
            return False
        return 0 < self._max_jobs <= process.jobs or process.private_bytes > _IDLE_BYTES

    def _look(self) -> None:
        """Kill processes that have taken more memory than they may, as long as something renders."""
        for process in self._processes:
            if process.alive and process.rendering and process.private_bytes > self._budget.memory:
                reason = f"the render took more than {self._budget.memory} bytes of memory; its process was killed"
                process.kill(SourceTooExpensive(reason), cause="memory")
        again = self.busy > 0 and not self._closing
        self._watch = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._look) if again else None

    def _after_probe(self, process: Process, answer: asyncio.Future[Answer]) -> None:
        if answer.exception() is not None:
            process.kill()
        elif process.alive:
            process.proved_jobs = process.jobs
            self._idle.put_nowait(process)

    async def _start_first(self) -> None:
        """Find out how much of the sandbox a process can live in. Decided once: nothing lowers it later."""
        failure: WorkerLost | None = None
        for layers in _SANDBOXES:
            self._layers = layers
            process = self._new_process()
            try:
                await self._admit(process)
            except WorkerLost as error:
                if self._require_sandbox or not process.confining:
                    raise
                failure = failure or error
                _log.error("no render process came up with a sandbox of %s: %s", ", ".join(sorted(layers)), error)
            else:
                return
        raise failure or WorkerLost("no render process came up")

    async def _start_process(self) -> None:
        await self._admit(self._new_process())

    def _new_process(self) -> Process:
        orders = (str(self._budget.memory), str(self._budget.svg_bytes), ",".join(sorted(self._layers)))
        process = Process(self._command, orders, self._lost)
        self._processes.add(process)
        return process

    async def _admit(self, process: Process) -> None:
        """Wait until a process is ready, and give it to those who wait for one."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await process.ready
        except TimeoutError:
            process.kill()
            raise WorkerLost("a render process did not come up in time") from None
        except WorkerLost:
            process.kill()
            raise WorkerLost(str(process.crash)) from None
        except BaseException:
            process.kill()
            raise
        self._sandbox = process.sandbox or self._sandbox
        if self._require_sandbox and self._sandbox.missing:
            process.kill()
            raise WorkerLost(f"the sandbox of the render processes is {self._sandbox}, and it is required")
        self._idle.put_nowait(process)

    def _lost(self, process: Process) -> None:
        """A process has ended: count it, say so, and have another one started."""
        self._processes.discard(process)
        if self._closing:
            return
        self.restarts[process.cause] += 1
        level = _LEVELS.get(process.cause, logging.WARNING)
        fields = {"cause": process.cause, **process.crash.fields}
        _log.log(level, "a render process ended", extra={"fields": fields})
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
