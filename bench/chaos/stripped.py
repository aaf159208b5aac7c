"""A node without some of its defences: ``python -m bench.chaos.stripped NAME ...``.

The server's own code, with one function replaced for each name. What a twin shows is what that function is good for.
``misbehaving`` and ``stalling`` take nothing out: they are faults from inside.
"""

# ruff: noqa: SLF001, ANN401 - to take something out is to reach inside

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from bench.chaos import worker
from imgproxy import cli, flight, logs, reloading
from imgproxy import settings as settings_module
from imgproxy.caches import leases, poison
from imgproxy.errors import Overloaded
from imgproxy.origins import health, retries, shares
from imgproxy.overload import admission, lag, pressure
from imgproxy.presets import Presets
from imgproxy.render import pool, process
from imgproxy.web import images, server

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.logs import LogSettings

STALL_SECONDS = 6.0
"""Longer than a load balancer waits for two health checks."""
_FOREVER = 1_000_000


def _misbehaving() -> None:
    """Render processes do what marked pictures ask for."""
    _defaults(pool.Pool.__init__)["command"] = worker.COMMAND


def _stalling() -> None:
    """On SIGUSR2 the event loop stands still."""
    signal.signal(signal.SIGUSR2, lambda *_: time.sleep(STALL_SECONDS))


def _refusing() -> None:
    """Whatever has to be made is refused."""

    def refuse(*_: object) -> None:
        raise Overloaded("for the experiment", retry_after=1)

    _exchange(admission.Admission, "check", refuse)


def _deadline() -> None:
    """No render process is killed at the deadline."""
    _exchange(process.Process, "_time_out", lambda _: None)


def _poison() -> None:
    """Nobody counts which sources end render processes."""

    async def blame(*_: object) -> int:
        return 0

    _exchange(poison.Poison, "blame", blame)


def _admission() -> None:
    """Everybody is let in at once."""
    original = admission.Admission.__init__

    def unbounded(self: admission.Admission, places: int, queue_size: int, *rest: Any, **named: Any) -> None:  # noqa: ARG001
        original(self, _FOREVER, 0, *rest, **named)

    _exchange(admission.Admission, "__init__", unbounded)


def _flight() -> None:
    """Everybody makes what he asks for."""

    async def alone(_self: object, _key: object, make: Callable[[], Any], _deadline: object) -> tuple[Any, bool]:
        return await make(), False

    _exchange(flight.Flights, "join", alone)


def _lease() -> None:
    """A lease outlives its holder by a minute."""
    _exchange(leases, "_MS", 60_000)


def _shares() -> None:
    """One origin may have all places."""
    original = shares.Shares.__init__

    def unbounded(self: shares.Shares, *_: object) -> None:
        original(self, _FOREVER, 100)

    _exchange(shares.Shares, "__init__", unbounded)


def _retries() -> None:
    """Whatever fails is tried again, and no origin is left alone."""
    _exchange(retries.Retries, "spend", lambda _self, _remaining: True)
    _exchange(health.Trial, "may_be_repeated", property(lambda _: True))
    _breaker()


def _breaker() -> None:
    """No origin is left alone."""
    _exchange(health.Health, "admit", lambda self, origin: health.Trial(self, origin, probe=False))
    _exchange(health.Health, "failed", lambda *_, **__: None)


def _leaving() -> None:
    """Nobody notices that a client has left."""

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    _exchange(images, "_until_gone", never)


def _crowd() -> None:
    """Any number of connections."""
    _exchange(server, "most_connections", lambda: _FOREVER)


def _finishing() -> None:
    """A stop waits for nobody."""

    async def at_once(self: server._Ending) -> None:
        await self._asked.wait()
        self._server.drop_everything()

    _exchange(server._Ending, "sequence", at_once)


def _lag() -> None:
    """Nobody watches the event loop."""

    async def watch(_: object) -> None:
        await asyncio.Event().wait()

    _exchange(lag.Lag, "watch", watch)


def _pressure() -> None:
    """Nobody watches the memory."""
    _exchange(pressure.Groups, "used", lambda _: None)


def _memfd() -> None:
    """Sources land in files."""

    def spool(*_: object) -> int:
        # Named, because the module looks for a place that can be written to.
        fd, path = tempfile.mkstemp(dir=os.environ["TMPDIR"])
        os.unlink(path)  # noqa: PTH108 - its name is of no interest
        return fd

    _exchange(os, "memfd_create", spool)


def _monotonic() -> None:
    """Deadlines are moments of the time of day."""
    _exchange(time, "monotonic", time.time)


def _reload() -> None:
    """Settings are what they were at the start."""
    _exchange(reloading.Reloading, "reload", lambda _: True)


def _checking() -> None:
    """Presets with mistakes in them are taken for none at all."""
    original = settings_module._presets

    def unchecked(rooms: Any, mistakes: list[str]) -> Any:
        found = original(rooms, mistakes)
        mistakes.clear()
        return found or Presets.parse([], ":")

    _exchange(settings_module, "_presets", unchecked)


def _log() -> None:
    """Whoever writes to the log waits until that is written."""

    def configure(settings: LogSettings) -> None:
        handler = logging.StreamHandler()
        handler.setFormatter(logs._formatter(settings.log_format, colours=False))
        logging.getLogger().handlers[:] = [handler]
        logging.getLogger().setLevel(logging.INFO)

    _exchange(logs, "configure", configure)


def _oom_order() -> None:
    """The kernel is not told whom to kill first: the server is as good a choice as any."""
    with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("1000")


STRIPS: dict[str, Callable[[], None]] = {
    "misbehaving": _misbehaving,
    "stalling": _stalling,
    "refusing": _refusing,
    "deadline": _deadline,
    "poison": _poison,
    "admission": _admission,
    "flight": _flight,
    "lease": _lease,
    "shares": _shares,
    "retries": _retries,
    "breaker": _breaker,
    "leaving": _leaving,
    "crowd": _crowd,
    "finishing": _finishing,
    "lag": _lag,
    "pressure": _pressure,
    "memfd": _memfd,
    "monotonic": _monotonic,
    "reload": _reload,
    "checking": _checking,
    "log": _log,
    "oom order": _oom_order,
}


def command(*names: str) -> list[str]:
    """The command of a node that is without these."""
    return [sys.executable, "-m", "bench.chaos.stripped", *names] if names else [sys.executable, "-m", "imgproxy"]


def _exchange(place: object, name: str, new: object) -> None:
    setattr(place, name, new)


def _defaults(function: Any) -> dict[str, Any]:
    return function.__kwdefaults__


if __name__ == "__main__":
    for name in sys.argv[1:]:
        STRIPS[name]()
    sys.argv[1:] = []
    cli.main()
