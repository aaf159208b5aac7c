"""A warm-up: all items, so many at a time, and the sum of what became of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgproxy.warming.asking import Asker, Outcome
    from imgproxy.warming.journal import Journal
    from imgproxy.warming.places import Item

_EXAMPLES = 3
"""URLs that are told of each kind of failure."""
_SILENCE = 8
"""Items without an answer, one after another, after which the server is taken for gone."""


@dataclass(slots=True)
class Tally:
    """How it went so far."""

    total: int = 0
    finished_before: int = 0
    """In an earlier run; part of the total."""
    done: int = 0
    hits: int = 0
    size: int = 0
    """Bytes of answers."""
    failures: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])
    """By status (0: there was no answer) and reason."""
    silent: int = 0
    """Items without an answer since there was one."""
    examples: dict[tuple[int, str], list[str]] = field(default_factory=dict[tuple[int, str], list[str]])

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def gave_up(self) -> bool:
        """Whether the server does not answer any more, so that nothing else is asked of it."""
        return self.silent >= _SILENCE

    @property
    def gone_through(self) -> int:
        """All that need not be asked for any more in this run."""
        return self.finished_before + self.done + self.failed

    def fail(self, url: str, status: int, reason: str) -> None:
        """Count a failure. What others wrote is made fit for a terminal."""
        url, reason = _visible(url), _visible(reason)
        self.failures[status, reason] += 1
        shown = self.examples.setdefault((status, reason), [])
        if len(shown) < _EXAMPLES and url not in shown:
            shown.append(url)

    def add(self, outcome: Outcome) -> None:
        """Count what became of an item."""
        self.silent = 0 if outcome.status else self.silent + 1
        if not outcome.good:
            self.fail(outcome.item.target, outcome.status, outcome.reason)
            return
        self.done += 1
        self.hits += outcome.hit
        self.size += outcome.size

    def kinds(self) -> Iterator[tuple[int, int, str, list[str]]]:
        """The failures by kind, most frequent first: how many, the status, the reason, and some of their URLs."""
        for (status, reason), count in self.failures.most_common():
            yield count, status, reason, self.examples[status, reason]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "total": self.total,
            "finished_before": self.finished_before,
            "done": self.done,
            "hits": self.hits,
            "bytes": self.size,
            "failed": self.failed,
            "not_asked": self.total - self.gone_through,
            "failures": [
                {"count": count, "status": status, "reason": reason, "examples": urls}
                for count, status, reason, urls in self.kinds()
            ],
        }


def _visible(text: str) -> str:
    return "".join(each if each.isprintable() else "�" for each in text)


async def warm(
    items: Iterable[Item],
    asker: Asker,
    tally: Tally,
    *,
    concurrency: int,
    journal: Journal | None = None,
    on_change: Callable[[], object] = lambda: None,
) -> None:
    """Ask for all items. What was finished is in the journal at every moment; who is cancelled loses nothing.

    Raises ``OSError`` if the journal cannot be written.
    """
    waiting = iter([item for item in items if journal is None or item not in journal])
    troubles: list[OSError] = []

    async def work() -> None:
        for item in waiting:
            outcome = await asker.ask(item)
            tally.add(outcome)
            try:
                if outcome.good and journal is not None:
                    journal.note(item)
            except OSError as error:
                troubles.append(error)
            on_change()
            if troubles or tally.gave_up:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    if troubles:
        raise troubles[0]
