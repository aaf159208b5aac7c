"""Which presets are asked for, and whether some of them should not be any more."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Protocol

from imgproxy.presets.definition import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.presets import Definition, Presets

_log = logging.getLogger("imgproxy.presets")


def _today() -> date:
    return datetime.now(UTC).date()


class Counting(Protocol):
    """The metrics, as far as presets are counted."""

    def know_presets(self, names: Iterable[str], deprecated: Iterable[str]) -> None: ...
    def used_preset(self, name: str, seconds: float, *, deprecated: bool) -> None: ...


class PresetUse:
    """Counts requests by preset, and tells the log once of each that is used though it is to go.

    ``presets`` are those in force; others are not counted, so that nobody can invent labels.
    """

    def __init__(self, presets: Presets, counting: Counting, today: Callable[[], date] = _today) -> None:
        self._counting = counting
        self._today = today
        self._told: set[str] = set()
        self._overdue: set[str] = set()
        self.adopt(presets)

    def adopt(self, presets: Presets) -> None:
        """Go on with these presets; the log hears of those that were to be gone by now."""
        # The preset that applies to everything would count everything.
        self._known = frozenset(presets.names) - {DEFAULT}
        self._deprecated = {
            name: presets[name] for name in presets.names if name in self._known and presets[name].deprecated
        }
        self._counting.know_presets(self._known, self._deprecated)
        for name, definition in self._deprecated.items():
            assert definition.deprecated is not None  # noqa: S101 - chosen by that
            remove = definition.deprecated.remove
            if remove is not None and remove <= self._today() and name not in self._overdue:
                self._overdue.add(name)
                _log.warning("a preset was to be removed by now", extra={"fields": _fields(definition)})

    def note(self, names: Iterable[str], seconds: float) -> None:
        """Count a request that these presets had a part in, and the ``seconds`` that its rendering took."""
        for name in names:
            if name in self._known:
                self._counting.used_preset(name, seconds, deprecated=name in self._deprecated)
                if name in self._deprecated and name not in self._told:
                    self._told.add(name)
                    _log.warning("a deprecated preset is used", extra={"fields": _fields(self._deprecated[name])})


def _fields(definition: Definition) -> dict[str, str]:
    deprecated = definition.deprecated
    assert deprecated is not None  # noqa: S101 - asked for only then
    fields = {
        "preset": definition.name,
        "owner": definition.owner,
        "place": definition.place,
        "since": deprecated.since.isoformat() if deprecated.since else "",
        "remove": deprecated.remove.isoformat() if deprecated.remove else "",
        "note": deprecated.note,
    }
    return {name: text for name, text in fields.items() if text}
