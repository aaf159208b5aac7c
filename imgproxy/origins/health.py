"""Origins that are down: left alone for a while, and then asked by one request at a time whether they are back.

Not ``circuit.Circuit``, which knows the outcome when its operation returns: here it is known when the body has landed,
by errors of which some say nothing of the origin. And there are as many origins as strangers care to name, so that only
those in trouble are remembered.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from imgproxy.errors import SourceRefused, SourceResting, SourceTimeout, SourceTooLarge, SourceUnreachable
from imgproxy.origins.failures import Dropped, is_connection_failure

FAILURES = 5
"""In a row, and of as many URLs where it may be the URL's fault."""
WINDOW_S = 30.0
"""What is longer ago does not count: longer than five requests that one after the other take the download timeout."""
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
LONGEST_ASKED_S = 60.0
"""How long an origin may ask to be left alone."""
_MOST_TROUBLED = 1_000

_log = logging.getLogger("imgproxy.origins")


@dataclass(slots=True)
class _Trouble:
    """An origin that failed since it last answered."""

    failures: OrderedDict[Hashable, float] = field(default_factory=OrderedDict[Hashable, float])
    """When, by what the failure is about: five for one URL say nothing of the others."""
    rests_until: float = 0.0
    """0 while it is asked as always."""
    pause: float = 0.0
    probing: bool = False
    asked_pause: float = 0.0


class Health:
    """Which origins are down."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._troubled: OrderedDict[str, _Trouble] = OrderedDict()

    @property
    def resting(self) -> int:
        """How many origins are left alone now."""
        return sum(1 for each in self._troubled.values() if each.rests_until)

    def admit(self, origin: str, *, sent: bool = False) -> Trial:
        """Leave to ask an origin. Raises SourceResting while it is left alone.

        ``sent``: by another origin. Of such a request only that there is no connection says something of this one.
        """
        trouble = self._troubled.get(origin)
        if trouble is None or not trouble.rests_until:
            return Trial(self, origin, probe=False, sent=sent)
        left = trouble.rests_until - self._clock()
        if left > 0 or trouble.probing:
            raise SourceResting(f"{origin} failed {FAILURES} times in a row and rests", retry_after=max(left, 1))
        trouble.probing = True
        return Trial(self, origin, probe=True, sent=sent)

    def is_well(self, origin: str) -> bool:
        """Whether the origin has not failed since it last answered, but for this time."""
        return origin not in self._troubled

    def answered(self, origin: str) -> None:
        """It is up, whatever was before."""
        self._troubled.pop(origin, None)

    def left(self, origin: str, *, probe: bool) -> None:
        """The one who asked is gone; nothing is known."""
        trouble = self._troubled.get(origin)
        if probe and trouble is not None:
            trouble.probing = False

    def failed(self, origin: str, about: Hashable, asked_pause: float, reason: str, *, probe: bool) -> None:
        """Count a failure about ``about``; after the last straw the origin is left alone."""
        trouble = self._troubled.setdefault(origin, _Trouble())
        self._troubled.move_to_end(origin)
        if len(self._troubled) > _MOST_TROUBLED:
            self._troubled.popitem(last=False)
        if trouble.rests_until and not probe:
            return  # asked before the others failed
        now = self._clock()
        trouble.probing = False
        trouble.asked_pause = asked_pause
        trouble.failures[about] = now
        trouble.failures.move_to_end(about)
        while now - next(iter(trouble.failures.values())) > WINDOW_S:
            trouble.failures.popitem(last=False)
        if probe or len(trouble.failures) >= FAILURES:
            self._rest(origin, trouble, reason)

    def _rest(self, origin: str, trouble: _Trouble, reason: str) -> None:
        trouble.pause = min(2 * trouble.pause, _LONGEST_PAUSE_S) if trouble.pause else _PAUSE_S
        pause = max(trouble.pause, min(trouble.asked_pause, LONGEST_ASKED_S))
        trouble.rests_until = self._clock() + pause
        trouble.failures.clear()
        _log.warning("leaving %s alone for %g s: %s", origin, pause, reason)


class Trial:
    """One asking of an origin, and what came of it: the first that is said counts."""

    def __init__(self, health: Health, origin: str, *, probe: bool, sent: bool) -> None:
        self._health = health
        self._sent = sent
        self.origin = origin
        self._probe = probe
        self._open = True

    @property
    def may_be_repeated(self) -> bool:
        """Whether nothing speaks against a second try."""
        return not self._probe and self._health.is_well(self.origin)

    def end(self, error: BaseException | None = None, about: Hashable = None) -> None:
        """Judge the origin by how the asking ended; ``about`` is the URL within the origin."""
        if not self._open:
            return
        self._open = False
        match error:
            case None | SourceTooLarge():
                self._health.answered(self.origin)
            case SourceTimeout() | SourceUnreachable() if is_connection_failure(error):
                self._failed(error, object())  # no connection is no connection, whatever was to be asked
            case _ if self._sent:
                self._health.left(self.origin, probe=self._probe)
            case SourceRefused():
                self._refused(error, about)
            case SourceTimeout():
                self._failed(error, about)
            case SourceUnreachable() if isinstance(error.__cause__, Dropped):
                self._failed(error, about)
            case _:  # the request's own deadline, who asked is gone, or an answer that says nothing of the next one
                self._health.left(self.origin, probe=self._probe)

    def _refused(self, error: SourceRefused, about: Hashable) -> None:
        if error.origin_status >= 500 or (error.origin_status == 429 and error.retry_after):
            self._failed(error, about)
        else:
            self._health.answered(self.origin)

    def _failed(self, error: SourceRefused | SourceTimeout | SourceUnreachable, about: Hashable) -> None:
        self._health.failed(self.origin, about, error.retry_after or 0, str(error), probe=self._probe)
