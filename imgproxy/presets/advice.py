"""What is no mistake in presets, and hardly meant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from imgproxy.presets import Presets
from imgproxy.presets.definition import Definition


def advice(presets: Presets, today: date) -> Iterator[str]:
    """A line for each thing, which begins with the place of the preset."""
    for name in presets.names:
        own = presets[name]
        for text in (*_deprecated(presets, own, today), *_canary(own)):
            yield f"{own.place}: preset {name!r} {text}"


def _deprecated(presets: Presets, own: Definition, today: date) -> Iterator[str]:
    if own.deprecated is not None:
        if own.deprecated.remove and own.deprecated.remove <= today:
            yield f"was to be removed on {own.deprecated.remove}"
        return
    for name in dict.fromkeys(own.uses):
        if presets[name].deprecated is not None:
            yield f"uses {name!r}, which is deprecated"


def _canary(own: Definition) -> Iterator[str]:
    if own.canary is not None and own.canary.share in {0, 1}:
        yield f"tries its canary on {'all' if own.canary.share else 'no'} sources: decide on it, and take it out"
