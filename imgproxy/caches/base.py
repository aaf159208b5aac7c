"""What a tier is, and what results are kept under."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from imgproxy.circuit import Unavailable

if TYPE_CHECKING:
    from imgproxy.model import Entry, Plan


SKEW_S = 5.0
"""How far the clocks of nodes may be apart, in seconds."""


TierDown = Unavailable
"""A tier that cannot be asked now. To a reader: a miss."""


class Tier(Protocol):
    """A place where results are kept. ``TierDown`` is the only exception that leaves it."""

    @property
    def name(self) -> str:
        """The tier in metrics, logs and Cache-Status: "memory", "redis" or "store"."""
        ...

    async def get(self, key: str) -> Entry | None:
        """The entry exactly as it was put, or None. What is damaged is None."""
        ...

    async def put(self, key: str, entry: Entry, seconds: float) -> None:
        """Keep the entry for ``seconds``, or as long as this tier keeps things. What is too big for it is not kept."""
        ...

    async def remove(self, key: str) -> None:
        """Remove one entry, if it is there."""
        ...

    async def drop(self, tag: str) -> int:
        """Remove the entries that carry ``tag``; how many went. Best effort: what it misses, ``Purges`` still hides."""
        ...

    async def aclose(self) -> None: ...


def key_of(plan: Plan, place: str = "") -> str:
    """The key of a plan's result: the source's own part first, so that stores can list what came of a source.

    ``place``: where a source is that its URL does not name, such as the folder of ``local://``.
    """
    digest = hashlib.sha256(f"{plan.key}\n{place}".encode()).hexdigest() if place else plan.key
    return f"{source_id(plan.source.url)}-{digest}"


def source_id(url: str) -> str:
    """A source in tags and keys: 16 hex digits."""
    # MD5, because nginx's Lua has it and the edge must come to the same text; nothing rests on its strength.
    return hashlib.md5(url.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()[:16]
