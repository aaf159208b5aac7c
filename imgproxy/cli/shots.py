"""Presets on samples: what ``presets preview`` and ``presets diff`` render."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgproxy.errors import ImageError
from imgproxy.formats import JSON, WEBP
from imgproxy.options import Options, Preset
from imgproxy.options.base import Setting
from imgproxy.presets import DEFAULT, Presets
from imgproxy.presets.canaries import settled, taken
from imgproxy.presets.changes import Change
from imgproxy.presets.definition import Definition

if TYPE_CHECKING:
    from imgproxy.model import Rendition
    from imgproxy.render.comparing import Comparison
    from imgproxy.rendering import Darkroom
    from imgproxy.settings import Settings


@dataclass(frozen=True, slots=True)
class Variant:
    """A preset as it is rendered: with its canary, or without."""

    label: str
    name: str
    own: Definition
    presets: Presets
    """All, so that one of them, or none, has its canary for every source."""

    @property
    def asked(self) -> tuple[Setting, ...]:
        # The default applies anyway.
        return () if self.name == DEFAULT else (Setting(Preset, (("names", (self.name,)),)),)

    @property
    def note(self) -> str:
        """What the preset is for; of a canary, which sources it is tried on."""
        own = self.own
        if self.label != self.name and own.canary is not None:
            return f"Tried on {own.canary.share:.0%} of the sources."
        return own.description or (f"Uses {', '.join(own.uses)}." if own.uses else "")

    @property
    def options(self) -> str:
        return str(Options().merge(self.presets.expand((Setting(Preset, (("names", (self.name,)),)),))))


@dataclass(frozen=True, slots=True)
class Shot:
    """A sample as a preset renders it, or why not."""

    sample: str
    rendition: Rendition | None
    error: str = ""

    @property
    def caption(self) -> str:
        if self.rendition is None:
            return self.error
        made = self.rendition
        frames = f", {made.frames} frames" if made.frames > 1 else ""
        return f"{made.width}x{made.height} {made.format.name}, {_size(len(made.body))}{frames}"

    @property
    def shown(self) -> bytes:
        """An encoded picture: the result, or what a placeholder looks like. Only of what could be rendered."""
        assert self.rendition is not None  # noqa: S101 - asked for only then
        if self.rendition.format is not JSON:
            return self.rendition.body
        from imgproxy.render.placeholders import picture  # noqa: PLC0415 - libvips is loaded here

        return picture(self.rendition.body)

    @property
    def media_type(self) -> str:
        """Of what is shown."""
        made = self.rendition
        return made.format.media_type if made and made.format is not JSON else WEBP.media_type

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        if self.rendition is None:
            return {"sample": self.sample, "error": self.error}
        made = self.rendition
        facts = {"format": made.format.name, "width": made.width, "height": made.height, "bytes": len(made.body)}
        return {"sample": self.sample, **facts}


@dataclass(frozen=True, slots=True)
class Pair:
    """A sample before and after; None where the preset is new, or gone."""

    label: str
    before: Shot | None
    after: Shot | None
    comparison: Comparison | None = None

    @property
    def sample(self) -> str:
        shot = self.before or self.after
        return shot.sample if shot else ""

    @property
    def same(self) -> bool:
        bodies = [each.rendition.body for each in (self.before, self.after) if each and each.rendition]
        return len(bodies) == 2 and bodies[0] == bodies[1]

    @property
    def verdict(self) -> str:
        """How far the two are apart, in a few words."""
        if self.before is None or self.after is None:
            return ""
        if self.before.rendition is None or self.after.rendition is None:
            return "one cannot be rendered" if self.before.rendition or self.after.rendition else "neither is rendered"
        if self.same:
            return "the same"
        was, now = len(self.before.rendition.body), len(self.after.rendition.body)
        size = "same bytes" if was == now else f"{(now - was) / was:+.0%} bytes"
        if self.comparison is None:
            return f"another size, {size}"
        if not self.comparison.largest:
            return f"same pixels, {size}"
        told = self.comparison
        return f"SSIM {told.ssim:.3f}, PSNR {told.psnr:.1f} dB, mean difference {told.mean:.2f} of 255, {size}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the PSNR of equal pictures, which is infinite, is null."""
        told: dict[str, Any] = {
            "variant": self.label,
            "sample": self.sample,
            "before": self.before and self.before.as_dict(),
            "after": self.after and self.after.as_dict(),
        }
        if self.comparison is not None:
            psnr = None if math.isinf(self.comparison.psnr) else round(self.comparison.psnr, 2)
            told |= {"ssim": round(self.comparison.ssim, 4), "psnr": psnr, "mean": round(self.comparison.mean, 3)}
        return told


def variants_of(known: Presets, names: Sequence[str]) -> list[Variant]:
    calm = settled(known)
    found: list[Variant] = []
    for name in names:
        found.append(Variant(name, name, known[name], calm))
        if known[name].canary is not None:
            found.append(Variant(f"{name} (canary)", name, known[name], taken(known, name)))
    return found


async def shots_of(variants: Sequence[Variant], samples: Sequence[str], settings: Settings) -> list[list[Shot]]:
    from imgproxy.rendering import Darkroom  # noqa: PLC0415 - libvips is loaded here

    async with Darkroom(settings) as room:
        return [[await _shot(room, each, sample) for sample in samples] for each in variants]


async def _shot(room: Darkroom, variant: Variant, sample: str) -> Shot:
    try:
        made = await room.render(sample, variant.asked, variant.presets, room.browser)
    except (ImageError, OSError) as error:
        return Shot(_name(sample), None, str(error))
    return Shot(_name(sample), made)


async def pairs_of(
    found: Sequence[Change], old: Presets, new: Presets, samples: Sequence[str], settings: Settings
) -> dict[str, list[Pair]]:
    """Before and after of the presets whose pictures may be different, by name."""
    from imgproxy.render.comparing import compare  # noqa: PLC0415 - libvips is loaded here
    from imgproxy.rendering import Darkroom  # noqa: PLC0415

    pairs: dict[str, list[Pair]] = {}
    async with Darkroom(settings) as room:
        for change in (each for each in found if each.shows):
            before = {each.label: each for each in variants_of(old, [change.name] if change.name in old else [])}
            after = {each.label: each for each in variants_of(new, [change.name] if change.name in new else [])}
            for label in dict.fromkeys((*before, *after)):
                for sample in samples:
                    was = await _shot(room, before[label], sample) if label in before else None
                    now = await _shot(room, after[label], sample) if label in after else None
                    bodies = [shot.shown for shot in (was, now) if shot and shot.rendition]
                    comparison = compare(*bodies) if len(bodies) == 2 else None
                    pairs.setdefault(change.name, []).append(Pair(label, was, now, comparison))
    return pairs


def _name(sample: str) -> str:
    return sample.rstrip("/").rpartition("/")[2]


def _size(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
