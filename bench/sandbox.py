"""What the sandbox costs: the same renders in a process with all of it and in one without, in pairs.

    python -m bench.sandbox --photo PHOTO

Each pair is of new processes, because where a process happens to have its memory shifts all its times by some percent.
They take turns, render by render, so that what else the machine does meets both; what counts is the processor time of
the render process, because at its priority the other load decides when it runs. Prints for each picture the median of
a render in both, and of the ratios of the pairs the median and the quartiles.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pyvips

from imgproxy.model import Client, ImageRequest, Job, Plan, Report, Source, SourceRef
from imgproxy.negotiation import NegotiationSettings, Negotiator
from imgproxy.options import read_segment
from imgproxy.planning import Planner, PlanSettings
from imgproxy.render import wire
from imgproxy.render.process import COMMAND, ENVIRONMENT
from imgproxy.render.sandbox import ALL

_WARM_UP = 2
"""Renders of a new process that do not count."""


def start(layers: frozenset[str]) -> tuple[wire.Line, subprocess.Popen[bytes]]:
    ours, theirs = wire.lines()
    given = theirs.socket.fileno(), theirs.results
    orders = (*map(str, given), str(768 << 20), str(512 << 10), ",".join(sorted(layers)))
    with closing(theirs):
        process = subprocess.Popen([*COMMAND, *orders], pass_fds=given, env=ENVIRONMENT, cwd="/")
    while not isinstance(answer := wire.receive_answer(ours), wire.Ready):
        pass
    assert answer.sandbox.held == layers, f"only {answer.sandbox}"
    return ours, process


def plan(*options: str) -> Plan:
    settings = [each for option in options for each in read_segment(*_split(option))]
    planner = Planner(PlanSettings(), negotiator=Negotiator(NegotiationSettings()))
    return planner.plan(ImageRequest(SourceRef("https://origin.test/picture"), tuple(settings)), Client())


def _split(option: str) -> tuple[str, list[str]]:
    name, *arguments = option.split(":")
    return name, arguments


def seconds(line: wire.Line, pid: int, job: Job) -> float:
    """Processor time of the process for a render."""
    clock = (~pid << 3) | 2  # clock_getcpuclockid(3)
    begun = time.clock_gettime(clock)
    wire.send_request(line, job)
    assert isinstance(answer := wire.receive_answer(line), Report), answer
    return time.clock_gettime(clock) - begun


def compare(name: str, body: bytes, asked: Plan, pairs: int, renders: int) -> None:
    source = Source(os.memfd_create(name), len(body), "")
    os.write(source.fd, body)
    job = Job(asked, source)
    within: list[float] = []
    without: list[float] = []
    for _ in range(pairs):
        inside, outside = start(ALL), start(frozenset())
        spent = [0.0, 0.0]
        for k in range(-_WARM_UP, renders):
            for place in (0, 1) if k % 2 else (1, 0):
                connection, process = (inside, outside)[place]
                once = seconds(connection, process.pid, job)
                spent[place] += once / renders if k >= 0 else 0
        for times, each, (connection, process) in zip((within, without), spent, (inside, outside), strict=True):
            times.append(each)
            connection.close()
            process.wait()
    source.close()
    ratios = [one / other for one, other in zip(within, without, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"{name:24} {1000 * statistics.median(within):8.2f} ms in the sandbox, "
        f"{1000 * statistics.median(without):8.2f} ms without; {pairs} pairs of {renders}: "
        f"ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="a photograph of a camera")
    parser.add_argument("--pairs", type=int, default=12)
    options = parser.parse_args()
    small: bytes = (pyvips.Image.xyz(400, 300) / 2).extract_band(0, n=2).bandjoin(50).cast("uchar").jpegsave_buffer()
    compare("small JPEG to 100x100", small, plan("rs:fill:100:100", "f:jpg"), options.pairs, 100)
    compare("small JPEG to WebP", small, plan("rs:fit:300:300", "f:webp"), options.pairs, 30)
    if options.photo:
        body = options.photo.read_bytes()
        compare(f"{options.photo.stem} to 800", body, plan("rs:fit:800:800", "f:jpg"), options.pairs, 6)


if __name__ == "__main__":
    main()
