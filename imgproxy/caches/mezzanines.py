"""Mezzanines: several sizes of a large source are made from one decode (``render/mezzanine.py``).

One is made on the way to a result, when other sizes of the source are wanted at the same time, or one was
before; never for a source's first and only size.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import Counter, OrderedDict
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.geometry import Anchor
from imgproxy.model import MEZZANINE_PIXELS, MEZZANINE_SOURCE_PIXELS, Mezzanine
from imgproxy.options import Crop, EnforceThumbnail, Gravity, PreserveHdr, QualityProfile, StripMetadata, Trim
from imgproxy.options.quality_profile import Profile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from imgproxy.model import Deadline, Plan, Provenance, Raster

_BANDS = 3
_MOST_SEEN = 1_000
_TRIES = 2
"""Makings of a mezzanine of one source that came to nothing: the results were too large for it, or the picture is of
a kind that has none."""

_Key = tuple[str, str, int]


class _Body:
    """A file of raw pixels that lives as long as somebody refers to this."""

    __slots__ = ("fd", "raster")

    def __init__(self) -> None:
        self.raster: Raster | None = None
        self.fd = os.memfd_create("mezzanine", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # As large as it may become, most of it a hole: a render process that was taken over can put no more into it.
        os.ftruncate(self.fd, MEZZANINE_PIXELS * _BANDS)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)

    def __del__(self) -> None:
        os.close(self.fd)

    def seal(self) -> bool:
        """Let nobody write any more: the process that did so may be taken over later. Whether nobody can."""
        with suppress(OSError):
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
            return True
        return False


@dataclass(slots=True)
class Loan:
    """What a render gets, and what it gives back."""

    mezzanine: Mezzanine | None = None
    made: Raster | None = None
    """What it put into a mezzanine that was to be made."""


class Mezzanines:
    """Those of one node, at most ``size`` bytes of them; 0 for none."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[_Key, _Body] = OrderedDict()
        self._making: dict[_Key, asyncio.Future[None]] = {}
        self._wanted: Counter[str] = Counter()
        # Of sources that were rendered lately: for which plan, and how often a mezzanine came to nothing.
        self._seen: OrderedDict[_Key, str] = OrderedDict()
        self._vain: Counter[_Key] = Counter()
        self.bytes = 0
        """Bytes of mezzanines that are kept."""
        self.found: Counter[str] = Counter()
        """How often one was found ("hit"), or had to be made ("miss")."""

    @property
    def entries(self) -> int:
        return len(self._kept)

    @contextmanager
    def wanting(self, url: str) -> Generator[None]:
        """While a result of this source is made: others may share with it."""
        self._wanted[url] += 1
        try:
            yield
        finally:
            self._wanted[url] -= 1
            if not self._wanted[url]:
                del self._wanted[url]

    @asynccontextmanager
    async def loan(self, plan: Plan, told: Provenance, pixels: float, deadline: Deadline) -> AsyncGenerator[Loan]:
        """What of a mezzanine there is for a render of a source of about so many ``pixels``.

        Waits while another render makes it: together they are done sooner.
        """
        # What is known of the source may be a guess. The render process has its header, and the last word.
        worth = self._size and pixels >= MEZZANINE_SOURCE_PIXELS and may_share(plan)
        if not worth or told.version is None:
            yield Loan()
            return
        key = told.url, told.version, told.size
        while (body := self._find(key)) is None and (making := self._making.get(key)) is not None:
            try:
                async with asyncio.timeout(deadline.remaining / 2):
                    await asyncio.shield(making)
            except TimeoutError:
                break
        if body is not None:
            self.found["hit"] += 1
            yield Loan(Mezzanine(body.fd, body.raster))
        elif key not in self._making and self._is_worth(key, plan):
            async with self._made(key) as loan:
                yield loan
        else:
            yield Loan()

    def shrink(self) -> None:
        """Let half of the bytes go: the machine needs the memory."""
        self._tidy(self.bytes // 2)

    def _find(self, key: _Key) -> _Body | None:
        body = self._kept.get(key)
        if body is not None:
            self._kept.move_to_end(key)
        return body

    def _is_worth(self, key: _Key, plan: Plan) -> bool:
        """Whether others want this source now, or did a moment ago."""
        before = self._seen.pop(key, plan.key)
        self._seen[key] = plan.key
        if len(self._seen) > _MOST_SEEN:
            forgotten, _ = self._seen.popitem(last=False)
            del self._vain[forgotten]
        return (before != plan.key or self._wanted[key[0]] > 1) and self._vain[key] < _TRIES

    @asynccontextmanager
    async def _made(self, key: _Key) -> AsyncGenerator[Loan]:
        making = self._making[key] = asyncio.get_running_loop().create_future()
        try:
            body = _Body()
            loan = Loan(Mezzanine(body.fd))
            yield loan
            if loan.made is not None and body.seal():
                body.raster = loan.made
                self._kept[key] = body
                self.bytes += loan.made.bytes
                self.found["miss"] += 1
                self._tidy(self._size)
            else:
                self._vain[key] += 1
        finally:
            del self._making[key]
            making.set_result(None)

    def _tidy(self, size: int) -> None:
        """Let go of those that were used least recently, until what is left fits."""
        while self.bytes > size and self._kept:
            _, body = self._kept.popitem(last=False)
            self.bytes -= body.raster.bytes if body.raster else 0


def may_share(plan: Plan) -> bool:
    """Whether nobody can tell a result of this plan from one that was made of the source itself.

    Not where a pixel of the source decides: borders to trim, places to look for, 16 bits, and what asks for the best.
    """
    options = plan.options
    return (
        plan.shrink_on_load
        and not plan.linear_light
        and options[QualityProfile].profile is not Profile.BEST
        and options[StripMetadata].enabled
        and not options[PreserveHdr].enabled
        and not options[EnforceThumbnail].enabled
        and options[Trim].threshold is None
        and Anchor.SMART not in {options[Crop].anchor, options[Gravity].anchor}
    )
