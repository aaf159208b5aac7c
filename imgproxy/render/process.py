"""One render process as the server sees it: started, given one thing to do at a time, killed, reaped.

Everything is driven by three descriptors on the event loop: the socket (an answer, or the end), the pipe of its
stderr (the last words are kept for the log), and a pidfd (the exit). So a process needs no task of its own, and a
render whose caller went away ends in order: with its answer, at its deadline, or with the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from imgproxy.errors import ImageError, InternalError, RenderTimeout, WorkerLost
from imgproxy.model import Job, Report
from imgproxy.render import wire
from imgproxy.render.crash import Crash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgproxy.model import Deadline
    from imgproxy.render.sandbox import Sandbox

# -P and -s: no module from the working directory or the user's home. -I would say the same in one letter, but also
# ignore PYTHONPATH, which is how a checkout that is not installed finds this package.
COMMAND = (sys.executable, "-P", "-s", "-m", "imgproxy.render.worker")

# The whole environment: no key, token or proxy of the server's reaches a process that decodes hostile input, and no
# switch of libvips or libheif that lifts a limit.
ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "LC_ALL": "C.UTF-8",
    "VIPS_CONCURRENCY": "1",  # the pool keeps the cores busy; threads would only compete
    "MALLOC_ARENA_MAX": "2",  # 100 MB flat over 2,000 mixed renders, against 206 and rising
}
_log = logging.getLogger("imgproxy.render")

_LAST_WORDS = 4096
_HEAD_BYTES = 64
"""Of a source, to tell its format from after a crash."""
_BLOCK = 512
"""What st_blocks counts in."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_GRACE_SECONDS = 0.2
"""From the end of the socket to the end of the process: it may be about to say why it ends."""


class Process:
    """A render process. ``ready`` is done when it can take its first request.

    Created on the loop's own thread, because PR_SET_PDEATHSIG fires when the *thread* that started it ends.
    """

    def __init__(self, command: Sequence[str], orders: Sequence[str], on_exit: Callable[[Process], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        self._line, theirs = wire.lines()
        self._socket = self._line.socket
        self._socket.setblocking(False)
        given = theirs.socket.fileno(), theirs.results
        with closing(theirs):
            try:
                self._child = subprocess.Popen(  # noqa: S603 - our own command
                    [*command, *map(str, given), *orders],
                    pass_fds=given,
                    env=ENVIRONMENT,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # a Ctrl-C at the terminal is the server's to handle
                )
            except BaseException:
                self._line.close()
                raise
        assert self._child.stderr is not None  # noqa: S101 - asked for above
        self._stderr = self._child.stderr
        os.set_blocking(self._stderr.fileno(), False)
        self._pidfd = os.pidfd_open(self._child.pid)
        # Opened now, while the process is ours: the watch reads it every few milliseconds.
        self._statm = os.open(f"/proc/{self._child.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._last_words = b""
        self._timer: asyncio.TimerHandle | None = None
        self._answer: asyncio.Future[wire.Answer] | None = None
        self.alive = True
        """It can be given work. False from the moment that it is killed, or its end is noticed."""
        self.cause = "crashed"
        """Why it ended, or will have: "crashed", or the reason for which it was killed."""
        self.confining = False
        """It has loaded everything, and is putting on its sandbox, or has."""
        self.sandbox: Sandbox | None = None
        """What of it holds; None before the process is ready."""
        self.jobs = 0
        """Renders begun."""
        self.proved_jobs = 0
        """How many of them had been begun when it last proved that it can render."""
        self._source_head, self._source_bytes = b"", 0
        self._killed = False
        # libvips' own figures, as of the last report.
        self.vips_bytes = self.vips_peak_bytes = self.vips_allocations = 0
        self.ended = asyncio.Event()
        """The process is reaped, and every descriptor of it closed."""
        self._loop.add_reader(self._socket, self._receive)
        self._loop.add_reader(self._stderr, self._listen)
        self._loop.add_reader(self._pidfd, self._reap)
        self.ready = self._expect(wire.Ready)

    @property
    def pid(self) -> int:
        return self._child.pid

    def request(self, request: Job | wire.Ping, deadline: Deadline) -> asyncio.Future[wire.Answer]:
        """The coming answer to a job (a Report) or a ping (Ready); an ImageError is raised.

        Not to be cancelled (shield it): it is done by the answer, at the deadline, or when the process is lost.
        Raises OSError if the process turns out to be dead and took nothing.
        """
        wire.send_request(self._line, request)
        if isinstance(request, wire.Ping):
            return self._expect(wire.Ready, deadline)
        self.jobs += 1
        self._source_head = os.pread(request.source.fd, _HEAD_BYTES, 0)
        self._source_bytes = request.source.size
        return self._expect(Report, deadline)

    def kill(self, answer: ImageError | None = None, cause: str | None = None) -> None:
        """End the process now. Who waits for it gets ``answer`` now, or else WorkerLost when it is reaped.

        With a ``cause``, what it was doing is to blame.
        """
        if self.alive and cause is not None:
            self.cause = cause
        self._give_up()
        if answer is not None:
            answer.ended_process = cause is not None
            self._settle(answer)
        self._end()

    def _end(self) -> None:
        self._killed = True
        self._child.kill()

    @property
    def rendering(self) -> bool:
        """Whether an answer is awaited of it."""
        return self._answer is not None

    @property
    def resident_bytes(self) -> int:
        """Memory that the process holds now; 0 if it is gone."""
        return self._pages()[0] * _PAGE

    @property
    def private_bytes(self) -> int:
        """Of that, what it allocated: without its code, and without sources, which are mapped and can be dropped.

        And with its result, which need not be mapped anywhere.
        """
        resident, shared = self._pages()
        return (resident - shared) * _PAGE + os.fstat(self._line.results).st_blocks * _BLOCK

    def _pages(self) -> tuple[int, int]:
        try:
            fields = os.pread(self._statm, 128, 0).split()
        except OSError:
            return 0, 0
        return int(fields[1]), int(fields[2])

    def _give_up(self) -> None:
        if self.alive:
            self.alive = False
            self._loop.remove_reader(self._socket)

    def _expect(self, kind: type[Report | wire.Ready], deadline: Deadline | None = None) -> asyncio.Future[wire.Answer]:
        self._expected = kind
        self._answer = self._loop.create_future()
        if deadline is not None:
            self._timer = self._loop.call_later(deadline.remaining, self._time_out)
        return self._answer

    def _time_out(self) -> None:
        late = RenderTimeout("the render did not end before its deadline; its process was killed")
        self.kill(late, cause="killed")

    def _receive(self) -> None:
        try:
            answer = wire.receive_answer(self._line)
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._give_up()
            self._loop.call_later(_GRACE_SECONDS, self._end)  # in case that it only hung up
        except wire.Garbled as error:
            self.kill(WorkerLost(f"render process {self.pid} answered garbage: {error}"), cause="crashed")
        else:
            if isinstance(answer, wire.Confining) and self.sandbox is None and not self.confining:
                self.confining = True
            elif self._answer is not None and isinstance(answer, (self._expected, ImageError)):
                self._settle(answer)
            else:
                self.kill(WorkerLost(f"render process {self.pid} answered what nobody asked"), cause="crashed")

    def _settle(self, answer: wire.Answer) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        future, self._answer = self._answer, None
        if future is None or future.done():
            return
        if isinstance(answer, ImageError):
            if isinstance(answer, InternalError):
                self._log_words(answer)
            future.set_exception(answer)
            future.exception()  # its reader may have gone away: no "never retrieved" in the log
            return
        if isinstance(answer, wire.Ready):
            self.sandbox = answer.sandbox
        if isinstance(answer, Report):
            self.vips_bytes = answer.vips_bytes
            self.vips_peak_bytes = answer.vips_peak_bytes
            self.vips_allocations = answer.vips_allocations
        future.set_result(answer)

    def _log_words(self, error: InternalError) -> None:
        """Log where a mistake of ours happened: the process wrote it down before it answered."""
        self._listen()
        fields = {"reason": str(error), **self.crash.fields}
        del fields["ended_with"]
        self._last_words = b""
        _log.error("a render failed unexpectedly", extra={"fields": fields})

    def _listen(self) -> None:
        try:
            words = os.read(self._stderr.fileno(), 65536)
        except BlockingIOError:
            return
        if not words:
            self._loop.remove_reader(self._stderr)
        self._last_words = (self._last_words + words)[-_LAST_WORDS:]

    def _reap(self) -> None:
        self._child.wait()  # the pidfd says that it has ended: no wait
        self._listen()
        for file in (self._socket, self._stderr, self._pidfd):
            self._loop.remove_reader(file)
        self._line.close()
        self._stderr.close()
        os.close(self._pidfd)
        os.close(self._statm)
        self._statm = -1
        self.alive = False
        lost = WorkerLost(f"render process {self.pid} ended with {self.crash.how}")
        lost.ended_process = True
        lost.from_outside = self._child.returncode == -signal.SIGKILL and not self._killed
        self._settle(lost)
        self.ended.set()
        self._on_exit(self)

    @property
    def crash(self) -> Crash:
        """How it ended, and its last words."""
        return Crash(
            self.pid,
            self._child.returncode,
            self.jobs,
            self._source_head,
            self._source_bytes,
            self._last_words.decode(errors="replace").strip(),
        )
