"""The file of results: the newest runs, oldest first."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    Run = dict[str, Any]


def read(path: Path) -> list[Run]:
    """The runs of a file; none if there is no file."""
    return json.loads(path.read_text())["runs"] if path.exists() else []


def write(path: Path, runs: Iterable[Run]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"runs": list(runs)}, indent=1, ensure_ascii=False) + "\n")


def added(runs: Sequence[Run], run: Run, *, keep: int, amend: bool = False) -> list[Run]:
    """The newest ``keep`` runs with this one; ``amend``: what it has measured is put into the newest one instead."""
    if amend and runs:
        old = runs[-1]
        merged = {name: old[name] | new for name, new in run.items() if _both_tables(old.get(name), new)}
        # It stays the run that it was; what came later says so.
        told = {name: old[name] for name in ("when", "form") if name in old}
        later = {"amended": f"{run.get('when')} ({run.get('form')})"}
        return [*runs[:-1], old | run | merged | told | later]
    return [*runs, run][-keep:]


def _both_tables(old: object, new: object) -> bool:
    return isinstance(old, dict) and isinstance(new, dict)


def ratios(cells: dict[str, Any], one: str, other: str) -> list[float]:
    """Round by round: the rate of one contestant to that of another; empty where either has none."""
    if one not in cells or other not in cells:
        return []
    pairs = zip(cells[one]["rates"], cells[other]["rates"], strict=False)
    return [first / second for first, second in pairs if second]


def cpu_ratio(cells: dict[str, Any], one: str, other: str) -> float | None:
    """CPU for an answer of one to that of another: steadier than rates on a machine that others use, too."""
    first, second = (median(cells.get(name, {}).get("cpu_ms", [])) for name in (one, other))
    return first / second if first and second else None


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range; a dash for nothing."""
    if not values:
        return "-"
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"
