"""Settings that change while the server runs: keys, trusted signatures and presets.

They are read anew on SIGHUP, and when one of the files that they come from changes; all of them are checked like at
the start, and then exchanged at once. With a mistake in them everything stays as it is, and the log says why; but a
mistake in presets, which others write, holds up presets only: a key that has leaked can go. All other settings need a
restart.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imgproxy.clock import unix_seconds
from imgproxy.settings import ROOMS, BadSettings, Settings, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_log = logging.getLogger("imgproxy.settings")

POLL_S = 0.2
"""Seconds between two looks at the files: 10 µs each. A file counts when two looks in a row have found it the same, so
that a removed key is refused 0.6 s after its file was written, at the latest."""

PATIENCE = 5
"""Looks that must find the files as they are before presets go: the first half of a file is often a good file, with
fewer presets. With what a look may be late, that is 1.2 s."""

LIVE = frozenset({"signing", "preset"})
"""The rooms whose settings change."""

_MOST_TOLD = 100
"""Mistakes that one line of the log names."""

_Sight = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Broken:
    """A change that was not taken."""

    mistakes: tuple[str, ...]
    """Those in settings."""
    in_presets: tuple[str, ...] = ()
    """Those in presets, each with its place: "shop.toml:4:10: …"."""

    @property
    def counts(self) -> Mapping[str, int]:
        return {"presets": len(self.in_presets), "settings": len(self.mistakes)}

    @property
    def told(self) -> list[str]:
        """All of them, as far as a line of the log should hold them."""
        every = [*self.mistakes, *self.in_presets]
        return every if len(every) <= _MOST_TOLD else [*every[:_MOST_TOLD], f"and {len(every) - _MOST_TOLD} more"]


class Reloading:
    """Watches for new settings, and has them adopted.

    ``files`` names those that settings come from; ``adopt`` exchanges what depends on them, all at once.
    """

    def __init__(
        self,
        settings: Settings,
        files: Callable[[Settings], Iterable[Path]],
        adopt: Callable[[Settings], object],
        *,
        read: Callable[[], Settings] = Settings.read,
        now: Callable[[], float] = unix_seconds,
    ) -> None:
        self._started_with = settings
        self._running = settings
        self._files = files
        self._adopt = adopt
        self._read = read
        self._now = now
        self._warned: frozenset[str] = frozenset()
        self._adopted = self._seen = self._look()
        self._still = 0
        """How many looks in a row have found what the one before found, and what was not adopted."""
        self.broken: Broken | None = None
        """What is wrong with the settings that were read last; None if they are those in force."""
        self.broken_since = 0.0
        """Since when that is so, in Unix seconds; a further broken change does not move it."""
        self.last_success_at = now()
        """When settings were read that are in force, in Unix seconds."""

    @property
    def last_successful(self) -> bool:
        """Whether the settings that were read last are those in force."""
        return self.broken is None

    @property
    def mistakes(self) -> Mapping[str, int]:
        """How many the change has that was not taken, by what it concerns."""
        return (self.broken or Broken(())).counts

    def notes(self) -> list[str]:
        """What an operator should know of presets and settings, a line for each."""
        counts = self.mistakes
        said = [f"presets: {len(self._running.presets.names)}"] if not counts["presets"] else []
        since = datetime.fromtimestamp(self.broken_since, UTC)
        for what, change in (("presets", "edit"), ("settings", "change")):
            if count := counts[what]:
                wrong = "1 mistake" if count == 1 else f"{count} mistakes"
                said.append(
                    f"{what}: the last {change} is broken since {since:%Y-%m-%dT%H:%M:%SZ}: {wrong};"
                    " the old ones stay, and the log says what is wrong"
                )
        return said

    async def watch(self) -> None:
        """Watch until cancelled."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, asked.set)
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await asked.wait()
                told = asked.is_set()
                asked.clear()
                if self._is_due() or told:
                    # In a thread: some hundreds of presets take as many milliseconds, in which others want answers.
                    self._take(await asyncio.to_thread(self._attempt), told=told)
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    def poll(self) -> None:
        """Read the settings if a file has changed, and keeps still: it may be half written."""
        if self._is_due():
            self._take(self._attempt(), told=False)

    def reload(self) -> bool:
        """Read the settings and adopt them; whether they are good. Whatever is wrong, the old ones stay."""
        return self._take(self._attempt(), told=True)

    def _is_due(self) -> bool:
        before, self._seen = self._seen, self._look()
        self._still = self._still + 1 if self._seen == before != self._adopted else 0
        return self._still in (1, PATIENCE)

    def _attempt(self) -> tuple[Settings | None, Broken | None]:
        """What can be adopted of the settings as they are now, and what is wrong with them. In any thread."""
        try:
            try:
                fresh, broken = self._read(), None
            except BadSettings as wrong:
                fresh, broken = self._around_presets(wrong), Broken(wrong.mistakes, wrong.presets)
            if fresh is not None:
                self._check(fresh)
        except BadSettings as wrong:
            return None, Broken(wrong.mistakes, wrong.presets)
        except Exception as cause:  # noqa: BLE001  whatever it is, the server goes on as it was
            # Its text could hold a part of the file, and with it a key.
            return None, Broken((type(cause).__name__,))
        return fresh, broken

    def _around_presets(self, wrong: BadSettings) -> Settings | None:
        """The running presets with other keys, if there are others, and nothing is wrong with those."""
        running = self._running
        if wrong.rest is None or wrong.rest.signing == running.signing:
            return None
        return replace(wrong.rest, preset=running.preset, presets=running.presets)

    def _take(self, found: tuple[Settings | None, Broken | None], *, told: bool) -> bool:
        """Adopt what was found; whether all of it was good.

        ``told``: because somebody asked for it, whatever the files look like.
        """
        fresh, broken = found
        if not told:
            if self._still < PATIENCE and fresh is not None and self._loses(fresh):
                return True
            # As they stood still before they were read, not as they are now: two writes within one tick of the file
            # system's clock look the same. What was written since will be seen as a change.
            self._adopted, self._still = self._seen, 0
        if fresh is not None:
            try:
                self._adopt(fresh)
            except Exception as cause:  # noqa: BLE001  as above
                broken = Broken((type(cause).__name__,))
            else:
                self._adopted_now(fresh)
        if broken is not None:
            self._refuse(broken)
        else:
            self.broken = None
            self.last_success_at = self._now()
        return broken is None

    def _adopted_now(self, fresh: Settings) -> None:
        self._running = fresh
        fields = {"keys": len(fresh.signing.key), "presets": len(fresh.presets.names)}
        _log.info("settings were read anew", extra={"fields": fields})
        self._warn(fresh)

    def _refuse(self, found: Broken) -> None:
        if self.broken is None:
            self.broken_since = self._now()
        self.broken = found
        _log.error("the new settings are wrong, the old ones stay", extra={"fields": {"mistakes": found.told}})

    def _loses(self, fresh: Settings) -> bool:
        return not {*self._running.presets.names} <= {*fresh.presets.names}

    def _check(self, fresh: Settings) -> None:
        """Refuse what is good at a start only. Raises ``BadSettings``."""
        if self._running.signing.key and not fresh.signing.key:
            # Most likely a file that is half written; and from then on anybody could ask for anything.
            raise BadSettings(
                "IMGPROXY_KEY: all keys are gone, and without keys nothing is checked: that needs a restart"
            )
        started = self._started_with
        # Presets were checked by what the new settings say, and will be read by what the old ones say.
        if fresh.presets.names and (
            fresh.dialect.arguments_separator != started.dialect.arguments_separator
            or fresh.plan.allow_security_options > started.plan.allow_security_options
        ):
            raise BadSettings(
                "presets depend on IMGPROXY_ARGUMENTS_SEPARATOR and IMGPROXY_ALLOW_SECURITY_OPTIONS: "
                "these have changed, which needs a restart"
            )

    def _warn(self, fresh: Settings) -> None:
        """Name what was changed in vain; once, not at each reload."""
        changed = frozenset(_changed(self._started_with, fresh))
        if changed - self._warned:
            _log.warning("changed settings need a restart", extra={"fields": {"settings": sorted(changed)}})
        self._warned = changed

    def _look(self) -> dict[Path, _Sight]:
        try:
            return {path: _sight(path) for path in self._files(self._running)}
        except OSError:
            # A folder that goes while it is listed. Reading it will say what is wrong, if it stays away.
            return {}


def _sight(path: Path) -> _Sight:
    """What changes with the file: also where another one takes its place, or a symbolic link is turned."""
    try:
        found = path.stat()
    except OSError:
        return None
    # What else lies in a folder, such as an editor's notes, is nothing to us; its files are looked at by themselves.
    if stat.S_ISDIR(found.st_mode):
        return 0, 0, found.st_ino
    # A file that was away for a moment is as old as it was, but its inode was touched.
    return max(found.st_mtime_ns, found.st_ctime_ns), found.st_size, found.st_ino


def _changed(old: Settings, new: Settings) -> Iterable[str]:
    """The variables that differ, but for those that are live. Never their values."""
    for room, kind in ROOMS.items():
        if room not in LIVE:
            for name, field in kind.model_fields.items():
                if getattr(getattr(old, room), name) != getattr(getattr(new, room), name):
                    yield names(name, field)[0]
