"""What is different between two sets of presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imgproxy.options import Options
from imgproxy.options.base import Setting
from imgproxy.presets import Presets
from imgproxy.presets.canaries import settled
from imgproxy.presets.writing import deprecation_of

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

_NO_PICTURE = ("widths", "allow", "deprecated", "description", "owner", "cache_tags")
"""What changes no picture."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one option, or of what else a preset says; empty where there is none."""

    what: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Change:
    """A preset that is different."""

    name: str
    kind: str
    """``ADDED``, ``REMOVED`` or ``CHANGED``."""
    differences: tuple[Difference, ...]

    @property
    def shows(self) -> bool:
        """Whether pictures may be different."""
        return any(each.what not in _NO_PICTURE for each in self.differences)


def changes(old: Presets, new: Presets) -> Iterator[Change]:
    """The presets that are different, by name; options as they are once all that a preset stands on is in it."""
    for name in sorted({*old.names, *new.names}):
        before: Mapping[str, str] = facets(old, name) if name in old else {}
        after: Mapping[str, str] = facets(new, name) if name in new else {}
        differences = tuple(
            Difference(what, before.get(what, ""), after.get(what, ""))
            for what in dict.fromkeys((*before, *after))
            if before.get(what) != after.get(what)
        )
        kind = ADDED if name not in old else REMOVED if name not in new else CHANGED
        if kind != CHANGED or differences:
            yield Change(name, kind, differences)


def facets(presets: Presets, name: str) -> Mapping[str, str]:
    """All that a preset says, as text: each option by its long name, then the rest."""
    own = presets[name]
    found = dict(_options(presets, own.settings))
    if own.canary is not None:
        tried = "/".join(text for _, text in _options(presets, own.canary.settings))
        found["canary"] = f"share {own.canary.share:g}: {tried}"
    if widths := presets.widths(name):
        found["widths"] = ", ".join(map(str, widths))
    if (allow := presets.allowed(name)) is not None:
        found["allow"] = ", ".join(allow) or "none"
    if own.deprecated is not None:
        found["deprecated"] = deprecation_of(own.deprecated)
    return found | {key: text for key, text in (("description", own.description), ("owner", own.owner)) if text}


def _options(presets: Presets, settings: tuple[Setting, ...]) -> Iterator[tuple[str, str]]:
    """By the long name of the option; also what is set to its default, since it may be laid over something else."""
    expanded = tuple(settled(presets).expand(settings))
    options = Options().merge(expanded)
    for option in dict.fromkeys(each.option for each in expanded):
        yield option.spellings[0].names[0], "/".join(options[option].write()) or "the default"
