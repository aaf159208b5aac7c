"""How far a warm-up is: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.console import Console

    from imgproxy.warming.running import Tally

_EVERY_S = 10.0
"""Between two lines where there is no terminal."""


@contextmanager
def showing(
    tally: Tally, console: Console, clock: Callable[[], float] = time.monotonic
) -> Generator[Callable[[], object]]:
    """Progress while the block runs: a bar on a terminal, else a line now and then. Call what it gives at changes."""
    if not console.is_terminal:
        began = told = clock()

        def line() -> None:
            nonlocal told
            if (now := clock()) - told >= _EVERY_S:
                told = now
                asked = tally.done + tally.failed
                left = (tally.total - tally.gone_through) * (now - began) / max(1, asked)
                console.print(
                    f"{tally.gone_through} of {tally.total}, {tally.failed} failed, {asked / (now - began):.1f}/s,"
                    f" {left:.0f} s left",
                    highlight=False,
                )

        yield line
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failed]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=tally.total, completed=tally.gone_through, failed="")

        def move() -> None:
            failed = f"{tally.failed} failed" if tally.failed else ""
            progress.update(task, completed=tally.gone_through, failed=failed)

        yield move
