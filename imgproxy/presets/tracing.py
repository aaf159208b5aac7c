"""Which preset an option comes from, when presets stand on others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy.options import CacheTags, FormatQuality, Preset, SkipProcessing
from imgproxy.options.base import Option, Setting
from imgproxy.presets.definition import Definition, used

if TYPE_CHECKING:
    from imgproxy.presets import Presets

_ADD_UP = (CacheTags, FormatQuality, SkipProcessing)
"""Options to which later settings add."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A setting, and where it comes from."""

    setting: Setting
    preset: str = ""
    """Empty for what stands in no preset."""
    place: str = ""
    """That of the preset (``Definition.place``)."""
    canary: bool = False
    """Whether it is one of the options that the preset tries on a share of the sources."""


def trace(presets: Presets, settings: Iterable[Setting], source: str = "") -> Iterator[Traced]:
    """What ``Presets.expand`` makes of settings, with where it comes from. Raises ``UnknownPreset``."""
    for setting in settings:
        if setting.option is not Preset:
            yield Traced(setting)
            continue
        for name in used((setting,)):
            yield from _named(presets, name, source)


def origins(traced: Iterable[Traced]) -> Mapping[tuple[type[Option], str], Sequence[Traced]]:
    """Whom each field, by its option and name, has its value from: the last that set it, or all where they add up."""
    found: dict[tuple[type[Option], str], list[Traced]] = {}
    for each in traced:
        option = each.setting.option
        for field, _ in each.setting.values:
            earlier = found.get((option, field), []) if option in _ADD_UP else []
            found[option, field] = [*earlier, each]
    return found


def overridden(traced: Sequence[Traced]) -> tuple[bool, ...]:
    """For each of them, whether later ones set all that it sets."""
    left = {id(each) for those in origins(traced).values() for each in those}
    return tuple(id(each) not in left for each in traced)


def _named(presets: Presets, name: str, source: str) -> Iterator[Traced]:
    own = presets[name]
    yield from _within(presets, own, own.settings, source)
    if own.canary is not None and own.canary.takes(name, source):
        yield from _within(presets, own, own.canary.settings, source, canary=True)


def _within(
    presets: Presets, own: Definition, settings: Iterable[Setting], source: str, *, canary: bool = False
) -> Iterator[Traced]:
    for each in trace(presets, settings, source):
        yield each if each.preset else Traced(each.setting, own.name, own.place, canary)
