"""Pictures rendered, or looked at, without a server: for ``imgproxy render``, ``info``, previews and comparisons."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

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
from imgproxy.render.worker import perform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgproxy.model import Rendition
    from imgproxy.presets import Presets
    from imgproxy.render.facts import Facts
    from imgproxy.settings import Settings

BROWSER = {"accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}
"""What today's browsers send."""


_AS_IT_IS = (("placeholder", "blurhash"), ("auto_rotate", "1"), ("enforce_thumbnail", "0"))


async def render(source: str, out: Path, options: Iterable[str], settings: Settings) -> Rendition:
    """A file or URL, rendered for a file ``out``, whose extension names the format unless an option does.

    Raises ``ImageError``, ``OSError``.
    """
    asked = tuple(_settings(out, options, settings.dialect.arguments_separator))
    async with Darkroom(settings) as room:
        return await room.render(source, asked)


class Darkroom:
    """Where one picture after the other is rendered by a server's settings, without a server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._origins = Origins(settings.origin)
        self._mark = watermark(self._origins, settings.configured)
        self._negotiator = Negotiator(settings.negotiation)
        self._renderer = Inline()
        self.browser = self._negotiator.client(BROWSER)
        """The client that a browser is."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._mark.close()
        await self._origins.aclose()

    async def render(
        self,
        source: str,
        asked: tuple[Setting, ...],
        presets: Presets | None = None,
        client: Client | None = None,
    ) -> Rendition:
        """A file or URL, rendered; with the settings' presets by default. Raises ``ImageError``, ``OSError``."""
        known = self._settings.presets if presets is None else presets
        planner = Planner(self._settings.plan, known, self._negotiator, watermark=self._mark.identity)
        plan = planner.plan(ImageRequest(SourceRef(source), asked), client or Client())
        if plan.options[Raw].enabled:
            raise BadOption("raw: there is nothing to render")
        # The caller is the operator: his limits on time are his patience.
        deadline = Deadline.after(3600)
        picture = await self._source(source, plan.limits.source_bytes, deadline)
        stamp: Source | None = None
        try:
            stamp = await self._mark.source(deadline) if plan.options[Watermark].opacity else None
            report = await self._renderer.render(Job(plan, picture, stamp), deadline)
        finally:
            picture.close()
            if stamp is not None:
                stamp.close()
        return report.rendition

    async def describe(self, source: str) -> Facts:
        """What a file or URL is. Raises ``ImageError``, ``OSError``."""
        from imgproxy.render import facts  # noqa: PLC0415 - the pipeline, which only those need who render

        # As it is: without presets, upright, and the picture itself.
        asked = [each for name, text in _AS_IT_IS for each in read_segment(name, [text])]
        plan = Planner(self._settings.plan).plan(ImageRequest(SourceRef(source), tuple(asked)), Client())
        picture = await self._source(source, plan.limits.source_bytes, Deadline.after(3600))
        try:
            return perform(facts.read, Job(plan, picture))
        finally:
            picture.close()

    async def _source(self, source: str, max_bytes: int, deadline: Deadline) -> Source:
        if "://" not in source:
            fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                os.close(fd)
                raise OSError(f"{source} is not a file")
            return Source(fd, status.st_size, url=source)
        fetched = await self._origins.fetch(SourceRef(source), max_bytes=max_bytes, deadline=deadline)
        if isinstance(fetched, StillGood):
            raise InvalidUrl("the origin answered 304 to a request without conditions")
        return replace(fetched, url=source)


async def describe(source: str, settings: Settings) -> Facts:
    """What a file or URL is, within the limits of the settings. Raises ``ImageError``, ``OSError``."""
    async with Darkroom(settings) as room:
        return await room.describe(source)


def _settings(out: Path, options: Iterable[str], separator: str) -> Iterable[Setting]:
    extension = out.suffix.removeprefix(".").lower()
    if extension in BY_NAME:
        yield Setting(ResultFormat, (("format", BY_NAME[extension]),))
    for option in options:
        name, *arguments = option.encode().decode("latin-1").split(separator)
        if not arguments:
            raise BadOption(f"option {option!r} has no arguments")
        yield from read_segment(name, arguments)
