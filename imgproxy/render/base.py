"""What the service needs of a renderer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from imgproxy.model import Deadline, Job, Report


class Renderer(Protocol):
    """Turns a job into a report, or raises an ``ImageError``.

    Raises ``RenderTimeout`` at the deadline, ``WorkerLost`` if the process died, and what the render itself
    found wrong with the source or the request. The job's descriptors stay the caller's.
    """

    async def render(self, job: Job, deadline: Deadline) -> Report: ...
