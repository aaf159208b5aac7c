"""T1-T10: what was set out to be reached, and what a run says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.race import srcset
from bench.race.results import median, ratios
from bench.race.works import MISSES, QUALITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.race.results import Run

_BY_NAME = {work.name: work for work in MISSES}
_FOUR = ("p3-jpeg", "p3-webp", "p05-jpeg", "p24-jpeg")
"""The works of which T3 speaks."""


@dataclass(frozen=True, slots=True)
class Target:
    """One figure to be reached. ``values``: it, as often as a run has measured it; empty where it has not."""

    number: str
    what: str
    against: str
    """The limit or peer that it is a ratio to, or the unit of a figure that is none."""
    bound: float
    values: Callable[[Run], list[float]]
    ours: Callable[[Run], float | None] = lambda _: None
    """Our own figure, of which the ratio is made."""
    unit: str = ""
    at_most: bool = False

    @property
    def limit(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}{' ' if self.unit else ''}{self.unit}"

    def met(self, values: Sequence[float]) -> bool | None:
        """By the median; None where nothing was measured."""
        middle = median(values)
        return None if middle is None else (middle <= self.bound if self.at_most else middle >= self.bound)


def _rate(work: str, name: str = "ours") -> Callable[[Run], float | None]:
    return lambda run: median(run.get("misses", {}).get(work, {}).get(name, {}).get("rates", []))


def _ratio(work: str, one: str, other: str) -> Callable[[Run], list[float]]:
    return lambda run: ratios(run.get("misses", {}).get(work, {}), one, other)


def _score(work: str, one: str, other: str) -> Callable[[Run], list[float]]:
    def gap(run: Run) -> list[float]:
        cells = run.get("misses", {}).get(work, {})
        scores = [cells.get(name, {}).get("score") for name in (one, other)]
        return [scores[0] - scores[1]] if None not in scores else []

    return gap


def _part(*keys: str) -> Callable[[Run], list[float]]:
    """A figure of a run by its place; a list of them, or one."""

    def find(run: Run) -> list[float]:
        place: Any = run
        for key in keys:
            place = place.get(key, {})
        return list(place) if isinstance(place, list) else [place] if place != {} else []

    return find


def _quotient(one: Callable[[Run], list[float]], other: Callable[[Run], list[float]]) -> Callable[[Run], list[float]]:
    return lambda run: [first / second for first, second in zip(one(run), other(run), strict=False) if second]


def _srcset(effort: str, way: str) -> Callable[[Run], list[float]]:
    return lambda run: srcset.ratios(run["srcset"][effort], way) if effort in run.get("srcset", {}) else []


def mean(run: Run, name: str, size: str, what: str) -> float | None:
    """Of the photographs of a size: mean score, bytes, rates or cpu_ms of a contestant."""
    cells = [
        run.get("quality", {}).get(work.name, {}).get(name) for work in QUALITIES if work.name.endswith(f"-{size}")
    ]
    figures = [_figure(cell, what) for cell in cells if cell]
    known = [each for each in figures if each is not None]
    return sum(known) / len(known) if known and len(known) == len(cells) else None


def _figure(cell: dict[str, Any], what: str) -> float | None:
    return median(cell[what]) if isinstance(cell[what], list) else cell[what]


def _quality(what: str, one: str, other: str, *, quotient: bool = False) -> Callable[[Run], list[float]]:
    """Over the sizes: a figure of one contestant, minus that of the other or divided by it."""

    def compare(run: Run) -> list[float]:
        pairs = [(mean(run, one, size, what), mean(run, other, size, what)) for size in ("full", "2000", "768")]
        return [a / b if quotient else a - b for a, b in pairs if a is not None and b]

    return compare


def _t1() -> list[Target]:
    return [
        Target("T1", work.title, "bare libvips", work.raw_floor, _ratio(work.name, "ours", "libvips"), _rate(work.name))
        for work in MISSES
        if work.raw_floor
    ]


def _t2() -> list[Target]:
    found = []
    for work, bound, name, words in (
        ("p3-jpeg", 1.3, "ours", ""),
        ("p24-jpeg", 1.3, "ours", ""),
        ("p05-jpeg", 1.3, "ours", ""),
        ("p3-webp", 1.2, "ours-e4", ", effort 4 both"),
        ("p3-webp", 1.6, "ours", ", our defaults"),
        ("p24-webp", 1.2, "ours-e4", ", effort 4 both"),
    ):
        title = _BY_NAME[work].title + words
        found.append(Target("T2", title, "IPX / sharp", bound, _ratio(work, name, "ipx"), _rate(work, name)))
    return found


def _t3() -> list[Target]:
    found = []
    for work in (*_FOUR, "p3-jpeg-600"):
        name = "ours-e4" if work.endswith("webp") else "ours"
        bound = 1.4 if work == "p3-jpeg-600" else 1.1
        title = _BY_NAME[work].title
        found.append(Target("T3", title, "thumbor", bound, _ratio(work, name, "thumbor"), _rate(work, name)))
        found.append(Target("T3", f"{title}, score", "thumbor", 0, _score(work, name, "thumbor"), unit="points more"))
    return found


_HITS = "hits"
_QUIET, _BUSY = _part(_HITS, "memory", "p99_ms"), _part(_HITS, "memory, every core renders", "p99_ms")
TARGETS: tuple[Target, ...] = (
    *_t1(),
    *_t2(),
    *_t3(),
    Target("T4", "srcset of six together, CPU", "six independent", 0.45, _srcset("e2", "together"), at_most=True),
    Target("T4", "the same, WebP effort 4", "six independent", 0.57, _srcset("e4", "together"), at_most=True),
    Target("T4", "srcset of six one by one, CPU", "six independent", 0.45, _srcset("e2", "one by one"), at_most=True),
    Target("T5", "memory hits, signed", "a core's", 20_000, _part(_HITS, "memory", "core_rates"), unit="req/s"),
    Target("T5", "their p99, 32 connections", "time", 5, _QUIET, unit="ms", at_most=True),
    Target("T5", "their p99 while every core renders", "time", 10, _BUSY, unit="ms", at_most=True),
    Target(
        "T5",
        "edge hits",
        "nginx, static file",
        0.9,
        _quotient(_part(_HITS, "edge", "rates"), _part(_HITS, "static", "rates")),
        lambda run: median(_part(_HITS, "edge", "rates")(run)),
    ),
    Target(
        "T6",
        "22 MP, after its download",
        "time",
        10,
        _part("streaming", "p24.jpg", "after_ms"),
        unit="ms",
        at_most=True,
    ),
    Target(
        "T6",
        "2.8 MP, after its download",
        "time",
        10,
        _part("streaming", "p3.jpg", "after_ms"),
        unit="ms",
        at_most=True,
    ),
    Target("T7", "goodput at ten times the load", "its peak", 0.95, _part("overload", "ratio")),
    Target(
        "T7",
        "p99 of what was accepted",
        "deadline",
        1.0,
        _quotient(_part("overload", "accepted_p99"), _part("overload", "deadline")),
        at_most=True,
    ),
    Target("T7", "p99 of refusals", "time", 0.02, _part("overload", "refused_p99"), unit="s", at_most=True),
    Target("T7", "cached answers given", "all of them", 1.0, _part("overload", "hits_answered")),
    Target("T8", "64 at once of 22 MP, peak RSS", "memory", 250, _part("memory", "peak_mib"), unit="MiB", at_most=True),
    Target("T8", "growth over 2,000 renders", "before", 0.1, _part("memory", "growth"), at_most=True),
    Target(
        "T9",
        "death of a render after its deadline",
        "time",
        20,
        _part("kills", "killed_after_ms"),
        unit="ms",
        at_most=True,
    ),
    Target(
        "T9",
        "a spare takes over, more than a render",
        "time",
        20,
        _part("kills", "takeover_ms"),
        unit="ms",
        at_most=True,
    ),
    Target("T9", "bystanders that fail", "count", 0, _part("kills", "bystanders_failed"), at_most=True),
    Target(
        "T10",
        "score of the default",
        "incumbents' rule",
        4,
        _quality("score", "ours", "incumbents"),
        unit="points more",
    ),
    Target(
        "T10",
        "bytes of the default",
        "incumbents' rule",
        0.97,
        _quality("bytes", "ours", "incumbents", quotient=True),
        at_most=True,
    ),
    Target(
        "T10",
        "speed of the default",
        "fast",
        0.8,
        _quality("rates", "ours", "ours-fast", quotient=True),
    ),
    Target(
        "T10", "score of best", "reference, encoded", -0.5, _quality("score", "ours-best", "ideal"), unit="points more"
    ),
    Target("T10", "CPU of best", "default", 3, _quality("cpu_ms", "ours-best", "ours", quotient=True), at_most=True),
    Target(
        "T10", "score of fast", "incumbents' rule", 0, _quality("score", "ours-fast", "incumbents"), unit="points more"
    ),
)
