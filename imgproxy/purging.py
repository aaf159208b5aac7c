"""Purges: what an operator asks for, and how it reaches every tier of every node, and the edge."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from imgproxy.caches.base import TierDown
from imgproxy.caches.purges import as_tag, source_tag
from imgproxy.edge.announce import expand
from imgproxy.model import Purge
from imgproxy.presets import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imgproxy.caches.bulletin import Bulletin
    from imgproxy.caches.memory import Memory
    from imgproxy.caches.purges import Purges
    from imgproxy.caches.store import Store
    from imgproxy.edge.announce import Edges
    from imgproxy.presets import Presets

_log = logging.getLogger("imgproxy.purge")

SELECTORS = ("source", "prefix", "tag", "preset", "all")
_LONGEST = 8192
# No control characters, and no halves of characters: neither Redis nor an edge could be told of them.
_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")


class BadPurge(ValueError):
    """A purge that says too little, too much or nothing of use; the message says what was expected."""


class Droppable(Protocol):
    """A shared tier, as far as purges need it: how many entries went, as far as they could be found."""

    @property
    def name(self) -> str: ...
    async def drop(self, tag: str) -> int: ...
    async def drop_prefix(self, prefix: str) -> int: ...
    async def drop_all(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge did."""

    purge: Purge
    entries: dict[str, int | None]
    """Entries that went, by tier: in this node's memory, and in the tiers that all nodes share. None: not reached.

    What was not found at once, or not reached, is hidden all the same by the purge's generation.
    """
    edges: int = 0
    """Edges that took it; the others get it as soon as they answer."""
    shared: bool | None = None
    """Whether the other nodes were told; False: they are, as soon as Redis answers again. None: there is no Redis."""


def selected(asked: Mapping[str, object], rewrite: Callable[[str], str] = str) -> Purge:
    """The purge that ``{"source": …}``, ``{"prefix": …}``, ``{"tag": …}``, ``{"preset": …}`` or ``{"all": true}`` asks.

    ``rewrite``: what planning does to source URLs. Raises ``BadPurge``.
    """
    unknown = sorted(asked.keys() - {*SELECTORS, "soft"})
    if unknown:
        raise BadPurge(f"unknown: {', '.join(unknown)}; expected one of {', '.join(SELECTORS)}, and soft")
    chosen = [name for name in SELECTORS if name in asked]
    if len(chosen) != 1:
        raise BadPurge(f"expected exactly one of {', '.join(SELECTORS)}")
    soft = asked.get("soft", False)
    if not isinstance(soft, bool):
        raise BadPurge("soft: expected true or false")
    name, value = chosen[0], asked[chosen[0]]
    if name == "all":
        if value is not True:
            raise BadPurge("all: expected true")
        return Purge("all", "", soft)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not _TEXT.fullmatch(value):
        raise BadPurge(f"{name}: expected a text of 1 to {_LONGEST} characters")
    if name == "prefix":
        return Purge("prefix", rewrite(value), soft)
    tags = {
        "source": lambda: source_tag(rewrite(value)),
        "preset": lambda: f"preset-{as_tag(value)}",
        "tag": lambda: value,
    }
    return Purge("tag", tags[name](), soft)


def spellings(asked: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """A purge as it was asked for, and with its URL's escapes undone: base64 sources keep them, plain ones do not."""
    yield asked
    for name in ("source", "prefix"):
        if isinstance(value := asked.get(name), str) and (plain := unquote(value)) != value:
            yield {**asked, name: plain}


def changed(old: Presets, new: Presets) -> tuple[str, ...]:
    """The presets that do not say the same any more, gone and new ones included; the default one stands for all."""
    names = sorted({*old.names, *new.names})
    found = tuple(name for name in names if _said(old, name) != _said(new, name))
    return (DEFAULT,) if DEFAULT in found else found


def _said(presets: Presets, name: str) -> str:
    return repr(presets[name]) if name in presets else ""


@dataclass(slots=True)
class Purging:
    """Carries purges out. ``bulletin`` is None without Redis, ``edges`` without an edge."""

    purges: Purges
    memory: Memory
    presets: Presets
    shared: Sequence[Droppable] = ()
    bulletin: Bulletin | None = None
    store: Store | None = None
    edges: Edges | None = None
    _recalled: asyncio.Queue[str] = field(default_factory=asyncio.Queue[str])

    def adopt(self, presets: Presets) -> None:
        """Go on with these presets. What changed is recalled from the edges, whose keys are URLs: those say the same.

        Everybody else's keys are plans, and a changed preset makes other ones.
        """
        if self.edges is not None:
            for name in changed(self.presets, presets):
                self._recalled.put_nowait(name)
        self.presets = presets

    async def recall(self) -> None:
        """Purge what is to be recalled, until cancelled.

        Softly: what nodes have kept under the new definition already is asked about, not rendered again.
        """
        while True:
            name = await self._recalled.get()
            try:
                # Results from a time without a default preset do not carry its name.
                tag = Purge("tag", f"preset-{as_tag(name)}", soft=True)
                await self.purge(Purge("all", soft=True) if name == DEFAULT else tag)
            except Exception as cause:  # noqa: BLE001  the next one is to be purged all the same
                _log.error("a changed preset could not be purged", extra={"fields": {"preset": name}}, exc_info=cause)

    def hear(self, purge: Purge) -> int:
        """Take a numbered purge, of whichever node, to heart; how many entries of memory it concerns."""
        return self.memory.drop_matching(purge)

    def foresee(self, asked: Purge) -> dict[str, int | None]:
        """How many entries a purge would concern, by tier. None: it is known only when they are looked for."""
        concerned = self.memory.drop_matching(replace(asked, soft=True, generation=0))
        return {self.memory.name: concerned, **{tier.name: None for tier in self.shared}}

    async def purge(self, asked: Purge) -> Purged:
        """Carry a purge out: from when this returns, no node that can be reached answers with what it concerns."""
        # The number first: it hides what is concerned, wherever it is and whatever fails below.
        shared: bool | None = None
        if self.bulletin is not None:
            purge = await self.bulletin.publish(asked)
            shared = self.bulletin.synced
        else:
            purge = self.purges.issue(asked)
        entries: dict[str, int | None] = {self.memory.name: self.hear(purge)}
        async with asyncio.TaskGroup() as group:
            told = group.create_task(self._tell_edges(purge))
            if self.store is not None:
                group.create_task(self._write_down(self.store))
            # A soft purge leaves the entries where they are, to be answered with.
            drops = {} if purge.soft else {tier.name: group.create_task(_drop(tier, purge)) for tier in self.shared}
        entries |= {name: drop.result() for name, drop in drops.items()}
        _log.info("purged", extra={"fields": {"kind": purge.kind, "soft": purge.soft, "entries": entries}})
        return Purged(purge, entries, told.result(), shared)

    async def _tell_edges(self, purge: Purge) -> int:
        return await self.edges.announce(expand(purge, self.presets)) if self.edges is not None else 0

    async def _write_down(self, store: Store) -> None:
        try:
            await store.save_purges(self.purges)
        except TierDown:
            _log.warning("the purge could not be written to the result store")


async def _drop(tier: Droppable, purge: Purge) -> int | None:
    try:
        if purge.kind == "tag":
            return await tier.drop(purge.value)
        return await tier.drop_prefix(purge.value) if purge.kind == "prefix" else await tier.drop_all()
    except TierDown:
        return None
