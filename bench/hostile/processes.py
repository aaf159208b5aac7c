"""What a server and its render processes hold: memory, descriptors, threads, and children that nobody has buried."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.serving import Server

_LOOK_EVERY_S = 0.05
"""A render that is killed for its memory lives for one or two of these."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What one process holds now; memory in bytes. All zero if it is gone."""

    resident: int = 0
    peak: int = 0
    """The most that was ever resident: code, mapped sources and all."""
    descriptors: int = 0
    threads: int = 0
    zombie: bool = False


def holdings(pid: int) -> Holdings:
    """What a process holds now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        zombie = "\nState:\tZ" in status
        # A zombie has no descriptors to list.
        descriptors = 0 if zombie else len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return Holdings()
    found = {name: int(value) for name, value in re.findall(r"^(VmRSS|VmHWM|Threads):\s+(\d+)", status, re.MULTILINE)}
    return Holdings(
        found.get("VmRSS", 0) << 10, found.get("VmHWM", 0) << 10, descriptors, found.get("Threads", 0), zombie
    )


class Watch:
    """The peaks of a server's render processes while it is kept, those that were replaced included."""

    def __init__(self, server: Server) -> None:
        self.peaks: defaultdict[int, int] = defaultdict(int)
        """Bytes, by process."""
        self._server = server

    @property
    def peak(self) -> int:
        """Bytes: of the process that held most."""
        return max(self.peaks.values(), default=0)

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Look at the processes while inside."""
        looking = asyncio.ensure_future(self._keep())
        try:
            yield
        finally:
            looking.cancel()
            self._look()

    async def _keep(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_LOOK_EVERY_S)

    def _look(self) -> None:
        for pid in self._server.workers():
            self.peaks[pid] = max(self.peaks[pid], holdings(pid).peak)
