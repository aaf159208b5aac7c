"""Every way that we know to make a server visit whom it should not, against real sockets: not one may get there.

The tests run in a network namespace of their own, without a way out of it. Where none can be made they fail: a guard
that was not tested is not known to hold.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.origins import canary

ROOT = Path(__file__).parents[2]
SETUP = """
    set -e
    ip link set lo up
    mount --bind "$1/resolv.conf" /etc/resolv.conf
    mount --bind "$1/hosts" /etc/hosts
    mount -t tmpfs tmpfs /run
    shift
    exec "$@"
"""


@pytest.mark.e2e
@pytest.mark.parametrize("part", ["vectors", "rest", "server"])
def test_nothing_reaches_the_canary(tmp_path: Path, part: str) -> None:
    (tmp_path / "resolv.conf").write_text(f"nameserver {canary.RESOLVER}\noptions timeout:30 attempts:1\n")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    done = subprocess.run(
        ["unshare", "-n", "-m", "--", "sh", "-c", SETUP, "sh", tmp_path, sys.executable, "-m", canary.__name__, part],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_each_vector_is_tried_somewhere() -> None:
    rows = [line.split("\t") for line in canary.VECTORS.read_text().splitlines()[1:]]
    assert len(rows) > 100
    described = {id_ for id_, _, _, how in rows if how != "literal"}
    placed = canary.URLS.keys() | canary.MIXED.keys() | canary.SEPARATELY | canary.ELSEWHERE.keys()
    assert described <= placed
    assert placed <= {id_ for id_, *_ in rows}
    for path in canary.ELSEWHERE.values():
        assert (ROOT / path).is_file()
