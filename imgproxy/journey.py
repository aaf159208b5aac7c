"""How one request went so far."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from imgproxy.model import Found, Plan


@dataclass(slots=True)
class Journey:
    """How one request went so far: filled in on the way, read by the log line and the metrics.

    The one mutable object that walks through the rooms with a request.
    """

    request_id: str
    client: str = ""
    """Whose request it is: an address, for rates; empty where nobody asked."""
    key: int | None = None
    """Which of the signing keys signed it, or made its token."""
    plan: Plan | None = None
    found: Found | None = None
    source_bytes: int = 0
    stages: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds by stage: "cache", "queue", "downloading", "processing", and inside that "load" and "encode"."""

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Add the time spent inside to the stage ``name``."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.monotonic() - start
