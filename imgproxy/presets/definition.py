"""What a preset is: a named list of options, and what its team says about it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from imgproxy.options import Preset
from imgproxy.options.base import Setting

DEFAULT = "default"
"""The preset that is applied to every request."""

Mistakes = list[str]
"""What is wrong with definitions: a line for each, which begins with where it is."""


class BadPresets(ValueError):
    """Presets that cannot be used; the message has a line for each mistake."""


@dataclass(frozen=True, slots=True)
class Canary:
    """Other options for a share of the sources, to try them out."""

    share: float
    """0 to 1."""
    settings: tuple[Setting, ...]

    def takes(self, name: str, source: str) -> bool:
        """Whether a source is in the share: always the same ones, and others for another preset."""
        digest = hashlib.sha256(f"{name}\n{source}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < self.share * 2**64


@dataclass(frozen=True, slots=True)
class Deprecation:
    """That a preset should no longer be used."""

    since: date | None = None
    remove: date | None = None
    """From when on it may be gone."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """One preset. ``repr`` tells what changes answers, and nothing else: the edge's key is made of it."""

    name: str
    settings: tuple[Setting, ...]
    """In their order; presets that it uses stand among them, also those that it extends or is another name of."""
    widths: tuple[int, ...] = ()
    """Widths in pixels that srcset attributes and tokens may ask for, ascending; those of what it extends if empty."""
    allow: tuple[str, ...] | None = None
    """Long names of the options that a URL with this preset may set beside it; None for what it extends says, or all.
    """
    canary: Canary | None = None
    deprecated: Deprecation | None = field(default=None, repr=False)
    description: str = field(default="", repr=False)
    owner: str = field(default="", repr=False)
    place: str = field(default="", repr=False, compare=False)
    """Where it stands: "shop.toml:4:10", "IMGPROXY_PRESETS, preset 2"."""

    @property
    def uses(self) -> tuple[str, ...]:
        """The presets that it names, in their order."""
        canary = self.canary.settings if self.canary else ()
        return tuple(used((*self.settings, *canary)))


def used(settings: Iterable[Setting]) -> Iterator[str]:
    """The presets that settings name, in their order."""
    for setting in settings:
        if setting.option is Preset:
            yield from dict(setting.values)["names"]
