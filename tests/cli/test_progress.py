from __future__ import annotations

import io

from rich.console import Console

from imgproxy.cli.progress import showing
from imgproxy.warming.running import Tally


def test_a_line_now_and_then_where_there_is_no_terminal() -> None:
    times = iter([0.0, 1.0, 10.0, 15.0, 20.0])
    tally, out = Tally(total=100, finished_before=20), io.StringIO()
    with showing(tally, Console(file=out, width=80), lambda: next(times)) as on_change:
        for _ in range(4):
            tally.done += 10
            on_change()
        tally.fail("/a", 404, "no")
    assert out.getvalue() == "40 of 100, 0 failed, 2.0/s, 30 s left\n60 of 100, 0 failed, 2.0/s, 20 s left\n"


def test_a_bar_on_a_terminal() -> None:
    tally, out = Tally(total=4), io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, _environ={})
    with showing(tally, console) as on_change:
        tally.done += 2
        tally.fail("/a", 404, "no")
        on_change()
    assert "3/4" in out.getvalue()
    assert "1 failed" in out.getvalue()
