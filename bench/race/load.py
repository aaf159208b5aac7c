"""Requests, and how fast they are answered.

``closed`` counts whole answers only, and waits for the last: where a render takes 100 ms, what wrk cuts off at the
end of a short round is a tenth of it. ``wrk`` is for hits, where a generator in Python would be the limit.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.openloop import Gun

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPORT = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Answers a second, the median time of one in seconds, and how many were no image."""

    rate: float
    median: float
    count: int
    failed: int


def closed(bind: str, targets: Iterator[str], seconds: float, clients: int) -> Loaded:
    """So many clients, each asking as soon as it was answered, until the time is over; the last answers count, too."""
    return asyncio.run(_closed(bind, targets, seconds, clients))


async def _closed(bind: str, targets: Iterator[str], seconds: float, clients: int) -> Loaded:
    gun = Gun(bind)
    end = gun.began + seconds

    async def client() -> None:
        while time.monotonic() < end:
            await gun.shoot("", next(targets), time.monotonic())

    await asyncio.gather(*(client() for _ in range(clients)))
    lasted = time.monotonic() - gun.began
    gun.close()
    good = sorted(shot.seconds for shot in gun.shots if shot.status == 200)
    median = good[len(good) // 2] if good else 0.0
    return Loaded(len(good) / lasted, median, len(good), len(gun.shots) - len(good))


@dataclass(frozen=True, slots=True)
class Hits:
    """Of one URL asked for again and again."""

    rate: float
    p50_ms: float
    p99_ms: float
    errors: int
    count: int


def wrk(url: str, seconds: float, connections: int = 32) -> Hits:
    """One thread of wrk."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_REPORT)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", script.name, url]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = json.loads(out.splitlines()[-1])
    rate = told["requests"] / told["seconds"]
    return Hits(rate, told["p50_ms"], told["p99_ms"], told["errors"], told["requests"])


def body(bind: str, target: str) -> bytes:
    """The answer to one request; ValueError if it is none."""
    connection = http.client.HTTPConnection(bind, timeout=60)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(f"no answer: {error!r}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"{response.status} {content[:120].decode('latin-1')}")
    return content
