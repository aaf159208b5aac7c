"""Presets: named lists of options, which product teams write and URLs name.

They come from TOML files (``files.py``), and from imgproxy's variable and file of lines (``lines.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from imgproxy.errors import OptionForbidden, UnknownPreset
from imgproxy.options import Options, Preset, Resize, spelled
from imgproxy.options.base import Option, Setting
from imgproxy.presets.definition import DEFAULT, BadPresets, Definition, Mistakes, used
from imgproxy.presets.lines import read_lines

__all__ = ["DEFAULT", "BadPresets", "Definition", "Presets", "Resolved"]

_DEEPEST = 8
"""Presets within presets: further down nobody can follow what a name stands for."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a URL asks for once its presets are replaced by what they stand for."""

    default: tuple[Setting, ...]
    """Of the preset that applies to every request."""
    asked: tuple[Setting, ...]
    names: tuple[str, ...]
    """The presets that had a part in it, those inside others included; sorted."""


class Presets:
    """A checked, immutable set of presets."""

    def __init__(self, definitions: Mapping[str, Definition] | None = None) -> None:
        self._definitions = dict(definitions or {})

    def __repr__(self) -> str:
        return f"Presets({[self._definitions[name] for name in self.names]})"

    def __getitem__(self, name: str) -> Definition:
        """Raises ``UnknownPreset``."""
        if name not in self._definitions:
            raise UnknownPreset(f"no preset is named {name!r}")
        return self._definitions[name]

    def __contains__(self, name: object) -> bool:
        return name in self._definitions

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._definitions))

    def using(self, option: type[Option]) -> list[str]:
        """The presets that set this option themselves."""
        return [name for name in self.names if any(each.option is option for each in self[name].settings)]

    @classmethod
    def parse(cls, lines: Iterable[tuple[str, str]], separator: str = ":") -> Presets:
        """The presets of ``(place, definition)`` pairs. Raises ``BadPresets`` with every mistake at once."""
        mistakes: Mistakes = []
        return cls.checked(read_lines(lines, separator, mistakes), mistakes)

    @classmethod
    def checked(cls, definitions: Mapping[str, Definition], mistakes: Iterable[str] = ()) -> Presets:
        """These presets, if they fit together. Raises ``BadPresets`` with these ``mistakes`` and all others."""
        found = [*mistakes, *_misfits(definitions)]
        if found:
            raise BadPresets("\n".join(found))
        return cls(definitions)

    def resolve(self, settings: Iterable[Setting], source: str = "") -> Resolved:
        """What the settings of a URL ask for. Raises ``UnknownPreset`` and ``OptionForbidden``."""
        asked = tuple(settings)
        self._check(asked)
        return Resolved(
            tuple(self.default(source)),
            tuple(self._shaped(asked, source)),
            tuple(sorted(self.applied(asked))),
        )

    def default(self, source: str = "") -> Iterator[Setting]:
        """The settings of the preset that applies to every request, if there is one."""
        return self._named(DEFAULT, source) if DEFAULT in self else iter(())

    def applied(self, settings: Iterable[Setting]) -> frozenset[str]:
        """The names of the presets that these settings use: the default one too, and those inside others."""
        waiting = [*({DEFAULT} & self._definitions.keys()), *used(settings)]
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in self and name not in found:
                found.add(name)
                waiting += self[name].uses
        return frozenset(found)

    def expand(self, settings: Iterable[Setting], source: str = "") -> Iterator[Setting]:
        """The settings with each preset replaced by what it stands for, for this source. Raises ``UnknownPreset``."""
        for setting in settings:
            if setting.option is not Preset:
                yield setting
                continue
            for name in used((setting,)):
                yield from self._named(name, source)

    def widths(self, name: str) -> tuple[int, ...]:
        """The widths that srcset attributes and tokens of a preset may ask for: its own, or what it extends says."""
        return next((each.widths for each in self._line(name) if each.widths), ())

    def allowed(self, name: str) -> tuple[str, ...] | None:
        """The long names of the options that a URL may set beside this preset; None for all."""
        return next((each.allow for each in self._line(name) if each.allow is not None), None)

    def left_open(self, name: str) -> tuple[str, ...]:
        """The same where nothing is meant by saying nothing, and the width of a preset with widths."""
        width = ("width",) if self.widths(name) else ()
        return tuple(dict.fromkeys((*(self.allowed(name) or ()), *width)))

    def _line(self, name: str) -> Iterator[Definition]:
        """The preset and what it extends, nearest first: the later one of two wins, as with their options."""
        own = self[name]
        yield own
        for each in reversed(tuple(used(own.settings))):
            yield from self._line(each)

    def _named(self, name: str, source: str) -> Iterator[Setting]:
        own = self[name]
        yield from self.expand(own.settings, source)
        if own.canary is not None and own.canary.takes(name, source):
            yield from self.expand(own.canary.settings, source)

    def _check(self, settings: tuple[Setting, ...]) -> None:
        """Refuse what a preset of the URL, or the default one, does not leave open. Raises ``OptionForbidden``."""
        for name in dict.fromkeys((*({DEFAULT} & self._definitions.keys()), *used(settings))):
            if self.allowed(name) is not None:
                check_allowed(name, settings, self.left_open(name), self.widths(name))

    def _shaped(self, settings: tuple[Setting, ...], source: str) -> Iterator[Setting]:
        """The settings expanded; where only the width of a preset with ``widths`` is set, the height goes with it."""
        box: Resize | None = None
        for setting in settings:
            if setting.option is Preset:
                expanded = tuple(self.expand((setting,), source))
                yield from expanded
                if any(self.widths(name) for name in used((setting,))):
                    box = Options().merge(expanded)[Resize]
                continue
            yield setting
            if box is not None and (height := _in_proportion(setting, box)):
                yield Setting(Resize, (("height", height),))


def check_allowed(
    name: str,
    settings: Iterable[Setting],
    allow: Sequence[str],
    widths: Sequence[int] = (),
) -> None:
    """Refuse settings that a preset does not leave open to URLs. Raises ``OptionForbidden``."""
    fields = {(option, field) for each in allow for option, field in spelled(each)}
    for setting in settings:
        values = dict(setting.values)
        if setting.option is Preset:
            if "preset" not in allow and (others := {*values["names"]} - {name, DEFAULT}):
                raise OptionForbidden(f"preset {name!r} allows no other preset, got {min(others)!r}")
            continue
        if any((setting.option, field) not in fields for field in values):
            told = ", ".join(allow) or "none"
            segment = next(iter(setting.option().merge(setting).write()), setting.option.spellings[0].names[0])
            raise OptionForbidden(f"preset {name!r} leaves these options open to URLs: {told}; got {segment!r}")
        if setting.option is Resize and widths and (width := values.get("width")) is not None and width not in widths:
            told = ", ".join(map(str, widths))
            raise OptionForbidden(f"preset {name!r} has the widths {told}; got {width!r}")


def _in_proportion(setting: Setting, box: Resize) -> int:
    """The height that keeps the box's shape, if the setting changes its width alone; else 0."""
    values = dict(setting.values)
    if setting.option is not Resize or "height" in values or not (box.width and box.height):
        return 0
    width = values.get("width", 0)
    return max(1, (2 * box.height * width + box.width) // (2 * box.width)) if width else 0


def _misfits(definitions: Mapping[str, Definition]) -> Iterator[str]:
    """What is wrong between presets, each with its place."""
    uses = {name: each.uses for name, each in definitions.items()}
    for name, names in uses.items():
        for each in sorted({*names} - definitions.keys()):
            yield f"{definitions[name].place}: preset {name!r} uses {each!r}, which is not defined"
    circles = list(_circles(uses))
    for circle in circles:
        place = definitions[circle[0]].place
        yield f"{place}: preset {circle[0]!r} uses itself, by way of {' > '.join(circle)}: take one out"
    if not circles:
        depths = _depths(uses)
        for name in sorted(definitions):
            # Lines may be as deep as imgproxy lets them be.
            if depths[name] > _DEEPEST and definitions[name].owner:
                yield (
                    f"{definitions[name].place}: preset {name!r} stands on {depths[name]} others, one upon another; "
                    f"at most {_DEEPEST} may"
                )


def _depths(uses: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """How many presets are below each, on the longest way. Without circles."""
    depths: dict[str, int] = {}
    waiting = list(uses)
    while waiting:
        name = waiting[-1]
        below = [each for each in uses.get(name, ()) if each in uses]
        missing = [each for each in below if each not in depths]
        if missing:
            waiting += missing
            continue
        depths[name] = 1 + max(map(depths.__getitem__, below), default=-1)
        waiting.pop()
    return depths


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
