"""Presets: named lists of options, in imgproxy's line format ``name=option:argument/option:argument`` (spec §1.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from imgproxy.environment import RoomSettings
from imgproxy.errors import BadOption, UnknownPreset
from imgproxy.options import Preset, read_segment
from imgproxy.options.base import Option, Setting

DEFAULT = "default"
"""The preset that is applied to every request."""


def _path(value: object) -> object:
    return Path(value) if value and isinstance(value, str) else value or None


class PresetSettings(RoomSettings):
    """Where presets come from."""

    presets: str = Field(
        default="", description="Presets: `name=option:argument/option:argument`, separated by commas."
    )
    presets_separator: str = Field(
        default=",", min_length=1, description="What separates the presets of IMGPROXY_PRESETS."
    )
    presets_path: Annotated[Path | None, BeforeValidator(_path)] = Field(
        default=None, description="File with a preset on each line; `#` begins a comment."
    )

    def listed(self) -> list[tuple[str, str]]:
        """The definitions of the variable, each with where it stands."""
        lines = self.presets.split(self.presets_separator)
        return [(f"IMGPROXY_PRESETS, preset {n}", line) for n, line in _numbered(lines)]

    def filed(self) -> list[tuple[str, str]]:
        """The definitions of the file, which override the variable's. Raises ``OSError``, ``UnicodeDecodeError``."""
        if not self.presets_path:
            return []
        lines = _numbered(self.presets_path.read_text(encoding="utf-8").splitlines())
        return [(f"{self.presets_path.name}, line {n}", line) for n, line in lines if not line.startswith("#")]


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    return ((n, line.strip()) for n, line in enumerate(lines, 1) if line.strip())


class BadPresets(ValueError):
    """Presets that cannot be used; the message has a line for each mistake."""


class Presets:
    """A checked, immutable set of presets."""

    def __init__(self, presets: Mapping[str, tuple[Setting, ...]] | None = None) -> None:
        self._presets = dict(presets or {})

    def __repr__(self) -> str:
        return f"Presets({dict(sorted(self._presets.items()))})"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._presets))

    def using(self, option: type[Option]) -> list[str]:
        """The presets that set this option themselves."""
        return [name for name in self.names if any(each.option is option for each in self._presets[name])]

    @classmethod
    def parse(cls, lines: Iterable[tuple[str, str]], separator: str = ":") -> Presets:
        """The presets of ``(place, definition)`` pairs. Raises ``BadPresets`` with every mistake at once."""
        presets: dict[str, tuple[Setting, ...]] = {}
        mistakes: list[str] = []
        places: dict[str, str] = {}
        for place, line in lines:
            try:
                name, settings = _read(line, separator)
                presets[name], places[name] = settings, place
            except BadOption as error:
                mistakes.append(f"{place}: {error}")
        uses = {name: list(_used(settings)) for name, settings in presets.items()}
        mistakes += [
            f"{places[name]}: preset {name!r} uses {each!r}, which is not defined"
            for name, used in uses.items()
            for each in sorted({*used} - presets.keys())
        ]
        mistakes += [
            f"{places[circle[0]]}: preset {circle[0]!r} uses itself, by way of {' > '.join(circle)}: take one out"
            for circle in _circles(uses)
        ]
        if mistakes:
            raise BadPresets("\n".join(mistakes))
        return cls(presets)

    def default(self) -> Iterator[Setting]:
        """The settings of the preset that applies to every request, if there is one."""
        return self._named(DEFAULT) if DEFAULT in self._presets else iter(())

    def applied(self, settings: Iterable[Setting]) -> frozenset[str]:
        """The names of the presets that these settings use: the default one too, and those inside others."""
        found = {DEFAULT} & self._presets.keys()
        waiting = [*settings, *self._presets.get(DEFAULT, ())]
        while waiting:
            setting = waiting.pop()
            fresh = {name for name in _used((setting,)) if name in self._presets} - found
            found |= fresh
            waiting += [each for name in fresh for each in self._presets[name]]
        return frozenset(found)

    def expand(self, settings: Iterable[Setting]) -> Iterator[Setting]:
        """The settings with each preset replaced by what it stands for. Raises ``UnknownPreset``."""
        for setting in settings:
            if setting.option is not Preset:
                yield setting
                continue
            for name in _used((setting,)):
                yield from self._named(name)

    def _named(self, name: str) -> Iterator[Setting]:
        if name not in self._presets:
            raise UnknownPreset(f"no preset is named {name!r}")
        yield from self.expand(self._presets[name])


def _used(settings: Iterable[Setting]) -> Iterator[str]:
    """The presets that settings name, in their order."""
    for setting in settings:
        if setting.option is Preset:
            yield from dict(setting.values)["names"]


def _circles(uses: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, ...]]:
    """The ways on which presets come back to themselves, each once: expanding them would never end."""
    done: set[str] = set()
    for first in uses:
        way: list[str] = []
        ahead = [iter((first,))]
        while ahead:
            name = next(ahead[-1], None)
            if name is None:
                ahead.pop()
                done.update(way[-1:])
                del way[-1:]
            elif name in way:
                yield (*way[way.index(name) :], name)
            elif name in uses and name not in done:
                way.append(name)
                ahead.append(iter(uses[name]))


def _read(line: str, separator: str) -> tuple[str, tuple[Setting, ...]]:
    """One definition. Raises ``BadOption``."""
    name, equals, value = (part.strip() for part in line.partition("="))
    if not equals or not name or not value or "=" in value:
        raise BadOption(f'expected "name=option:argument/…", got {line!r}')
    settings: list[Setting] = []
    # Options are read from URLs, where a character is a byte.
    for segment in value.encode().decode("latin-1").split("/"):
        option, *arguments = segment.split(separator)
        if not arguments:
            raise BadOption(f"preset {name!r}: option {option!r} has no arguments")
        try:
            settings += read_segment(option, arguments)
        except BadOption as error:
            raise BadOption(f"preset {name!r}: {error}") from None
    return name, tuple(settings)
