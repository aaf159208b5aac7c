"""How a render process ended: the record that goes to the log, and nowhere else."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.formats import sniff

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIGNALS = {number.value: number.name for number in signal.Signals}


@dataclass(frozen=True, slots=True)
class Crash:
    """The end of a render process, whatever the reason. Its words may hold paths and stacks: not for clients."""

    pid: int
    exit_code: int | None
    """As subprocess has it: negative for a signal; None where the process is not reaped yet."""
    jobs: int
    """Renders that it had begun."""
    source_head: bytes
    """The first bytes of the source of the last one."""
    source_bytes: int
    last_words: str

    @property
    def how(self) -> str:
        """``SIGSEGV`` or ``exit status 3``."""
        if self.exit_code is None:
            return "no end yet"
        return _SIGNALS.get(-self.exit_code, f"exit status {self.exit_code}")

    @property
    def fields(self) -> Mapping[str, object]:
        """What the log says. The source is described and not named: its URL may be a secret."""
        format_ = sniff(self.source_head)
        source = {"source_format": format_.name if format_ else "unknown", "source_bytes": self.source_bytes}
        return {
            "pid": self.pid,
            "ended_with": self.how,
            "jobs": self.jobs,
            **(source if self.jobs else {}),
            "last_words": self.last_words,
        }

    def __str__(self) -> str:
        words = f":\n{self.last_words}" if self.last_words else ""
        return f"render process {self.pid} ended with {self.how}{words}"
