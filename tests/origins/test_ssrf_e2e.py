"""Every spelling of "this host" that we know, against real sockets: not one may reach a listener.

The test runs in a network namespace of its own, in which nothing but loopback exists.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = 'ip link set lo up && ip addr add 169.254.7.7/32 dev lo && exec "$@"'
ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
def test_nothing_reaches_the_canary() -> None:
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("needs unshare and ip")
    inside = ["unshare", "-n", "--", "sh", "-c", SETUP, "sh"]
    if subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to make a network namespace")
    done = subprocess.run(
        [*inside, sys.executable, "-m", "tests.origins.canary"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
