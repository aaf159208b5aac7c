"""What is remembered of pictures that cannot be had: briefly, so that a missing one costs its origin little."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.errors import (
    BrokenImage,
    RenderError,
    ResultTooLarge,
    SourceBusy,
    SourceIncomplete,
    SourcePoisoned,
    SourceRefused,
    SourceResting,
    SourceTimeout,
    SourceTooExpensive,
    SourceTooLarge,
    SourceUnreachable,
    UnknownImageType,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.errors import ImageError

_MOST = 10_000
_STATUSES = (404, 410, 415, 422)
_BUSY = (408, 425, 429)
_OF_THE_PICTURE = (BrokenImage, ResultTooLarge, SourceTooLarge, SourceTooExpensive, UnknownImageType)
_MAY_PASS = (
    SourceUnreachable,
    SourceTimeout,
    SourceBusy,
    SourceResting,
    SourceIncomplete,
    SourcePoisoned,
    UnknownImageType,
    BrokenImage,
    RenderError,
)


@dataclass(frozen=True, slots=True)
class _Refusal:
    error: ImageError
    until: float
    generation: int


class Refusals:
    """Errors by key, each for about ``seconds``; 0 remembers none."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._refusals: OrderedDict[str, _Refusal] = OrderedDict()

    def find(self, key: str, generation: int = 0) -> ImageError | None:
        """The error that this key ended with a moment ago, unless a purge as new as ``generation`` came after it."""
        refusal = self._refusals.get(key)
        if refusal is None:
            return None
        if refusal.until <= self._clock() or refusal.generation < generation:
            del self._refusals[key]
            return None
        return _copied(refusal.error)

    def note(self, key: str, error: ImageError, generation: int) -> None:
        """Remember the error if it is one that lasts; ``generation``: the newest purge known when it was found."""
        if self._seconds and lasts(error):
            # Jitter: what was refused together is not asked for again together.
            seconds = self._seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            self._refusals.pop(key, None)
            self._refusals[key] = _Refusal(_copied(error), self._clock() + seconds, generation)
            self._tidy()

    def forget(self, key: str) -> None:
        self._refusals.pop(key, None)

    def _tidy(self) -> None:
        """Let go of the oldest that are over, or too many."""
        while self._refusals:
            oldest = next(iter(self._refusals))
            if len(self._refusals) <= _MOST and self._refusals[oldest].until > self._clock():
                break
            del self._refusals[oldest]

    def __len__(self) -> int:
        return len(self._refusals)


def _copied(error: ImageError) -> ImageError:
    """An error that says the same, and holds nothing of the request it came from: a traceback keeps its frames."""
    copied = type(error).__new__(type(error), *error.args)
    copied.args = error.args
    copied.__dict__.update(error.__dict__)
    return copied


def lasts(error: ImageError) -> bool:
    """Whether asking again a moment later would end the same: the origin's own refusal, or the picture's fault.

    Never what may be over in a second: an origin that is down, slow or cut short, a 5xx, our own overload.
    """
    if isinstance(error, SourceRefused):
        return error.origin_status in _STATUSES
    return isinstance(error, _OF_THE_PICTURE)


def may_pass(error: ImageError) -> bool:
    """Whether an older result may stand in for what went wrong (RFC 5861's stale-if-error, and our own overload).

    What the origin withdrew (404, 410, 401, 403, ...) is gone. A page or rubble where the picture was is a bad deploy.
    """
    if isinstance(error, SourceRefused):
        return error.status >= 500 or error.origin_status in _BUSY
    return isinstance(error, _MAY_PASS)
