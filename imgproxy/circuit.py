"""What stands between us and a dependency that may be gone, slow or full: a time limit, and a breaker above it.

A cache that has to be waited for is worse than none, and an origin that is down is not helped by more questions. So an
operation has a limit, and a dependency that failed several times, or has become slow, is left alone; once a second one
caller finds out whether it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Operation = Callable[[], Awaitable["T"]]

T = TypeVar("T")

State = Literal["closed", "open", "half-open"]
Outcome = Literal["ok", "error", "timeout", "refused", "skipped", "cancelled"]


class Unavailable(Exception):
    """A dependency that cannot be asked now: refused, too slow, full, or left alone by its breaker."""


_WEIGHT = 0.1
"""Of one latency in the average: a single hiccup of 100 ms is no slowness, eleven operations of 30 ms are."""


class Circuit:
    """The way to one dependency. Closed: operations pass. Open: they are refused at once. Half-open: one probes.

    ``slow``: seconds of latency, on average, above which the dependency is no help any more; None for never.
    ``errors`` are the dependency's failures; anything else is a bug and passes through. ``refusals`` are those of
    them that say no to one operation while others would still work, such as a write to a full Redis.
    """

    def __init__(
        self,
        name: str,
        timeout: float,
        *,
        slow: float | None = 0.02,
        failures: int = 5,
        window: float = 1.0,
        probe_every: float = 1.0,
        errors: tuple[type[Exception], ...] = (OSError,),
        refusals: tuple[type[Exception], ...] = (),
        on_change: Callable[[Circuit], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.state: State = "closed"
        self.reason = ""
        """Why it is not closed: the last error's text, or "slow"."""
        self.latency = 0.0
        """Seconds, a moving average."""
        self.outcomes: Counter[Outcome] = Counter()
        self._timeout = timeout
        self._slow = slow
        self._failures: deque[float] = deque(maxlen=failures)
        self._window = window
        self._probe_every = probe_every
        self._probe_at = 0.0
        # TimeoutError is an OSError; a limit that a library sets itself counts like ours.
        self._errors = (TimeoutError, *errors)
        self._refusals = refusals
        self._on_change = on_change
        self._clock = clock

    async def call(self, operation: Operation[T]) -> T:
        """The operation's result. Raises ``Unavailable`` if it may not be tried, takes too long, or fails."""
        probing = self._admit()
        started = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                result = await operation()
        except self._refusals as error:
            self._passed(self._clock() - started, probing=probing, outcome="refused")
            raise Unavailable(f"{self.name} refuses: {error}") from error
        except self._errors as error:
            self._failed(error, self._clock() - started, probing=probing)
            raise Unavailable(f"{self.name}: {_text(error)}") from error
        except BaseException:
            # The caller left, or there is a bug: says nothing of the dependency, and must not leave a probe hanging.
            self.outcomes["cancelled"] += 1
            if probing:
                self._turn("open", self.reason)
            raise
        self._passed(self._clock() - started, probing=probing, outcome="ok")
        return result

    def _admit(self) -> bool:
        """Whether this call is the probe; refuses it if it may not be tried at all."""
        if self.state == "closed":
            return False
        if self.state == "open" and self._clock() >= self._probe_at:
            self._turn("half-open", self.reason)
            return True
        self.outcomes["skipped"] += 1
        raise Unavailable(f"{self.name} is left alone: {self.reason}")

    def _passed(self, seconds: float, *, probing: bool, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1
        if probing:
            self.latency = seconds
            if self._is_slow():
                self._open("slow")
            else:
                self._failures.clear()
                self._turn("closed", "")
        elif self.state == "closed":
            self._observe(seconds)

    def _failed(self, error: Exception, seconds: float, *, probing: bool) -> None:
        self.outcomes["timeout" if isinstance(error, TimeoutError) else "error"] += 1
        now = self._clock()
        if probing:
            self._open(_text(error))
        elif self.state == "closed":
            self._failures.append(now)
            if len(self._failures) == self._failures.maxlen and now - self._failures[0] <= self._window:
                self._open(_text(error))
            else:
                self._observe(seconds)

    def _observe(self, seconds: float) -> None:
        self.latency += _WEIGHT * (seconds - self.latency)
        if self._is_slow():
            self._open("slow")

    def _is_slow(self) -> bool:
        return self._slow is not None and self.latency > self._slow

    def _open(self, reason: str) -> None:
        self._probe_at = self._clock() + self._probe_every
        self._turn("open", reason)

    def _turn(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
        if self._on_change is not None:
            self._on_change(self)


def _text(error: Exception) -> str:
    # Not repr: redis-py's leaves out what happened.
    return f"{type(error).__name__}: {error}"
