"""What a contestant's processes have used: CPU and memory, all of them together."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LOOK_EVERY_S = 0.04


def family(pid: int) -> list[int]:
    """The process and all that descend from it; none if it is gone."""
    found = [pid]
    for each in found:
        try:
            threads = list(Path(f"/proc/{each}/task").iterdir())
            found += [int(child) for thread in threads for child in (thread / "children").read_text().split()]
        except OSError:
            continue
    return found


def cpu_seconds(pid: int) -> float:
    """Of the whole family, with those of its members that have ended."""
    return sum(_ticks(each) for each in family(pid)) / _TICKS


def own_cpu_seconds(pid: int) -> float:
    """Of this process only."""
    return _ticks(pid, slice(11, 13)) / _TICKS


def resident(pid: int) -> int:
    """Bytes, summed over the family: shared pages count for each that maps them."""
    return sum(_resident(each) for each in family(pid))


def _ticks(pid: int, which: slice = slice(11, 15)) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[which]))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def descriptors(pid: int) -> int:
    """Bytes in memory behind descriptors (memfds) that the process holds: resident nowhere until they are mapped."""
    found: dict[int, int] = {}
    try:
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if str(each.readlink()).startswith("/memfd:"):
                    status = each.stat()
                    found[status.st_ino] = status.st_blocks * 512
    except OSError:
        pass
    return sum(found.values())


class Usage:
    """What a family used between entering and leaving: CPU seconds, and the peak of its resident sum in bytes."""

    def __init__(self, pid: int, *, descriptors: bool = False) -> None:
        self.cpu = 0.0
        self.peak = 0
        self.descriptors_peak = 0
        self._pid = pid
        self._looks_at_descriptors = descriptors
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look)

    def __enter__(self) -> Usage:
        self.cpu = -cpu_seconds(self._pid)
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._watch.join()
        self.cpu += cpu_seconds(self._pid)

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, resident(self._pid))
            if self._looks_at_descriptors:
                self.descriptors_peak = max(self.descriptors_peak, descriptors(self._pid))
            if self._done.wait(_LOOK_EVERY_S):
                return
