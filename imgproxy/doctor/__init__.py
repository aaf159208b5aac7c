"""Whether a server with these settings would be well on this machine, finding by finding. For ``imgproxy doctor``."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from imgproxy import __version__
from imgproxy.doctor import machine, others, written
from imgproxy.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from imgproxy.settings import Settings

__all__ = ["Finding", "examine"]


async def examine(settings: Settings) -> AsyncGenerator[Finding]:
    """The findings, as they are made. Starts a render process, and asks Redis and origins what a server would."""
    yield Finding("version", f"imgproxy-server {__version__}, Python {platform.python_version()}, {platform.machine()}")
    for finding in (*written.findings(settings), *machine.findings(settings)):
        yield finding
    async for finding in others.findings(settings):
        yield finding
