"""Whether anything is lost on the way: a node at four fifths of what it can do, and what it holds as time goes by.

All of it is misses, of every sample in every format, with an error in between: what is remembered is bounded and small,
so that memory that goes on growing is memory that is lost.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.hostile.ground import SAMPLES
from bench.hostile.processes import holdings
from bench.hostile.volley import restarts
from bench.openloop import fire
from bench.overload import peak_of
from imgproxy.signing import path_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.serving import Server

SHARE = 0.8
SLOPE_BYTES = 1_000_000
"""What server and render processes may have more after each 10,000 renders."""
_PER = 10_000
_WARM_UP_S = 10.0
_WARM_UP_SHARE = 0.2
"""Of the whole time, at least: allocators of render processes reach their size after about 2,000 renders."""
_FORMATS = ("jpeg", "png", "webp", "avif", "gif", "tiff")
_SPARE = 4
"""Descriptors and threads come and go by a few: a connection that is not closed yet, a thread that looks up a file."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What server and render processes hold at one moment. Bytes."""

    renders: int
    """Answers so far."""
    server: int
    workers: int
    processes: int
    descriptors: int
    worker_descriptors: int
    """Of all render processes."""
    threads: int
    zombies: frozenset[int]
    """Children that have ended and were not waited for."""

    def __str__(self) -> str:
        return (
            f"{self.renders:>8}{self.server / 1e6:>7.1f} MB{self.workers / 1e6:>7.1f} MB{self.processes:>11}"
            f"{self.descriptors:>8}{self.worker_descriptors:>12}{self.threads:>9}"
        )


@dataclass(frozen=True)
class Soaked:
    """What a server held at rest before and after, and in between."""

    rate: float
    """Requests a second."""
    statuses: Mapping[int, int]
    errors: Mapping[str, int]
    """Answers above 400, by what they say."""
    restarts: Mapping[str, int]
    before: Sample
    after: Sample
    samples: list[Sample]
    lives: bool

    @property
    def slope(self) -> float:
        """Bytes for each 10,000 renders, server and render processes together."""
        # Not while a process is replaced: then there is one more or less.
        usual = statistics.mode(each.processes for each in self.samples)
        steady = [each for each in self.samples if each.processes == usual]
        return _PER * slope([(each.renders, each.server + each.workers) for each in steady])

    @property
    def server_slope(self) -> float:
        return _PER * slope([(each.renders, each.server) for each in self.samples])

    def faults(self, *, memory: bool = True) -> list[str]:
        """What is not as it must be, one line each; ``memory`` needs minutes to be judged."""
        before, after = self.before, self.after
        found: list[str] = []
        for name, was, now in (
            ("descriptors", before.descriptors, after.descriptors),
            ("descriptors of render processes", before.worker_descriptors, after.worker_descriptors),
            ("threads", before.threads, after.threads),
            ("render processes", before.processes, after.processes),
        ):
            if now > was + _SPARE:
                found.append(f"{name}: {was} before, {now} after")
        # One look may meet a process between its end and its burial; two in a row are no accident.
        pairs = itertools.pairwise([before, *self.samples, after])
        if lingering := sorted(set[int]().union(*(one.zombies & other.zombies for one, other in pairs))):
            found.append(f"zombies: {lingering}")
        if unexpected := set(self.statuses) - {200, 404, 429, 503}:
            found.append(f"statuses: {unexpected}")
        if memory and self.slope > SLOPE_BYTES:
            found.append(f"memory grows by {self.slope / 1e6:.2f} MB in 10,000 renders")
        return found if self.lives else [*found, "the server did not live through it"]

    def __str__(self) -> str:
        done = sum(self.statuses.values())
        rows = [
            f"{done} requests at {self.rate:.1f}/s, statuses {dict(self.statuses)}, errors {dict(self.errors)}, "
            f"render processes that ended: {dict(self.restarts) or 'none'}",
            f"memory: {self.slope / 1e6:+.2f} MB in 10,000 renders (server alone {self.server_slope / 1e6:+.2f})",
            f"{'renders':>8}{'server':>10}{'workers':>10}{'processes':>11}{'files':>8}{'of workers':>12}{'threads':>9}",
        ]
        step = max(1, len(self.samples) // 12)
        return "\n".join([*rows, *map(str, (self.before, *self.samples[::step], self.after))])


def slope(points: list[tuple[int, int]]) -> float:
    """Theil and Sen's: the median of the slopes of all pairs. A process that is replaced is an outlier to it."""
    pairs = itertools.combinations(points, 2)
    slopes = [(y - v) / (x - u) for (u, v), (x, y) in pairs if x != u]
    return statistics.median(slopes) if slopes else 0.0


async def soaked(server: Server, seconds: float, *, warm_up_s: float = _WARM_UP_S, every_s: float = 1.0) -> Soaked:
    """What ``server`` holds while it works for so many ``seconds``."""
    targets = _targets(random.Random(7))
    peak = await peak_of(server, targets, max(warm_up_s, _WARM_UP_SHARE * seconds))
    rate = SHARE * peak
    before = await _at_rest(server)
    samples: list[Sample] = []
    shooting = asyncio.ensure_future(fire(server.bind, (("soak", each) for each in targets), rate, seconds))
    while not (await asyncio.wait([shooting], timeout=every_s))[0]:
        samples.append(_sample(server))
    shots = shooting.result()
    after = await _at_rest(server)
    statuses = Counter(shot.status for shot in shots)
    lives = server.process.poll() is None and server.ask("/readyz").status == 200
    errors = Counter(f"{shot.status} {shot.error}" for shot in shots if shot.status >= 400)
    return Soaked(
        rate,
        dict(sorted(statuses.items())),
        dict(errors.most_common(8)),
        restarts(server),
        before,
        after,
        samples,
        lives,
    )


def _targets(chance: random.Random) -> Iterator[str]:
    names = sorted(path.name for path in SAMPLES.iterdir() if path.is_file())
    for number in itertools.count():
        name = chance.choice(names) if number % 50 else "nothing.jpg"
        options = (f"rs:fill:{chance.randrange(50, 400)}:{chance.randrange(50, 400)}", f"f:{chance.choice(_FORMATS)}")
        yield "/unsafe" + path_of(f"local:///{name}", (*options, f"cb:{number}"))


async def _at_rest(server: Server) -> Sample:
    """The sample of a server that has nothing to do: two looks that agree, half a second apart."""
    last = _sample(server)
    for _ in range(20):
        await asyncio.sleep(0.5)
        now = _sample(server)
        if (now.descriptors, now.processes, now.threads) == (last.descriptors, last.processes, last.threads):
            return now
        last = now
    return last


def _sample(server: Server) -> Sample:
    own = holdings(server.process.pid)
    children = {pid: holdings(pid) for pid in server.workers()}
    living = [each for each in children.values() if not each.zombie]
    return Sample(
        renders=_answers(server),
        server=own.resident,
        workers=sum(each.resident for each in living),
        processes=len(living),
        descriptors=own.descriptors,
        worker_descriptors=sum(each.descriptors for each in living),
        threads=own.threads + sum(each.threads for each in living),
        zombies=frozenset(pid for pid, each in children.items() if each.zombie),
    )


def _answers(server: Server) -> int:
    rows = server.metrics().splitlines()
    return int(float(next(row.split()[1] for row in rows if row.startswith("requests_total "))))
