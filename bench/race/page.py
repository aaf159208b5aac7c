"""docs/performance.md, from the file of results: ``docs/generate.py`` writes it."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from bench.race.results import median, ratios, read, spread
from bench.race.table import cpu_times
from bench.race.targets import TARGETS
from bench.race.works import MISSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from bench.race.results import Run
    from bench.race.targets import Target

_INTRODUCTION = """# Performance

`make bench` measures this server, others of its kind and bare libvips on your machine, in three minutes or so;
`make bench-full` takes longer rounds and more of them, and writes this page and the chart. Both need wrk, nginx and
redis-server, packages of Debian. Other servers are installed from package registries into `~/.cache/imgproxy-bench`;
those that cannot be had are left out, and the table says so.

The machine is shared by the server, its origin (nginx) and the load, and busy with other things at times. So compare
ratios, which are taken round by round between contestants that take turns, and not requests a second.

![Requests a second, score and bytes of this server and its peers](performance.svg)
"""
_HOW = """## How it is measured

- **Misses**: closed loop, 8 or 16 connections, every URL another one, no cache of results or sources anywhere. Each
  answer's format, size and frames are checked. All contestants run at the same time, and are asked in turn.
- **Quality**: JPEG 80, WebP 79, AVIF 63 and speed 9 for all; WebP effort as said above. Baseline JPEG where that can be
  set. The score is SSIMULACRA2 against the source resized by Lanczos 3 in linear light, in floating point: 70 is high
  quality, 90 hard to tell from the original, two points can be seen.
- Reduced copies of photographs have sides that are multiples of 8: where shrinking on load rounds sides up, the score
  drops by up to 60 points for a shift of less than a pixel, which nobody sees.
- **Bare libvips** does the operations of our default plan, one process on each core, from files, without HTTP. A test
  holds its answers and ours together.
- **CPU** is that of all processes of a contestant for an answer, from `/proc`; **peak** the highest sum of their
  resident memory, where shared pages count for each.
- **Overload** is an open loop at ten times what the node can do, of renders that nobody has asked for before, with
  cached answers beside it.
- Ratios are medians over the rounds of a run, with their range.
"""


def page(results: Path, notes: Path) -> str:
    """The page; ``notes`` has a sentence for each target that was missed."""
    runs = read(results)
    said: dict[str, Any] = tomllib.loads(notes.read_text()) if notes.exists() else {}
    if not runs:
        return _INTRODUCTION + "\nNothing was measured yet.\n\n" + _HOW
    parts = (_INTRODUCTION, _targets(runs, said), _contestants(runs[-1]), _works(runs[-1]), _HOW)
    return "\n".join(parts)


def _targets(runs: Sequence[Run], notes: dict[str, Any]) -> str:
    """One row for each target, a column for each run; below it what stands in the way."""
    heads = ["", "Target", "Against", "Goal", "Ours", *(f"Run {n}" for n in range(1, len(runs) + 1)), "Met"]
    rows = [_row(target, runs) for target in TARGETS]
    dates = ", ".join(map(_date, runs))
    text = f"## Targets\n\nRuns: {dates}. {runs[-1]['cores']} cores, {runs[-1]['pictures']}. Round by round:\n"
    text += f"[performance.json](performance.json).\n\n{markdown(heads, rows)}"
    missed = dict.fromkeys(row[0] for row in rows if row[-1] == "no")
    said = [f"- **{number}**: {notes[number]}" for number in missed if number in notes]
    return text + ("\nWhere the time goes in what was missed:\n\n" + "\n".join(said) + "\n" if said else "")


def _date(run: Run) -> str:
    parts = f", parts of it {run['amended']}" if "amended" in run else ""
    return f"{run['when']} ({run['form']}){parts}"


def _row(target: Target, runs: Sequence[Run]) -> list[str]:
    found = [target.values(run) for run in runs]
    met = target.met([value for values in found for value in values])
    own = target.ours(runs[-1])
    verdict = {True: "yes", False: "no", None: "not measured"}[met]
    figures = [spread(values, _digits(values)) for values in found]
    return [target.number, target.what, target.against, target.limit, f"{own:.1f}/s" if own else "", *figures, verdict]


def _digits(values: Sequence[float]) -> int:
    return 0 if max(values, default=0) >= 1000 else 1 if max(values, default=0) >= 20 else 2


def _contestants(run: Run) -> str:
    rows = [[told["title"], told["settings"]] for told in run["contestants"].values()]
    rows += [[name, f"left out: {reason}"] for name, reason in run["missing"].items()]
    return f"## Contestants\n\n{markdown(['', 'Settings'], rows)}"


def _works(run: Run) -> str:
    return "## Misses\n\n" + "\n".join(
        _work(run, work.name, work.title) for work in MISSES if work.name in run.get("misses", {})
    )


def _work(run: Run, name: str, title: str) -> str:
    cells = run["misses"][name]
    heads = [title, "req/s", "ours ÷ it", "CPU ms", "our CPU ÷ its", "peak MiB", "KB", "Score"]
    return markdown(heads, [_cell(run, cells, contestant) for contestant in cells])


def _cell(run: Run, cells: dict[str, Any], name: str) -> list[str]:
    cell, title = cells[name], run["contestants"].get(name, {"title": name})["title"]
    if cell["note"]:
        return [title, f"left out: {cell['note'][:60]}", "", "", "", "", "", ""]
    return [
        title,
        spread(cell["rates"], 1),
        "" if name == "ours" else spread(ratios(cells, "ours", name)),
        f"{median(cell['cpu_ms']) or 0:.1f}",
        cpu_times(cells, name),
        f"{cell['peak_mib']:.0f}",
        f"{cell['bytes'] / 1000:.1f}",
        "" if cell["score"] is None else f"{cell['score']:.1f}",
    ]


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(_lines(heads, rows)) + "\n"


def _lines(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', ' ') for cell in row)} |"
