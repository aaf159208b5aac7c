"""Presets with their canaries out of the way, or taken for all sources: to look at both."""

from __future__ import annotations

from dataclasses import replace

from imgproxy.presets import Presets


def settled(presets: Presets) -> Presets:
    """The presets without any canary."""
    return Presets({name: replace(presets[name], canary=None) for name in presets.names})


def taken(presets: Presets, name: str) -> Presets:
    """The presets as they are for a source that the canary of one of them takes. Raises ``UnknownPreset``."""
    own, others = presets[name], settled(presets)
    tried = own.canary.settings if own.canary else ()
    definitions = {each: others[each] for each in others.names}
    return Presets(definitions | {name: replace(own, canary=None, settings=(*own.settings, *tried))})
