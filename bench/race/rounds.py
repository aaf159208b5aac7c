"""Works in rounds: everybody in turn, so that what disturbs the machine disturbs all."""

from __future__ import annotations

import itertools
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyvips

from bench.race import checks
from bench.race.ground import responds, running
from bench.race.limit import INCUMBENTS, OURS, Limit, Manner, render
from bench.race.load import body, closed
from bench.race.processes import Usage
from bench.race.scoring import ideal
from deploy.cluster import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bench.race.contestants import Contestant
    from bench.race.scoring import Scorer
    from bench.race.works import Work

MIB = 1 << 20
_WARM_S = 0.1


@dataclass
class Cell:
    """What a contestant did at a work, round by round; ``note`` says why there is nothing."""

    rates: list[float] = field(default_factory=list)
    """Answers a second."""
    cpu_ms: list[float] = field(default_factory=list)
    """For an answer, all processes."""
    peak_mib: float = 0.0
    """Resident, summed over processes, the highest of all rounds."""
    bytes: int = 0
    score: float | None = None
    note: str = ""


@dataclass
class Lane:
    """A contestant that can be given a work: a running server, or bare libvips."""

    name: str
    answer: Callable[[Work], bytes]
    run: Callable[[Work, float], tuple[float, float, int]] | None
    """None for one that is only looked at. Answers a second, CPU seconds for each, peak in bytes."""
    takes: Callable[[Work], bool]


@contextmanager
def started(contestant: Contestant, origin: str) -> Iterator[Lane]:
    """A server, for as long as the block."""
    port = free_port()
    bind = f"127.0.0.1:{port}"

    def filled(text: str) -> str:
        return text.replace("{port}", str(port)).replace("{origin}", origin)

    command = [filled(each) for each in contestant.command]
    environment = {name: filled(value) for name, value in contestant.environment.items()}
    numbers = itertools.count(1)

    def targets(work: Work) -> Iterator[str]:
        for number in numbers:
            yield contestant.target(work, f"{origin}/{number}/{work.picture}")

    with running(command, lambda: responds(f"http://{bind}{contestant.ready}"), environment) as pid:

        def run(work: Work, seconds: float) -> tuple[float, float, int]:
            with Usage(pid) as usage:
                loaded = closed(bind, targets(work), seconds, work.clients)
            if loaded.failed:
                raise ValueError(f"{loaded.failed} of {loaded.failed + loaded.count} requests failed")
            return loaded.rate, usage.cpu / max(1, loaded.count), usage.peak

        yield Lane(
            contestant.name,
            lambda work: body(bind, next(targets(work))),
            run,
            lambda work: work.format in contestant.formats and (contestant.animates or not work.animated),
        )


def unlimited(folder: Path) -> Lane:
    """The reference itself, encoded as all are: what no resampling can better."""

    def answer(work: Work) -> bytes:
        image = pyvips.Image.new_from_file(str(folder / work.picture))
        scale = work.side / max(image.width, image.height)
        image = ideal(image, round(image.width * scale), round(image.height * scale))
        return image.jpegsave_buffer(Q=work.quality, optimize_coding=True, keep=0)

    return Lane("ideal", answer, None, lambda work: work.format == "jpeg")


def bare(limit: Limit, folder: Path, name: str, manner: Manner) -> Lane:
    """Libvips without a server."""

    def run(work: Work, seconds: float) -> tuple[float, float, int]:
        ran = limit.run(work, seconds, manner)
        return ran.rate, ran.cpu, ran.peak

    def answer(work: Work) -> bytes:
        path = str(folder / work.picture)
        return render(path, work.side, work.format, work.quality, manner, animated=work.animated)

    return Lane(name, answer, run, lambda _: True)


@contextmanager
def lanes(
    contestants: Sequence[Contestant], folder: Path, origin: str, cores: int, *, incumbents: bool = False
) -> Iterator[list[Lane]]:
    """All contestants, running, bare libvips first."""
    with ExitStack() as stack:
        limit = stack.enter_context(Limit(folder, cores))
        found = [bare(limit, folder, "libvips", OURS)]
        if incumbents:
            found += [bare(limit, folder, "incumbents", INCUMBENTS), unlimited(folder)]
        found += [stack.enter_context(started(each, origin)) for each in contestants]
        yield found


def race(
    works: Sequence[Work], running_lanes: Sequence[Lane], folder: Path, scorer: Scorer, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """The cells by work and contestant. The order turns with each round."""
    table: dict[str, dict[str, Any]] = {}
    for work in works:
        able = [lane for lane in running_lanes if lane.takes(work)]
        cells = {lane.name: _first(work, lane, folder, scorer) for lane in able}
        able = [lane for lane in able if lane.run and not cells[lane.name].note]
        for lane in able if rounds else ():
            _run(lane, work, _WARM_S)
        for number in range(rounds):
            turn = number % len(able)
            for lane in [*able[turn:], *able[:turn]]:
                _round(work, lane, cells[lane.name], seconds)
        table[work.name] = {name: vars(cell) for name, cell in cells.items()}
    return table


def _run(lane: Lane, work: Work, seconds: float) -> tuple[float, float, int]:
    assert lane.run is not None
    return lane.run(work, seconds)


def _first(work: Work, lane: Lane, folder: Path, scorer: Scorer) -> Cell:
    """The first answer, checked and scored."""
    source = folder / work.picture
    try:
        answer = lane.answer(work)
    except ValueError as error:
        return Cell(note=str(error))
    if wrong := checks.fault(work, source, answer):
        return Cell(note=wrong)
    return Cell(bytes=len(answer), score=None if work.animated else scorer.score(source, answer))


def _round(work: Work, lane: Lane, cell: Cell, seconds: float) -> None:
    try:
        rate, cpu, peak = _run(lane, work, seconds)
    except ValueError as error:
        cell.note = str(error)
        return
    cell.rates.append(round(rate, 2))
    cell.cpu_ms.append(round(1000 * cpu, 2))
    cell.peak_mib = max(cell.peak_mib, round(peak / MIB, 1))
