"""What must not spread: a lost process, an endless render, too many requests, a stop, clients that leave."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pyvips

from tests.serving import free_port, serving, signed, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.origin import Pictures
    from tests.serving import Answer

pytestmark = pytest.mark.e2e

# Some 20 kB of text take librsvg a minute, and no flag of libvips stops it.
ENDLESS_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200">%s</svg>' % (
    b"<text>%s</text>" % (b"ab cd " * 330) * 100
)


@cache
def noise(width: int = 3000, height: int = 2000) -> bytes:
    """A picture that is work for every encoder: half a minute and more for AVIF at speed 0."""
    grey = pyvips.Image.gaussnoise(width, height, sigma=60, mean=128, seed=1).cast("uchar")
    colour = grey.bandjoin([grey.rot180(), grey.flipver()]).copy(interpretation="srgb")
    return colour.write_to_buffer(".jpg", Q=80)


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_killed_render_process_costs_nobody_an_answer(origin: Pictures, crowd: ThreadPoolExecutor) -> None:
    victim, others = origin.put("noise.jpg", noise()), origin.url("quadrants.jpg")
    with serving(workers="2", avif_speed="6", timeout="25s") as server:
        started = {pid: cpu_seconds(pid) for pid in server.workers()}
        slow = crowd.submit(server.ask, signed(victim, "f:avif", "w:1200"))
        small = [crowd.submit(server.ask, signed(others, f"w:{width}")) for width in range(100, 130)]
        worker = until(lambda: [pid for pid in started if cpu_seconds(pid) - started[pid] > 0.8])[0]
        os.kill(worker, signal.SIGKILL)
        assert slow.result().picture.width == 1200
        assert Counter(each.result().status for each in small) == {200: 30}
        until(lambda: len(server.workers()) == 3)
        assert server.ask("/readyz").status == 200
        (lost,) = server.lines("imgproxy.render")
        assert (lost["pid"], lost["ended_with"]) == (worker, "SIGKILL")
        (again,) = server.lines("imgproxy.making")
        assert again["message"] == "rendering again"


@pytest.mark.parametrize(("name", "options"), [("noise.jpg", ["f:avif"]), ("text.svg", ["f:png"])])
def test_a_render_without_end_ends_at_its_deadline(
    origin: Pictures, crowd: ThreadPoolExecutor, name: str, options: list[str]
) -> None:
    body = noise() if name == "noise.jpg" else ENDLESS_SVG
    source, small = origin.put(name, body), origin.url("quadrants.jpg")
    # With the usual limits, the SVG would not be looked at.
    with serving(workers="2", avif_speed="0", timeout="1s", max_svg_size="64MiB") as server:

        def timed(target: str) -> tuple[Answer, float]:
            start = time.monotonic()
            return server.ask(target), time.monotonic() - start

        endless = crowd.submit(timed, signed(source, *options))
        beside: list[float] = []
        while not endless.done():
            answer, seconds = timed(signed(small, "w:60"))
            assert answer.status == 200
            beside.append(seconds)
        answer, seconds = endless.result()
        assert answer.said == (503, "Timeout")
        assert 0.9 < seconds < 1.3
        assert len(beside) > 5
        assert sorted(beside)[len(beside) // 2] < 0.3
        assert server.ask(signed(small, "w:61")).status == 200
        until(lambda: len(server.workers()) == 3)


def test_a_full_queue_refuses_at_once(origin: Pictures, crowd: ThreadPoolExecutor) -> None:
    # One worker has ten places for requests in flight; two more may wait.
    with serving(requests_queue_size="2") as server:
        targets = [signed(origin.url(f"slow/0.3/quadrants.png?{n}"), "w:60") for n in range(16)]
        answers = list(crowd.map(server.ask, targets))
        assert Counter(answer.status for answer in answers) == {200: 12, 429: 4}
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.said == (429, "Too many requests")
        assert refused.headers["retry-after"] == "1"
        lines = until(lambda: found if len(found := server.lines()) == 16 else None)
        assert max(line["dur_ms"] for line in lines if line["status"] == 429) < 100


def test_more_clients_than_allowed_are_refused(origin: Pictures, crowd: ThreadPoolExecutor) -> None:
    with serving(max_clients="2") as server:
        target = signed(origin.url("slow/0.3/quadrants.png"), "w:60")
        assert Counter(each.status for each in crowd.map(server.ask, [target] * 5)) == {200: 2, 429: 3}
        assert server.ask("/health").status == 200


def test_sigterm_drains(origin: Pictures, crowd: ThreadPoolExecutor) -> None:
    with serving(drain_delay="600ms") as server:
        slow = crowd.submit(server.ask, signed(origin.url("slow/1.2/quadrants.png"), "w:60"))
        until(lambda: origin.heads("slow/1.2"))
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.ask("/readyz").said == (503, "draining"))
        assert server.ask("/livez").status == 200
        assert server.ask(signed(origin.url("quadrants.png"), "w:60")).status == 200
        assert slow.result().status == 200
        assert server.process.wait(timeout=10) == 0
        assert server.lines("imgproxy.render") == []


def test_clients_that_leave_leak_nothing(origin: Pictures, crowd: ThreadPoolExecutor) -> None:
    def leave(number: int) -> None:
        connection = server.connect()
        kind, options = (("slow/5", "w:60"), ("", "w:600"), ("slow/5", "raw:1"), ("", "raw:1"))[number % 4]
        source = origin.url(f"{kind}/{'big' if options == 'raw:1' else 'quadrants.png'}".lstrip("/"))
        connection.putrequest("GET", signed(source, options))
        connection.endheaders()
        time.sleep(0.05)
        connection.close()

    with serving(prometheus_bind=f"127.0.0.1:{free_port()}") as server:
        server.ask(signed(origin.url("quadrants.png"), "w:60"))
        before = server.descriptors()
        list(crowd.map(leave, range(80)))
        until(lambda: len(server.lines()) == 81)
        assert 499 in {line["status"] for line in server.lines()}
        until(lambda: "\nrequests_in_progress 0.0" in server.metrics())
        # Idle connections to the origin are kept: the one that was there, and no hundred more.
        until(lambda: server.descriptors() <= before + 8)
        assert server.ask(signed(origin.url("quadrants.png"), "w:60")).status == 200
        assert server.lines("imgproxy.render") == []


def test_a_slow_origin_keeps_nobody_else_waiting(origin: Pictures, crowd: ThreadPoolExecutor) -> None:
    with serving(download_timeout="500ms") as server:
        slow = [crowd.submit(server.ask, signed(origin.url(f"slow/9/{n}"))) for n in range(3)]
        until(lambda: len(origin.heads("slow/9/")) == 3)
        start = time.monotonic()
        assert server.ask(signed(origin.url("quadrants.png"), "w:60")).status == 200
        assert time.monotonic() - start < 0.4
        assert {each.result().said for each in slow} == {(504, "Source is unreachable")}


def test_a_request_that_waits_past_its_deadline_is_told_so(origin: Pictures, crowd: ThreadPoolExecutor) -> None:
    with serving(timeout="600ms") as server:
        targets = [signed(origin.url(f"slow/4/{n}"), "w:60") for n in range(6)]
        assert {each.said for each in crowd.map(server.ask, targets)} == {(503, "Timeout")}
        assert server.ask(signed(origin.url("quadrants.png"), "w:60")).status == 200
