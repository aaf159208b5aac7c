"""What a row of the table of faults is, and what came of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bench.openloop import Shot

Figures = dict[str, Any]
"""What was seen, by name; seconds end in ``_s``, milliseconds in ``_ms``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault, and what must hold under it."""

    number: str
    fault: str
    limit: str
    """The pass figure in words, as ``holds`` checks it."""
    run: Callable[[Scale], Awaitable[Figures]]
    holds: Callable[[Mapping[str, Any]], bool]
    twin: str
    """The defence that the twin is without."""
    needs: Callable[[], str] = str
    """Why it cannot run on this machine; empty if it can."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of a row is run: ``short`` is for a test suite, ``stripped`` the twin."""

    short: bool = False
    stripped: bool = False

    def pick(self, short: float, whole: float) -> float:
        return short if self.short else whole

    def without(self, *defences: str) -> tuple[str, ...]:
        """The defences that are to be taken out."""
        return defences if self.stripped else ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a row has shown. ``twin_failed``: None if the twin did not run."""

    row: Row
    figures: Figures
    held: bool
    twin_figures: Figures
    twin_failed: bool | None

    @property
    def ok(self) -> bool:
        return self.held and self.twin_failed is not False


def percentile(values: Sequence[float], percent: float) -> float:
    """0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def p99_ms(shots: Sequence[Shot]) -> float:
    return round(1000 * percentile([shot.seconds for shot in shots], 99), 1)


def statuses(shots: Sequence[Shot]) -> dict[int, int]:
    """How many got which status; 0 is none, or half an answer."""
    return dict(sorted(Counter(shot.status for shot in shots).items()))


def failed(shots: Sequence[Shot]) -> int:
    return sum(shot.status != 200 for shot in shots)


def undeclared(shots: Sequence[Shot]) -> int:
    """Answers that are neither an image nor a refusal that says when to come again."""
    return sum(not (shot.status == 200 or is_polite(shot)) for shot in shots)


def is_polite(shot: Shot) -> bool:
    return shot.status in (429, 503) and "\r\nretry-after:" in shot.headers.lower()


def slower(noisy: Sequence[Shot], quiet: Sequence[Shot], factor: float, slack_ms: float) -> bool:
    """Whether p99 grew by more than ``factor``; ``slack_ms`` is what one busy moment of a small machine costs."""
    return p99_ms(noisy) > factor * p99_ms(quiet) + slack_ms
