"""Rows for people: a table on a terminal; elsewhere columns between tabs, for cut and grep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
from rich import box
from rich.table import Table
from rich.text import Text

from imgproxy.cli.output import out


def show_rows(head: Sequence[str], rows: Iterable[Sequence[str]], dim: Iterable[bool] = ()) -> None:
    """Print the rows; ``dim``: which of them matter less."""
    rows, faint = [*rows], [*dim]
    if not out.is_terminal:
        for row in rows:
            click.echo("\t".join(row))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for place, name in enumerate(head):
        # Names stay whole, to be copied; the rest makes room for them.
        table.add_column(name, overflow="fold", no_wrap=place == 0)
    for n, row in enumerate(rows):
        table.add_row(*map(Text, row), style="dim" if faint[n : n + 1] == [True] else None)
    out.print(table, soft_wrap=False)
