"""How near this node is to the memory limit of its cgroup, and what is done about it.

Beyond the limit the kernel kills, and not whom we would choose. So caches give memory back in time, and where that is
not enough, no new work is taken on until there is room.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_log = logging.getLogger("imgproxy.pressure")

NEAR_S, FAR_S = 0.25, 1.0
"""Seconds between two looks, near the limit and far from it. A look takes 0.1 ms."""
AGAIN_S = 5.0
"""What is freed shows after a while; until then nothing more is asked for."""


class Level(IntEnum):
    """How serious it is."""

    CALM = 0
    TIGHT = 1
    """Caches give memory back."""
    CRITICAL = 2
    """New work is refused."""


RISE = {Level.TIGHT: 0.85, Level.CRITICAL: 0.95}
FALL = {Level.TIGHT: 0.80, Level.CRITICAL: 0.90}
"""A level is left where there is clearly less than what led to it, or it would be entered again at once."""


def next_level(level: Level, fraction: float) -> Level:
    """The level that follows, when so much of the limit is used."""
    borders = {each: (FALL if each <= level else RISE)[each] for each in (Level.TIGHT, Level.CRITICAL)}
    return max((each for each, border in borders.items() if fraction >= border), default=Level.CALM)


class Pressure:
    """The level of memory, and those who can give some back. ``usage``: the used fraction of the limit, None for none.

    ``shrink`` are called when a level is entered from below, and every AGAIN_S until it is calm again.
    """

    def __init__(
        self,
        usage: Callable[[], float | None],
        shrink: Sequence[Callable[[], object]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._usage = usage
        self._shrink = shrink
        self._clock = clock
        self._shrunk_at = float("-inf")
        self.level = Level.CALM
        self.fraction = 0.0
        """Of the limit that is used, as it was last seen."""
        self.shrinks = 0

    @property
    def shedding(self) -> bool:
        """Whether no new work is to be taken on."""
        return self.level is Level.CRITICAL

    def look(self) -> None:
        """See how things are, and do what has to be done."""
        self.fraction = self._usage() or 0.0
        before, self.level = self.level, next_level(self.level, self.fraction)
        if self.level is not before:
            fields = {"level": self.level.name.lower(), "used": round(self.fraction, 3)}
            _log.log(logging.WARNING if self.level > before else logging.INFO, "memory", extra={"fields": fields})
        now = self._clock()
        if self.level > before or (self.level and now - self._shrunk_at >= AGAIN_S):
            self._shrunk_at = now
            self.shrinks += 1
            for each in self._shrink:
                each()

    async def watch(self) -> None:
        """Look from time to time, until cancelled; returns at once where there is no limit."""
        if self._usage() is None:
            return
        while True:
            self.look()
            near = self.fraction >= FALL[Level.TIGHT]
            await asyncio.sleep(NEAR_S if near else FAR_S)


@dataclass(frozen=True, slots=True)
class Names:
    """The files of a memory controller."""

    limit: str
    used: str
    inactive: str
    """The line of ``memory.stat`` with the page cache that the kernel drops before it kills."""


V1 = Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = Names("memory.max", "memory.current", "inactive_file")

_UNLIMITED = 1 << 60
"""What cgroup v1 says for no limit is 2^63 less a page."""


@dataclass(frozen=True, slots=True)
class Group:
    """A cgroup: its folder and how its files are called."""

    folder: Path
    names: Names

    def limit(self) -> int | None:
        """Bytes, None if it has no limit or cannot be read."""
        try:
            limit = (self.folder / self.names.limit).read_text().strip()
            return None if limit == "max" or int(limit) >= _UNLIMITED else int(limit)
        except (OSError, ValueError):
            return None

    def used(self) -> float | None:
        """The fraction of its limit that is used, None if it has none or cannot be read."""
        if (limit := self.limit()) is None:
            return None
        try:
            used = int((self.folder / self.names.used).read_text()) - self._inactive()
        except (OSError, ValueError):
            return None
        return max(0, used) / max(1, limit)

    def _inactive(self) -> int:
        for line in (self.folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == self.names.inactive:
                return int(value)
        return 0


@dataclass(frozen=True, slots=True)
class Groups:
    """The cgroups that this process is in, from the inside out: any of them can be the one that is full."""

    groups: tuple[Group, ...] = ()

    @classmethod
    def own(cls, root: Path = Path("/sys/fs/cgroup"), told: Path = Path("/proc/self/cgroup")) -> Groups:
        """Those of this process, as ``told`` names them (cgroups(7)); none where there are no cgroups."""
        try:
            lines = told.read_text().splitlines()
        except OSError:
            return cls()
        return cls(tuple(group for line in lines for group in _named(line, root)))

    def limit(self) -> int | None:
        """The smallest limit in bytes, None without one."""
        return min((limit for group in self.groups if (limit := group.limit()) is not None), default=None)

    def used(self) -> float | None:
        """The largest used fraction, None without a limit."""
        return max((used for group in self.groups if (used := group.used()) is not None), default=None)


def _named(line: str, root: Path) -> Iterator[Group]:
    """The groups of a line ``number:controllers:/path``, as far as their folders exist.

    In a container the path can be the host's, while the mount begins at the container's own group.
    """
    number, controllers, path = [*line.split(":", 2), "", ""][:3]
    if number == "0" and not controllers:
        # With v1 beside it, the controllers that v2 has are mounted apart.
        top, names = root / "unified" if (root / "unified").is_dir() else root, V2
    elif "memory" in controllers.split(","):
        top, names = root / "memory", V1
    else:
        return
    within = Path(path.lstrip("/"))
    for part in (within, *within.parents):
        if ".." not in part.parts and (top / part / names.limit).is_file():
            yield Group(top / part, names)
