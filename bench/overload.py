"""Ten times as much as a node can do, for a minute: ``python bench/overload.py`` (part of ``make chaos``).

First the node's peak, closed loop; then an open loop at ten times that, of renders nobody has asked for before and a
stream of cached answers beside it; then the same node at half of its peak, five seconds later. Limits (T7): goodput at
least 95 % of the peak, accepted answers within the deadline, refusals within 20 ms, cached answers never refused.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.openloop import Gun, Shot, fire
from tests.serving import KEY, SALT, Server, serving, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

PHOTOS = Path(__file__).parents[2] / "shared" / "photos"
HITS_A_SECOND = 50


@dataclass(frozen=True)
class Figures:
    """Rates in requests a second, times in seconds, sizes in bytes."""

    peak: float
    offered: float
    goodput: float
    accepted_p99: float
    refused: int
    refused_p99: float
    without_retry_after: int
    hits: int
    hits_answered: float
    hits_p99: float
    other: dict[int, int]
    after_p99: float
    after_answered: float
    server_growth: int
    cpu_of_server: float
    """Of one core, while it was overloaded."""

    @property
    def ratio(self) -> float:
        return self.goodput / self.peak


def percentile(values: list[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))] if values else 0.0


def renders(photo: str, width: int, start: int) -> Iterator[str]:
    """Targets that were never asked for, all of the same work."""
    for number in itertools.count(start):
        yield signed(f"local:///{photo}", f"rs:fill:{width}:{width}", "f:webp", f"cb:{number}")


def resident(server: Server) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def cpu(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def peak_of(server: Server, targets: Iterator[str], seconds: float, clients: int = 8) -> float:
    """Renders a second when somebody always waits for the next one."""
    done = 0
    end = time.monotonic() + seconds

    gun = Gun(server.bind)

    async def client() -> None:
        nonlocal done
        while time.monotonic() < end:
            shot = await gun.shoot("miss", next(targets), time.monotonic())
            done += shot.status == 200

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(clients)))
    gun.close()
    return done / (time.monotonic() - began)


async def measure(
    server: Server,
    photo: str,
    width: int,
    factor: float,
    seconds: float,
    deadline: float,
    warm_up: float = 10.0,
    *,
    after: float = 10.0,
) -> Figures:
    """The figures of one node; the deadline is its IMGPROXY_TIMEOUT. ``after``: seconds of the load at half of peak."""
    fresh = renders(photo, width, 0)
    warm = [signed(f"local:///{photo}", f"rs:fill:{width}:{width}", f"q:{q}") for q in range(60, 70)]
    await fire(server.bind, [("hit", target) for target in warm], 5, 2)
    peak = await peak_of(server, fresh, warm_up)
    before = resident(server)
    offered = factor * peak

    def mixed() -> Iterator[tuple[str, str]]:
        share = HITS_A_SECOND / (offered + HITS_A_SECOND)
        owed = 0.0
        for hit in itertools.cycle(warm):
            owed += share
            while owed < 1:
                yield "miss", next(fresh)
                owed += share
            owed -= 1
            yield "hit", hit

    used = cpu(server)
    began = time.monotonic()
    shots = await fire(server.bind, mixed(), offered + HITS_A_SECOND, seconds)
    used = (cpu(server) - used) / (time.monotonic() - began)
    growth = resident(server) - before
    await asyncio.sleep(5)
    later = await fire(server.bind, [("after", next(fresh)) for _ in range(int(peak * after / 2))], peak / 2, after)
    return _figures(shots, later, peak, offered, seconds, deadline, growth, used)


def _figures(
    shots: list[Shot],
    after: list[Shot],
    peak: float,
    offered: float,
    seconds: float,
    deadline: float,
    growth: int,
    used: float,
) -> Figures:
    misses, hits = [each for each in shots if each.kind == "miss"], [each for each in shots if each.kind == "hit"]
    good = [each for each in misses if each.status == 200]
    refused = [each for each in misses if each.status in (429, 503)]
    in_time = [each for each in good if each.seconds <= deadline]
    # Those that were let in shortly before the end are answered after it: not for free.
    lasted = max(each.at + each.seconds for each in shots)
    return Figures(
        peak=round(peak, 1),
        offered=round(offered, 1),
        goodput=round(len(in_time) / max(seconds, lasted), 1),
        accepted_p99=round(percentile([each.seconds for each in good], 99), 3),
        refused=len(refused),
        refused_p99=round(percentile([each.seconds for each in refused], 99), 4),
        without_retry_after=sum("retry-after" not in each.headers.lower() for each in refused),
        hits=len(hits),
        hits_answered=sum(each.status == 200 for each in hits) / max(1, len(hits)),
        hits_p99=round(percentile([each.seconds for each in hits], 99), 4),
        other=dict(Counter(each.status for each in misses if each.status not in (200, 429, 503))),
        after_p99=round(percentile([each.seconds for each in after], 99), 3),
        after_answered=sum(each.status == 200 for each in after) / max(1, len(after)),
        server_growth=growth,
        cpu_of_server=round(used, 2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--factor", type=float, default=10.0)
    parser.add_argument("--photo", default="roses-16mp.jpg")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--timeout", type=float, default=5.0)
    parser.add_argument("--brownout", action="store_true")
    given = parser.parse_args()
    settings = {
        "local_filesystem_root": str(PHOTOS),
        "key": KEY,
        "salt": SALT,
        "workers": "0",
        "timeout": str(given.timeout),
        "brownout": "1" if given.brownout else "0",
    }
    with serving(**settings) as server:
        figures = asyncio.run(measure(server, given.photo, given.width, given.factor, given.seconds, given.timeout))
    print(json.dumps(asdict(figures) | {"ratio": round(figures.ratio, 3)}, indent=1))


if __name__ == "__main__":
    main()
