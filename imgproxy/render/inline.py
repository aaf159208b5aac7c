"""The renderer without processes: for tests and the command line. Same protocol, same libvips set-up, no kill."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from imgproxy.errors import RenderTimeout
from imgproxy.render.warmup import set_up_libvips
from imgproxy.render.worker import perform

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.model import Deadline, Job, Report


class Inline:
    """A Renderer that renders in a thread of this process. ``run`` is the pipeline's unless a test says otherwise."""

    def __init__(self, run: Callable[[Job], Report] | None = None) -> None:
        if run is None:
            from imgproxy.render import pipeline  # noqa: PLC0415 - not needed by those who bring their own

            run = pipeline.run
        self._run = run
        set_up_libvips()

    async def render(self, job: Job, deadline: Deadline) -> Report:
        """The report on a job; see Renderer. Past the deadline the thread goes on: only a process can be killed."""
        try:
            async with asyncio.timeout(deadline.remaining):
                return await asyncio.to_thread(perform, self._run, job)
        except TimeoutError:
            raise RenderTimeout("the render did not end before its deadline") from None
