"""Nothing that comes in may do more than fail: bad URLs by the thousand, and pictures that no camera made."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.hostile.bombing import bombing
from bench.hostile.ground import CORPUS, files, ground
from bench.hostile.report import told
from bench.hostile.soak import Sample, Soaked, soaked
from bench.hostile.volley import DECLARED, WORKER_BYTES, Asked, Volley, settings, volley
from bench.openloop import Shot
from imgproxy.options import OPTIONS
from imgproxy.signing import path_of
from tests import charts
from tests.bombs import STRUCTURES
from tests.serving import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.serving import Server

pytestmark = pytest.mark.e2e

PLAN = ("rs:fit:200:200", "f:webp")


@dataclass
class Tally:
    """What became of many requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    odd: list[tuple[int, str, str]] = field(default_factory=list)
    """Answers that somebody should look at: status, text and what was asked."""
    slowest: tuple[float, str] = (0.0, "")
    peak_bytes: int = 0
    """Of one render process."""


def everything(server: Server, targets: Iterable[str], *, names: Iterable[str] = ()) -> Tally:
    """Ask for all targets, a few at a time; ``names`` stand for them in the tally."""
    tally = Tally()

    def ask(target: str, name: str) -> None:
        start = time.monotonic()
        answer = server.ask(target)
        tally.slowest = max(tally.slowest, (time.monotonic() - start, name))
        tally.statuses[answer.status] += 1
        if answer.status >= 500 or answer.status not in DECLARED:
            tally.odd.append((answer.status, answer.text, name))
        tally.peak_bytes = max([tally.peak_bytes, *map(peak_bytes, server.workers())])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, targets, names or targets))
    return tally


def peak_bytes(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


GOOD = [
    path_of("local:///photo.png", options)
    for option in OPTIONS
    for options in ([], *[[example] for example in option.examples])
]
NUMBERS = ["-1", "0", "1e9", "nan", "inf", "1e309", "99999999999999999999", "0x10", "1_0", "٣", "", ".", "1" * 400]
PIECES = [
    "%",
    "%zz",
    "%00",
    "%ff%fe",
    "%2e%2e%2f",
    "../",
    "//",
    "@",
    "@png",
    ":",
    "::",
    ";",
    "\\",
    "\0",
    "plain",
    "${1}",
]


def bad_urls(seed: int, count: int) -> Iterator[str]:
    """Good URLs that something happened to."""
    chance = random.Random(seed)
    for _ in range(count):
        url = "/" + chance.choice(["x", "unsafe", "w:3", ""]) + chance.choice(GOOD)
        for _ in range(chance.randint(1, 4)):
            url = _mutated(url, chance)
        yield url.replace(" ", "%20").replace("\r", "%0d").replace("\n", "%0a")


def _mutated(url: str, chance: random.Random) -> str:
    at = chance.randrange(len(url) + 1)
    match chance.randrange(7):
        case 0:
            return url[:at] + chr(chance.randrange(256)) + url[at:]
        case 1:
            return url[:at] + url[at + chance.randint(1, 9) :]
        case 2:
            return url[:at] + chance.choice(PIECES) + url[at:]
        case 3:
            return re.sub(r"\d+", lambda each: chance.choice([each[0], *NUMBERS]), url)
        case 4:
            segments = url.split("/")
            chance.shuffle(segments)
            return "/".join(segments)
        case 5:
            return url + chance.choice(["/a", ":1", "/..", "%41", "\xe9"]) * chance.choice([1, 30, 1000])
        case _:
            return "/" + bytes(chance.randrange(256) for _ in range(chance.randint(0, 200))).hex(chance.choice("/:.%"))


def test_bad_urls(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(charts.quadrants(60, 40))
    with serving(
        local_filesystem_root=str(tmp_path),
        allowed_sources="local://",
        max_result_dimension="500",
        timeout="5s",
    ) as server:
        targets = [url.encode().decode("latin-1") for url in bad_urls(1, 1000)]
        tally = everything(server, targets)
        assert set(tally.statuses) <= DECLARED
        assert tally.odd == []
        assert tally.statuses.keys() >= {200, 403, 404}
        assert server.ask("/readyz").status == 200
        assert server.lines("imgproxy.render") == []


def mutants(seed: int, each: int) -> Iterator[tuple[str, bytes]]:
    """Charts with bits turned, pieces cut out and lengths made up."""
    chance = random.Random(seed)
    bodies = {name: source() for name, source in charts.SOURCES.items() if name != "cmyk.jpg"}
    bodies["small.avif"] = charts.quadrants(60, 40, ".avif")
    bodies["small.tif"] = charts.quadrants(60, 40, ".tif")
    for name, body in bodies.items():
        for number in range(each):
            broken = bytearray(body)
            for _ in range(chance.choice([1, 3, 30])):
                # Half of the damage to the head, where the lengths are.
                at = chance.randrange(chance.choice([64, len(broken)]) if len(broken) > 64 else len(broken))
                match chance.randrange(4):
                    case 0:
                        broken[at] ^= 1 << chance.randrange(8)
                    case 1:
                        broken[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)])
                    case 2:
                        del broken[at : at + chance.randint(1, 99)]
                    case _:
                        broken[at:at] = broken[at : at + chance.randint(1, 99)]
                if not broken:
                    break
            yield f"{number}-{name}", bytes(broken)


def survey(server: Server, names: list[str], *plans: tuple[str, ...]) -> Tally:
    """Every file under every plan."""
    asked = {f"{name} {'/'.join(plan)}": path_of(f"local:///{name}", plan) for name in names for plan in plans}
    return everything(server, [f"/x{path}" for path in asked.values()], names=asked)


def judge(server: Server, tally: Tally, *, lost: int) -> None:
    """Nothing but declared statuses, a server alive, and at most ``lost`` render processes the fewer."""
    assert set(tally.statuses) <= {200, 404, 422, 503}, tally.odd
    assert server.ask("/readyz").status == 200
    losses = server.lines("imgproxy.render")
    assert len(losses) <= lost, losses
    assert tally.statuses[503] <= lost, tally.odd


def test_mutated_pictures(tmp_path: Path) -> None:
    names: list[str] = []
    for name, body in mutants(2, 8):
        (tmp_path / name).write_bytes(body)
        names.append(name)
    with serving(local_filesystem_root=str(tmp_path), workers="2", max_animation_frames="20", timeout="5s") as server:
        tally = survey(server, names, PLAN)
        judge(server, tally, lost=1)
        assert tally.statuses[422] > 10
        assert tally.statuses[200] > 10


def corpus() -> Path:
    """The folder of odd files."""
    if not CORPUS.is_dir():
        pytest.skip("there is no corpus: IMAGE_CORPUS names its folder")
    return CORPUS


def test_some_of_the_corpus_beside_ordinary_requests() -> None:
    with ground(corpus()) as root, serving(**settings(root)) as server:
        came = asyncio.run(volley(server, files(root, 60, seed=3), quiet_s=1.0))
    # Times of ordinary requests say something on a quiet machine only: `python -m bench.hostile` judges them.
    assert came.faults(ratio=None) == []
    assert {each.shot.status for each in came.asked} >= {200, 422}
    assert all(each.line for each in came.asked)
    assert len(came.beside) > 5


def test_some_bombs() -> None:
    with ground() as root, serving(**settings(root)) as server:
        came = asyncio.run(bombing(server, root, seed=1, count=len(STRUCTURES), plans=["resize"]))
    assert [str(each) for each in came.tried if not each.right] == []
    assert came.worker_peak < WORKER_BYTES
    assert came.lives
    # Most are; a machine that is busy takes longer for the same work.
    assert came.at_once > 0.5


def test_some_seconds_of_work_leave_nothing_behind() -> None:
    with ground() as root, serving(**settings(root), prometheus_bind=f"127.0.0.1:{free_port()}") as server:
        came = asyncio.run(soaked(server, 10.0, warm_up_s=3.0, every_s=0.5))
    assert came.faults(memory=False) == []
    assert came.statuses[200] > 20
    assert len(came.samples) > 10


SHOT = Shot("resize", 0.0, 0.1, 200)
FINE = Volley([Asked("a", "resize", SHOT)], [SHOT], [SHOT], [], {}, 1 << 20, 0, lives=True)
HELD = Sample(0, 1 << 26, 1 << 28, 3, 40, 15, 24, frozenset())
STEADY = Soaked(
    20.0,
    {200: 99},
    {},
    {},
    HELD,
    replace(HELD, renders=99),
    [replace(HELD, renders=each) for each in (3, 50)],
    lives=True,
)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"asked": [Asked("a", "resize", replace(SHOT, status=500))]}, "500 for a resize"),
        ({"asked": [Asked("a", "resize", replace(SHOT, status=0))]}, "0 for a resize"),
        ({"asked": [Asked("a", "resize", replace(SHOT, seconds=2.3))]}, "2.30 s for a resize"),
        ({"failed": [Asked("a", "resize", replace(SHOT, status=503), {"code": "x"})]}, "503 x for an ordinary request"),
        ({"beside": [replace(SHOT, seconds=0.2)]}, "ordinary requests: p99 is 2.00 times what it was"),
        ({"worker_peak": 800 << 20}, "a render process took 800 MiB"),
        ({"growth": 21_000_000}, "the server grew by 21.0 MB"),
        ({"lives": False}, "the server did not live through it"),
    ],
)
def test_each_fault_of_a_volley_is_seen(change: dict[str, Any], fault: str) -> None:
    assert FINE.faults() == []
    assert replace(FINE, **change).faults() == [fault]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"after": replace(HELD, descriptors=45)}, "descriptors: 40 before, 45 after"),
        ({"after": replace(HELD, worker_descriptors=20)}, "descriptors of render processes: 15 before, 20 after"),
        ({"after": replace(HELD, threads=29)}, "threads: 24 before, 29 after"),
        ({"samples": [replace(HELD, renders=each, zombies=frozenset({7})) for each in (1, 2)]}, "zombies: [7]"),
        ({"samples": [replace(HELD, renders=each, server=each * 200) for each in range(9)]}, "memory grows by 2.00 MB"),
        ({"statuses": {500: 1}}, "statuses: {500}"),
        ({"lives": False}, "the server did not live through it"),
    ],
)
def test_each_leak_is_seen(change: dict[str, Any], fault: str) -> None:
    assert STEADY.faults() == []
    assert [each[: len(fault)] for each in replace(STEADY, **change).faults()] == [fault]


@pytest.mark.soak
def test_the_whole_corpus() -> None:
    """Five minutes on two cores. Prints what an operator would want to know: ``make soak``."""
    with ground(corpus()) as root, serving(**settings(root)) as server:
        came = asyncio.run(volley(server, files(root)))
    print(told(came))  # noqa: T201
    assert came.faults(ratio=None) == []


@pytest.mark.soak
def test_ten_minutes_at_four_fifths() -> None:
    with ground() as root, serving(**settings(root), prometheus_bind=f"127.0.0.1:{free_port()}") as server:
        came = asyncio.run(soaked(server, 600.0))
    print(came)  # noqa: T201
    assert came.faults() == []
