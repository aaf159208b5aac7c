"""A run as text: what ``make bench`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.race.results import cpu_ratio, median, ratios, spread
from bench.race.works import MISSES, QUALITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.race.results import Run
    from bench.race.works import Work

_HEADS = ("", "req/s", "÷ libvips", "ours ÷ it", "CPU ms", "our CPU ÷ its", "peak MiB", "KB", "score")


def text(run: Run) -> str:
    """All parts that a run has."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterator[str]:
    yield f"{run['when']}, {run['cores']} cores, libvips {run['libvips']}, {run['pictures']}"
    titles = run["contestants"]
    yield from (f"  {each['title']}: {each['settings']}" for each in titles.values())
    yield from (f"  left out: {name}: {reason}" for name, reason in run["missing"].items())
    for part, works in (("misses", MISSES), ("quality", QUALITIES)):
        for work in works:
            if cells := run.get(part, {}).get(work.name):
                yield ""
                yield from _work(work, cells, {name: each["title"] for name, each in titles.items()})
    for part in ("srcset", "hits", "streaming", "overload", "memory", "kills"):
        if part in run:
            yield ""
            yield f"{part}:"
            yield from _plain(run[part], 2)


def _work(work: Work, cells: dict[str, Any], titles: dict[str, str]) -> Iterator[str]:
    rows = [(work.title, *_HEADS[1:])]
    rows += [_row(name, cells, titles) for name in cells]
    yield from grid(rows)


def _row(name: str, cells: dict[str, Any], titles: dict[str, str]) -> tuple[str, ...]:
    cell = cells[name]
    if cell["note"]:
        return (f"  {titles.get(name, name)}", f"left out: {cell['note'][:80]}")
    return (
        f"  {titles.get(name, name)}",
        spread(cell["rates"], 1),
        "" if name == "libvips" else spread(ratios(cells, name, "libvips")),
        "" if name in ("ours", "libvips") else spread(ratios(cells, "ours", name)),
        f"{median(cell['cpu_ms']) or 0:.1f}",
        cpu_times(cells, name),
        f"{cell['peak_mib']:.0f}",
        f"{cell['bytes'] / 1000:.1f}",
        "" if cell["score"] is None else f"{cell['score']:.1f}",
    )


def cpu_times(cells: dict[str, Any], name: str) -> str:
    """Our CPU for an answer by that of another; empty for ourselves."""
    times = cpu_ratio(cells, "ours", name)
    return "" if times is None or name == "ours" else f"{times:.2f}"


def grid(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows in columns: the first to the left, the others to the right. Rows that are shorter are as they are."""
    whole = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[n]) for row in whole) for n in range(len(rows[0]))]
    for row in rows:
        if len(row) < len(rows[0]):
            yield f"{row[0]:<{widths[0]}}  {row[1]}"
            continue
        cells = [
            f"{row[0]:<{widths[0]}}",
            *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        yield "  ".join(cells).rstrip()


def _plain(part: dict[str, Any], depth: int) -> Iterator[str]:
    for name, value in part.items():
        if isinstance(value, dict):
            yield f"{' ' * depth}{name}:"
            yield from _plain(value, depth + 2)
        else:
            yield f"{' ' * depth}{name}: {value}"
