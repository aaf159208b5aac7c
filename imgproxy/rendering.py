"""A picture rendered without a server: for ``imgproxy render``."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imgproxy.errors import BadOption, InvalidUrl
from imgproxy.formats import BY_NAME
from imgproxy.model import Client, Deadline, ImageRequest, Job, Source, SourceRef, StillGood
from imgproxy.negotiation import Negotiator
from imgproxy.options import Raw, ResultFormat, Watermark, read_segment
from imgproxy.options.base import Setting
from imgproxy.origins.configured import watermark
from imgproxy.origins.fetch import Origins
from imgproxy.planning import Planner
from imgproxy.render.inline import Inline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgproxy.model import Rendition
    from imgproxy.settings import Settings


async def render(source: str, out: Path, options: Iterable[str], settings: Settings) -> Rendition:
    """A file or URL, rendered for a file ``out``, whose extension names the format unless an option does.

    Raises ``ImageError``, ``OSError``.
    """
    separator = settings.dialect.arguments_separator
    origins = Origins(settings.origin)
    mark = watermark(origins, settings.configured)
    planner = Planner(settings.plan, settings.presets, Negotiator(settings.negotiation), watermark=mark.identity)
    plan = planner.plan(ImageRequest(SourceRef(source), tuple(_settings(out, options, separator))), Client())
    if plan.options[Raw].enabled:
        raise BadOption("raw: there is nothing to render")
    # The caller is the operator: his limits on time are his patience.
    deadline = Deadline.after(3600)
    try:
        picture = await _source(source, plan.limits.source_bytes, origins, deadline)
        stamp = await mark.source(deadline) if plan.options[Watermark].opacity else None
        report = await Inline().render(Job(plan, picture, stamp), deadline)
    finally:
        await origins.aclose()
    return report.rendition


def _settings(out: Path, options: Iterable[str], separator: str) -> Iterable[Setting]:
    extension = out.suffix.removeprefix(".").lower()
    if extension in BY_NAME:
        yield Setting(ResultFormat, (("format", BY_NAME[extension]),))
    for option in options:
        name, *arguments = option.encode().decode("latin-1").split(separator)
        if not arguments:
            raise BadOption(f"option {option!r} has no arguments")
        yield from read_segment(name, arguments)


async def _source(source: str, max_bytes: int, origins: Origins, deadline: Deadline) -> Source:
    if "://" not in source:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise OSError(f"{source} is not a file")
        return Source(fd, status.st_size, url=source)
    fetched = await origins.fetch(SourceRef(source), max_bytes=max_bytes, deadline=deadline)
    if isinstance(fetched, StillGood):
        raise InvalidUrl("the origin answered 304 to a request without conditions")
    return replace(fetched, url=source)
