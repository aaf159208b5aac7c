"""What targets were found to ask for, remembered: the popular ones are verified, read and planned once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.caches.base import key_of
from imgproxy.caches.purges import tags_of

if TYPE_CHECKING:
    from imgproxy.model import Client, Plan
    from imgproxy.planning import Planner
    from imgproxy.signing import Signer
    from imgproxy.tokens import Tokens

MOST = 4096
"""Readings that are remembered: 16 MB of them at the most."""

_LONGEST_TARGET = 2048


@dataclass(frozen=True, slots=True)
class Rules:
    """What new settings can change while the server runs: keys and presets, exchanged as one."""

    signer: Signer
    planner: Planner
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Reading:
    """All that follows from a target and a client as long as keys and presets stay the same."""

    plan: Plan
    signed_by: int | None
    """Which of the signing keys signed it, or made its token."""
    key: str
    """Its result's."""
    tags: tuple[str, ...]
    """What its result can be purged by."""

    @classmethod
    def of(cls, plan: Plan, place: str = "", signed_by: int | None = None) -> Reading:
        """``place``: where the source is that its URL does not name (``key_of``)."""
        return cls(plan, signed_by, key_of(plan, place), tags_of(plan))


class Readings:
    """The readings that were of use last, at most ``most`` of them."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, Client], tuple[Rules, Reading]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, target: str, client: Client, rules: Rules) -> Reading | None:
        """What was found under the same ``rules``: with other keys the signature may be none."""
        place = target, client
        kept = self._kept.get(place)
        if kept is None:
            return None
        if kept[0] is not rules:
            del self._kept[place]
            return None
        self._kept.move_to_end(place)
        return kept[1]

    def note(self, target: str, client: Client, rules: Rules, reading: Reading) -> None:
        """Remember a reading. Only of what has an answer in memory: others would make room for whatever they invent."""
        if len(target) > _LONGEST_TARGET:
            return
        self._kept[target, client] = rules, reading
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
