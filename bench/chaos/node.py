"""A node in a process of its own, started as a row needs it, and an origin that can be killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bench.chaos import stripped
from bench.faults import counted
from deploy.cluster import free_port
from tests.serving import KEY, SALT, Server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "imgproxy" / "samples"
_PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.01


@contextmanager
def node(
    settings: Mapping[str, str] | None = None,
    *,
    without: Sequence[str] = (),
    before: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    log: IO[bytes] | None = None,
) -> Iterator[Server]:
    """A running node with these settings (``{"ttl": "60"}`` is IMGPROXY_TTL).

    ``without``: what ``stripped`` does to it; ``before``: the program that starts it; ``folder``: where it is started;
    ``log``: where it writes, if not to a file that ``Server.raw_log`` reads.
    """
    given = {
        "bind": f"127.0.0.1:{free_port()}",
        "prometheus_bind": f"127.0.0.1:{free_port()}",
        "key": KEY,
        "salt": SALT,
        "log_format": "json",
        "workers": "1",
        "drain_delay": "0",
        "allow_loopback_source_addresses": "1",
    } | dict(settings or {})
    variables = {f"IMGPROXY_{name.upper()}": value for name, value in given.items() if value}
    variables |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | dict(environment or {})
    with tempfile.TemporaryFile() as file:
        told = log or file
        command = [*before, *stripped.command(*without)]
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=told, stderr=told, start_new_session=True)
        server = Server(process, given["bind"], file, int(given["prometheus_bind"].rpartition(":")[2]))
        try:
            _wait(server)
            yield server
        finally:
            end(process)


def end(process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    """End a process in order, or else at once."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    if process.poll() is None:
        process.kill()
    process.wait()


@asynccontextmanager
async def origin_process() -> AsyncGenerator[OriginProcess]:
    """``site.py`` in a process of its own."""
    origin = OriginProcess(free_port())
    await origin.start()
    try:
        yield origin
    finally:
        await origin.kill()


class OriginProcess:
    """An origin that can be killed and started again."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "bench.chaos.site", str(self._port)]
        self._process = await asyncio.to_thread(subprocess.Popen, command, cwd=ROOT)
        await until(lambda: _listens(self._port))

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


async def until(holds: Callable[[], object], seconds: float = _PATIENCE_S) -> float:
    """The seconds until it held. Raises TimeoutError."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise TimeoutError("it did not come about")
        await asyncio.sleep(_LOOK_EVERY_S)
    return time.monotonic() - began


async def numbers(server: Server) -> dict[str, float]:
    """A scrape of the node's metrics."""
    return counted(await asyncio.to_thread(server.metrics))


async def until_numbers(server: Server, holds: Callable[[dict[str, float]], bool], seconds: float) -> float | None:
    """The seconds until a scrape held; None if none did."""
    began = time.monotonic()
    while not holds(await numbers(server)):
        if time.monotonic() - began > seconds:
            return None
        await asyncio.sleep(_LOOK_EVERY_S)
    return time.monotonic() - began


def summed(scrape: Mapping[str, float], name: str, label: str = "") -> float:
    """The sum of a metric's series, or of those with a label such as ``cause="crashed"``."""
    return sum(value for series, value in scrape.items() if series.partition("{")[0] == name and label in series)


def ready_workers(server: Server) -> int:
    """Render processes that have put on their sandbox, which is the last thing that they do before they are ready."""
    return sum(_is_confined(pid) for pid in server.workers())


async def timed(work: Awaitable[object]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began


def _is_confined(pid: int) -> bool:
    try:
        return "\nSeccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _wait(server: Server) -> None:
    limit = time.monotonic() + _PATIENCE_S
    while True:
        if server.process.poll() is not None or time.monotonic() > limit:
            raise RuntimeError(f"the node did not start:\n{server.raw_log[-4000:]}")
        with suppress(OSError):
            if server.ask("/readyz").status == 200:
                return
        time.sleep(_LOOK_EVERY_S)


def _listens(port: int) -> bool:
    import socket  # noqa: PLC0415

    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
