"""A render process whose libraries need a system call that the sandbox does not know: with seccomp it dies."""

from __future__ import annotations

import os
import sys

from imgproxy.render import warmup, worker
from tests.render import sabotage

COMMAND = (sys.executable, "-P", "-s", "-m", "tests.render.homesick")


def _warm_up() -> None:
    try:
        os.chdir("/")
    except PermissionError:
        os.abort()
    warmup.warm_up()


if __name__ == "__main__":
    worker.warm_up = _warm_up
    orders = worker.Orders.read(sys.argv[1:])
    worker.start(orders, sabotage.run)
