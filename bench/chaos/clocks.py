"""Clocks that are wrong, and jump: row 20."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from bench.chaos.load import many, shoot
from bench.chaos.node import node
from bench.chaos.row import Figures, Row, Scale, failed, statuses
from bench.chaos.site import site
from bench.openloop import fire
from tests.serving import signed

_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
"""Debian's faketime."""
_OFFSETS_S = (10, -10, 300, -300, 0)
SLACK_S = 30
"""After its end a URL is good for so long: clocks differ."""


def needs_faketime() -> str:
    return "" if _LIBRARY.exists() else "apt-get install faketime"


async def steps(scale: Scale) -> Figures:
    """The node's clock is 10 s and 5 min wrong, both ways, and jumps between these under requests."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Path(folder) / "clock"
        clock.write_text("+0s")
        environment = {
            "LD_PRELOAD": str(_LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        async with site() as origin:
            with node({"timeout": "2"}, environment=environment, without=scale.without("monotonic")) as server:
                seconds = scale.pick(3.5, 12)
                load = asyncio.create_task(fire(server.bind, many(origin.url, "late:0.2", 50), 20, seconds))
                wrong: list[tuple[int, int, int]] = []
                for number, offset in enumerate(_OFFSETS_S):
                    clock.write_text(f"{offset:+d}s")
                    for life, expected in _cases(offset):
                        at = int(time.time()) + life
                        target = signed(f"{origin.url}/exp/1.png", f"exp:{at}", f"cb:{number}")
                        shot = await shoot(server.bind, target)
                        if shot.status != expected:
                            wrong.append((offset, life, shot.status))
                    await asyncio.sleep(seconds / 6)
                shots = await load
                hung = await shoot(server.bind, signed(f"{origin.url}/late:9/x.png"))
    return {
        "requests": len(shots),
        "failed": failed(shots),
        "statuses": statuses(shots),
        "wrong_about_expiry": wrong,
        "deadline_after_s": round(hung.seconds, 2),
        "deadline_status": hung.status,
    }


def _cases(offset: int) -> list[tuple[int, int]]:
    """Seconds from now at which URLs expire, and what is answered by a clock that is so much ahead.

    By the node's clock such a URL has ``life - offset`` seconds left; down to -SLACK_S it is good.
    """
    lives = (60, 15, -15, -25, -40, -400, 400)
    return [(life, 200 if life - offset > -SLACK_S else 404) for life in lives if abs(life - offset + SLACK_S) > 3]


ROWS = (
    Row(
        number="20",
        fault="the clock is 10 s and 5 min wrong, and jumps",
        limit="no request fails; URLs are good until 30 s after their end, and 404 then; the deadline of 2 s holds",
        run=steps,
        holds=lambda f: f["failed"] == 0 and not f["wrong_about_expiry"] and 1.8 <= f["deadline_after_s"] <= 2.6,
        twin="monotonic deadlines",
        needs=needs_faketime,
    ),
)
