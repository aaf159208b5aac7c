"""The command: every file of the corpus under three plans, then generated bombs, through one server.

    python -m bench.hostile [--corpus DIR] [--files N] [--bombs N] [--seed N] [--at-once N] [--short]
    python -m bench.hostile --soak [MINUTES]

Exits 1 if anything is not as it must be, and says what.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.hostile import bombing, soak
from bench.hostile.ground import CORPUS, files, ground
from bench.hostile.report import told
from bench.hostile.volley import settings, volley
from tests.serving import free_port, serving


def main() -> None:
    given = _arguments()
    faults = (
        _soak(given)
        if given.soak
        else [*(_corpus(given) if given.files != 0 else []), *(_bombs(given) if given.bombs else [])]
    )
    print("\n".join(["", *(faults[:50] or ["all as it must be"])]))
    sys.exit(bool(faults))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--files", type=int, help="so many of the corpus, by chance; all if not given, 0 for none")
    parser.add_argument("--bombs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=1, help="hostile requests at the same time")
    parser.add_argument("--quiet", type=float, default=30.0, help="seconds of ordinary requests before")
    parser.add_argument("--short", action="store_true", help="60 files, 30 bombs, 5 quiet seconds")
    parser.add_argument("--soak", type=float, nargs="?", const=10.0, metavar="MINUTES", help="only look for leaks")
    given = parser.parse_args()
    if given.short:
        given.files, given.bombs, given.quiet = 60, 30, 5.0
    return given


def _corpus(given: argparse.Namespace) -> list[str]:
    with ground(given.corpus) as root, serving(**settings(root)) as server:
        names = files(root, given.files, given.seed)
        came = asyncio.run(volley(server, names, at_once=given.at_once, quiet_s=given.quiet))
    print(f"== the corpus: {len(names)} files, {given.at_once} at once\n{told(came)}", flush=True)
    return came.faults()


def _bombs(given: argparse.Namespace) -> list[str]:
    with ground() as root, serving(**settings(root)) as server:
        came = asyncio.run(bombing.bombing(server, root, given.seed, given.bombs))
    print(f"\n== bombs, seed {given.seed}\n{came}", flush=True)
    return came.faults()


def _soak(given: argparse.Namespace) -> list[str]:
    with ground() as root, serving(**settings(root), prometheus_bind=f"127.0.0.1:{free_port()}") as server:
        came = asyncio.run(soak.soaked(server, 60 * given.soak))
    print(came)
    return came.faults()


if __name__ == "__main__":
    main()
