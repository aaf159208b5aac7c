"""Settings that change while the server runs: keys, trusted signatures and presets.

They are read anew on SIGHUP, and when one of the files that they come from changes; all of them are checked like at
the start, and then exchanged at once. With a mistake in them everything stays as it is, and the log says why. All
other settings need a restart.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from imgproxy.clock import unix_seconds
from imgproxy.settings import ROOMS, BadSettings, Settings, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_log = logging.getLogger("imgproxy.settings")

POLL_S = 0.2
"""Seconds between two looks at the files: 10 µs each. A file counts when two looks in a row have found it the same, so
that a removed key is refused 0.6 s after its file was written, at the latest."""

LIVE = frozenset({"signing", "preset"})
"""The rooms whose settings change."""

_Sight = tuple[int, int, int] | None


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
        self.last_successful = True
        """Whether the settings that were read last are those in force."""
        self.last_success_at = now()
        """When they were, in Unix seconds."""

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
                if asked.is_set():
                    asked.clear()
                    self.reload()
                else:
                    self.poll()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    def poll(self) -> None:
        """Read the settings if a file has changed, and keeps still: it may be half written."""
        before, self._seen = self._seen, self._look()
        if self._seen != self._adopted and self._seen == before:
            self.reload()

    def reload(self) -> bool:
        """Read the settings and adopt them; whether they are good. Whatever is wrong, the old ones stay."""
        # What is written after this look will be seen as a change.
        self._adopted = self._seen = self._look()
        try:
            fresh = self._read()
            self._check(fresh)
            self._adopt(fresh)
        except BadSettings as mistakes:
            self.last_successful = False
            _log.error("the new settings are wrong, the old ones stay", extra={"fields": {"reason": str(mistakes)}})
            return False
        except Exception as cause:  # noqa: BLE001  whatever it is, the server goes on as it was
            self.last_successful = False
            # Its text could hold a part of the file, and with it a key.
            reason = type(cause).__name__
            _log.error("the new settings cannot be read, the old ones stay", extra={"fields": {"reason": reason}})
            return False
        self._running = fresh
        if {*self._files(fresh)} != self._adopted.keys():
            self._adopted = self._seen = self._look()
        self.last_successful = True
        self.last_success_at = self._now()
        fields = {"keys": len(fresh.signing.key), "presets": len(fresh.presets.names)}
        _log.info("settings were read anew", extra={"fields": fields})
        self._warn(fresh)
        return True

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
        return {path: _sight(path) for path in self._files(self._running)}


def _sight(path: Path) -> _Sight:
    """What changes with the file: also where another one takes its place, or a symbolic link is turned."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _changed(old: Settings, new: Settings) -> Iterable[str]:
    """The variables that differ, but for those that are live. Never their values."""
    for room, kind in ROOMS.items():
        if room not in LIVE:
            for name, field in kind.model_fields.items():
                if getattr(getattr(old, room), name) != getattr(getattr(new, room), name):
                    yield names(name, field)[0]
