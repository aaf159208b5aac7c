"""``python -m bench.race`` (``make bench``), ``--full`` (``make bench-full``): see docs/performance.md."""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyvips

from bench.race import chart, hits, kills, memory, overloading, results, srcset, streaming, table
from bench.race.contestants import CORES, Contestant, field_of, ours
from bench.race.ground import origin
from bench.race.pictures import are_photographs, pictures
from bench.race.rounds import lanes, race
from bench.race.scoring import Scorer
from bench.race.works import MISSES, QUALITIES, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Parts = dict[str, Callable[[], dict[str, Any]]]

PARTS = ("misses", "quality", "srcset", "hits", "streaming", "memory", "kills", "overload")
ROOT = Path(__file__).parents[2]
BARE = {
    "libvips": {"title": "bare libvips", "settings": f"our default operations, {CORES} processes, no HTTP"},
    "incumbents": {
        "title": "the incumbents' rule",
        "settings": "bare libvips, largest shrink on load that is not too much, no linear light",
    },
    "ideal": {
        "title": "the reference, encoded alike",
        "settings": "what the score is taken against, through our encoder",
    },
}


def main() -> None:
    given = _arguments()
    if missing := [name for name in ("nginx", "wrk", "redis-server") if not shutil.which(name)]:
        sys.exit(f"install {' and '.join(missing)} first")
    runs = results.read(given.output)
    with pictures() as folder, origin(folder) as url, Scorer() as scorer:
        run = _head(given, scorer)
        for name, measure in _parts(given, folder, url, scorer, run.pop("field")).items():
            if given.only and name not in given.only:
                continue
            began = time.monotonic()
            run[name] = measure()
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            # Written as it grows: what was measured is not lost with what fails later.
            results.write(given.output, results.added(runs, run, keep=given.keep, amend=given.amend))
    given.output.with_suffix(".svg").write_text(chart.svg(results.read(given.output)[-1]))
    print(table.text(run))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure this server, its peers and bare libvips.")
    parser.add_argument("--full", action="store_true", help="longer rounds, more of them")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="parts; all by default")
    parser.add_argument("--works", nargs="*", help="of misses and quality only these, such as p3-jpeg")
    parser.add_argument("--peers", nargs="*", help="of the peers only these; none after it for none")
    parser.add_argument("--rounds", type=int, help="instead of 3")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--keep", type=int, default=1, help="how many runs the file keeps")
    parser.add_argument("--amend", action="store_true", help="put the parts into the newest run of the file")
    parser.add_argument("--build-oximg", action="store_true", help="build oximg with cargo if it is not there; minutes")
    return parser.parse_args()


def _head(given: argparse.Namespace, scorer: Scorer) -> dict[str, Any]:
    """What a reader of the results must know, and who takes part."""
    field, missing = field_of(build_oximg=given.build_oximg)
    if given.peers is not None:
        field = [each for each in field if each.name.startswith("ours") or each.name in given.peers]
    if scorer.missing:
        missing["scores"] = scorer.missing
    profiles = [ours(f"ours-{name}", f"this server, {name}", name, quality_profile=name) for name in _PROFILES]
    told = {each.name: {"title": each.title, "settings": each.settings} for each in (*field, *profiles)}
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "form": "full" if given.full else "quick",
        "cores": CORES,
        "libvips": ".".join(str(pyvips.version(n)) for n in range(3)),
        "version": importlib.metadata.version("imgproxy-server"),
        "pictures": "photographs" if are_photographs() else "stand-ins for photographs",
        "contestants": BARE | told,
        "missing": missing,
        "field": [*field, *profiles],
    }


_PROFILES = ("fast", "best")
"""Beside the default, where quality is compared."""


def _parts(given: argparse.Namespace, folder: Path, url: str, scorer: Scorer, field: Sequence[Contestant]) -> Parts:
    """What is measured, in order; sizes for a run of under three minutes, or a full one."""
    full = given.full
    rounds = given.rounds or 3

    def misses() -> dict[str, Any]:
        works = _chosen(MISSES, given)
        takers = [each for each in field if each.name.removeprefix("ours-") not in _PROFILES]
        found: dict[str, Any] = {}
        with lanes(takers, folder, url, CORES) as running:
            for work in works:
                # Effort 4 differs where WebP is made.
                able = [lane for lane in running if lane.name != "ours-e4" or work.format == "webp"]
                found |= race([work], able, folder, scorer, rounds, 3.0 if full else 0.7)
        return found

    def quality() -> dict[str, Any]:
        takers = [each for each in field if each.name != "ours-e4"]
        with lanes(takers, folder, url, CORES, incumbents=True) as running:
            works = _chosen(QUALITIES, given)
            return race(works, running, folder, scorer, rounds if full else 0, 1.0)

    return {
        "misses": misses,
        "quality": quality,
        "srcset": lambda: srcset.measure(url, rounds if full else 1),
        "hits": lambda: hits.measure(folder, rounds if full else 1, 5 if full else 1),
        "streaming": lambda: streaming.measure(folder, rounds),
        "memory": lambda: memory.measure(url, rounds if full else 1, 2000 if full else 0),
        "kills": lambda: kills.measure(rounds, 10 if full else 2),
        "overload": lambda: overloading.measure(folder, 30 if full else 4, 10 if full else 3),
    }


def _chosen(works: Sequence[Work], given: argparse.Namespace) -> list[Work]:
    if given.works is not None:
        return [work for work in works if work.name in given.works]
    return [work for work in works if work.quick or given.full]


if __name__ == "__main__":
    main()
