"""The table of faults: ``python -m bench.chaos [row ...] [--short] [--no-twins]``. Exit code 1 if a row fails."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING

from bench.chaos import clients, clocks, disks, files, hosts, kills, nodes, origins, regions, workers
from bench.chaos.row import Row, Scale, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.chaos.row import Figures

_MODULES = (workers, nodes, origins, disks, clocks, files, clients, hosts, regions, kills)
ROWS: tuple[Row, ...] = tuple(row for module in _MODULES for row in module.ROWS)

ELSEWHERE = {
    "1-6, 16": "Redis that is gone, hangs, is slow, full, fails over, lies: bench/faults.py, test_redis_faults.py",
    "14, 17, 34": "origins that lie, resolvers, certificates: tests/e2e/test_origins_misbehaving.py",
    "22": "a thousand clients, one cold picture: bench/cluster.py, tests/e2e/test_cluster.py",
}
"""Rows that are tested in another place."""


async def verdict(row: Row, *, short: bool, twin: bool) -> Verdict:
    """The row, and then its twin."""
    figures = await row.run(Scale(short=short))
    twin_figures: Figures = await row.run(Scale(short=short, stripped=True)) if twin else {}
    return Verdict(row, figures, row.holds(figures), twin_figures, not row.holds(twin_figures) if twin else None)


def show(result: Verdict, seconds: float) -> None:
    words = {True: "yes", False: "NO", None: "not run"}
    print(f"{result.row.number:>5}  {'ok  ' if result.ok else 'FAIL'}  {result.row.fault}  ({seconds:.0f} s)")
    print(f"       limit  {result.row.limit}")
    print(f"       seen   {_line(result.figures)}")
    print(f"       twin   without {result.row.twin}: fails? {words[result.twin_failed]}  {_line(result.twin_figures)}")
    sys.stdout.flush()


def _line(figures: Figures) -> str:
    return ", ".join(f"{name} {value}" for name, value in figures.items())


def everything(rows: Sequence[Row], *, short: bool, twins: bool) -> int:
    """How many rows failed."""
    bad = 0
    for row in rows:
        if reason := row.needs():
            print(f"{row.number:>5}  skip  {row.fault}: {reason}", flush=True)
            continue
        began = time.monotonic()
        result = asyncio.run(verdict(row, short=short, twin=twins))
        show(result, time.monotonic() - began)
        bad += not result.ok
    return bad


def main() -> None:
    parser = argparse.ArgumentParser(description="Try what failures do.")
    parser.add_argument("rows", nargs="*", help="numbers of rows; all by default")
    parser.add_argument("--short", action="store_true", help="less load, fewer repetitions")
    parser.add_argument("--no-twins", action="store_true", help="only the rows themselves")
    given = parser.parse_args()
    unknown = set(given.rows) - {row.number for row in ROWS}
    if unknown:
        parser.error(f"no such rows: {', '.join(sorted(unknown))}; there are {', '.join(row.number for row in ROWS)}")
    chosen = [row for row in ROWS if not given.rows or row.number in given.rows]
    bad = everything(chosen, short=given.short, twins=not given.no_twins)
    if not given.rows:
        for numbers, place in ELSEWHERE.items():
            print(f"{numbers:>10}  {place}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
