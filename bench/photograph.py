"""One large photograph to 512 px in three formats: the server over HTTP against bare libvips, in one run.

    python bench/photograph.py PHOTO [--rounds 5] [--requests 20]

The two alternate, round by round, on the same cores; figures are medians over the rounds, with their range. Bare
libvips is one process that opens the file and does the same operations with the same arguments. The origin is a
local HTTP server; the load is one request at a time, so that times are latencies and CPU is what a request costs.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.client
import http.server
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FORMATS = ("jpg", "webp", "avif")
BARE = """
import sys, time, resource, pyvips
pyvips.cache_set_max(0)
path, suffix, count, shrink = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def once():
    image = pyvips.Image.jpegload(path, shrink=shrink, access="sequential", fail_on="truncated")
    wide = 512 / max(image.width, image.height)
    image = image.resize(wide).copy_memory()
    return len({"jpg": lambda: image.jpegsave_buffer(Q=80, optimize_coding=True, keep=0),
                "webp": lambda: image.webpsave_buffer(Q=79, effort=2, keep=0),
                "avif": lambda: image.heifsave_buffer(Q=63, compression="av1", effort=0, keep=0)}[suffix]())
once()
wall, cpu = time.monotonic(), time.process_time()
for _ in range(count): once()
print((time.monotonic() - wall) / count, (time.process_time() - cpu) / count,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@dataclass(frozen=True)
class Figures:
    """Of one round, for one image: seconds of wall and CPU time, and the stages in milliseconds."""

    wall: float
    cpu: float
    stages: dict[str, float]


def bare(photo: Path, suffix: str, count: int, shrink: int) -> tuple[float, float, int]:
    """Wall and CPU seconds for an image, and peak RSS in KiB, of libvips alone."""
    environment = os.environ | {"VIPS_CONCURRENCY": "1", "MALLOC_ARENA_MAX": "2"}
    command = [sys.executable, "-c", BARE, str(photo), suffix, str(count), str(shrink)]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    wall, cpu, peak = out.split()
    return float(wall), float(cpu), int(peak)


@contextlib.contextmanager
def origin(folder: Path) -> Iterator[int]:
    """A quiet HTTP server for a folder; its port."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextlib.contextmanager
def imgproxy(port: int) -> Iterator[int]:
    """The server on its defaults; its process id."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMGPROXY_")}
    environment |= {
        "IMGPROXY_BIND": f"127.0.0.1:{port}",
        "IMGPROXY_ALLOW_LOOPBACK_SOURCE_ADDRESSES": "1",
        "IMGPROXY_ENABLE_DEBUG_HEADERS": "1",
        "IMGPROXY_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "imgproxy"], env=environment)
    try:
        wait_until(lambda: ask(port, "/readyz")[0] == 200)
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(15)


def ask(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def wait_until(ready: Callable[[], bool]) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.05)
    raise TimeoutError("the server did not become ready")


def family(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> str:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    resident, proportional = (
        int(re.search(rf"^{name}:\s+(\d+)", rollup, re.MULTILINE)[1]) // 1024 for name in ("Rss", "Pss")
    )
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024
    return f"pid {pid}: RSS {resident} MiB, PSS {proportional} MiB, peak RSS {peak} MiB"


def served(port: int, pid: int, path: str, count: int) -> Figures:
    before = sum(map(cpu_seconds, family(pid)))
    start = time.monotonic()
    stages: list[dict[str, float]] = []
    for _ in range(count):
        status, headers, body = ask(port, path)
        if status != 200:
            raise RuntimeError(f"{status}: {body[:200]!r}")
        stages.append({name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", headers["server-timing"])})
    wall = (time.monotonic() - start) / count
    cpu = (sum(map(cpu_seconds, family(pid))) - before) / count
    return Figures(wall, cpu, {name: statistics.median(each[name] for each in stages) for name in stages[0]})


def spread(values: list[float], scale: float = 1000) -> str:
    return f"{scale * statistics.median(values):.1f} ({scale * min(values):.1f}-{scale * max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--shrink", type=int, default=4, help="what the server shrinks on load for this photograph")
    given = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with origin(given.photo.parent) as origin_port, imgproxy(port) as pid:
        print("| format | bare wall ms | bare CPU ms | server wall ms | server CPU ms | CPU ratio | stages, ms |")
        print("|---|---|---|---|---|---|---|")
        for suffix in FORMATS:
            path = f"/_/rs:fit:512:512/plain/http://127.0.0.1:{origin_port}/{given.photo.name}@{suffix}"
            served(port, pid, path, 4)
            rounds = [
                (bare(given.photo, suffix, given.requests, given.shrink), served(port, pid, path, given.requests))
                for _ in range(given.rounds)
            ]
            stages = {name: statistics.median(s.stages[name] for _, s in rounds) for name in rounds[0][1].stages}
            print(
                f"| {suffix} | {spread([b[0] for b, _ in rounds])} | {spread([b[1] for b, _ in rounds])}"
                f" | {spread([s.wall for _, s in rounds])} | {spread([s.cpu for _, s in rounds])}"
                f" | {spread([s.cpu / b[1] for b, s in rounds], 1)}"
                f" | {', '.join(f'{name} {ms:.1f}' for name, ms in stages.items())} |"
            )
        print()
        for each in family(pid):
            print(memory(each))


if __name__ == "__main__":
    main()
