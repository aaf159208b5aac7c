"""What was purged, and which entries that hides. Pure: no clock, no input, no output.

Nothing has to be found and deleted to be gone. Each purge gets a number, its *generation*; each entry carries the
newest generation that its node knew when it asked the origin. An entry older than the newest purge that concerns it
is not answered with, wherever it comes from: a slow render, a node that was away, an object store.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from imgproxy.caches.base import source_id
from imgproxy.model import Purge, PurgeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgproxy.model import Plan

STEP = 1_000
"""Generations that the authority (Redis) gives are multiples of this; those between them are a node's own."""

_MOST: dict[PurgeKind, int] = {"tag": 50_000, "prefix": 500, "all": 1}


class Marks(NamedTuple):
    """The newest generations that concern a result: an older one is gone (``hard``) or at best stale (``soft``)."""

    hard: int = 0
    soft: int = 0


class Purges:
    """The purges that a node knows of."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """``clock`` (Unix seconds): for a node on its own, which knows all purges up to now whatever the time is."""
        self._clock = clock
        self.last = 0
        """The newest generation that was given or reached."""
        self._rules: dict[tuple[PurgeKind, bool], dict[str, int]] = {
            (kind, soft): {} for kind in _MOST for soft in (False, True)
        }

    @property
    def newest(self) -> int:
        """What is fetched now carries it: the generation up to which all purges are known here."""
        return max(self.last, int(self._clock() * 1_000_000)) if self._clock is not None else self.last

    def __iter__(self) -> Iterator[Purge]:
        for (kind, soft), rules in self._rules.items():
            for value, generation in rules.items():
                yield Purge(kind, value, soft, generation)

    def issue(self, purge: Purge) -> Purge:
        """The purge under a number of this node's own, newer than all that it knows; learnt at once."""
        numbered = replace(purge, generation=self.newest + 1)
        self.learn(numbered)
        return numbered

    def reach(self, generation: int) -> None:
        """Note that all purges up to ``generation`` are known here."""
        self.last = max(self.last, generation)

    def learn(self, purge: Purge) -> bool:
        """Take note of a numbered purge; whether that was news. In any order, and any number of times."""
        rules = self._rules[purge.kind, purge.soft]
        self.last = max(self.last, purge.generation)
        if rules.get(purge.value, 0) >= purge.generation:
            return False
        rules[purge.value] = purge.generation
        if len(rules) > _MOST[purge.kind]:
            self._bound(purge.kind, soft=purge.soft)
        return True

    def _bound(self, kind: PurgeKind, *, soft: bool) -> None:
        """Let the older half of the rules become one purge of everything that is as old as they are."""
        rules = self._rules[kind, soft]
        oldest = sorted(rules, key=rules.__getitem__)[: len(rules) // 2]
        generation = max(rules.pop(value) for value in oldest)
        self.learn(Purge("all", "", soft, generation))

    def marks(self, url: str, tags: Iterable[str]) -> Marks:
        """What concerns a result of the source ``url`` that carries ``tags``."""
        return Marks(self._mark(url, tags, soft=False), self._mark(url, tags, soft=True))

    def _mark(self, url: str, tags: Iterable[str], *, soft: bool) -> int:
        by_tag = self._rules["tag", soft]
        newest = self._rules["all", soft].get("", 0)
        if by_tag:
            newest = max(newest, *(by_tag.get(tag, 0) for tag in tags), 0)
        for prefix, generation in self._rules["prefix", soft].items():
            if generation > newest and url.startswith(prefix):
                newest = generation
        return newest


def tags_of(plan: Plan) -> tuple[str, ...]:
    """What a plan's result can be purged by: its source, the source's host, its presets and its URL's own tags."""
    url, delivery = plan.source.url, plan.delivery
    presets = (f"preset-{as_tag(name)}" for name in delivery.presets)
    return tuple(sorted({source_tag(url), *host_tags(url), *presets, *delivery.tags}))


def source_tag(url: str) -> str:
    return f"source-{source_id(url)}"


def host_tags(url: str) -> tuple[str, ...]:
    """``host-example.com``; nothing for a source without a host."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return ()
    return (f"host-{as_tag(host)}",) if host else ()


def as_tag(text: str) -> str:
    """A text as one word that every CDN takes: no spaces, commas or quotes."""
    return quote(text, safe="!#$&'()*+./:;=?@[]^_`{|}~-")
