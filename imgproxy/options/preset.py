"""Named lists of options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imgproxy.errors import BadOption
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import Text, percent_decoded


@dataclass(frozen=True, slots=True)
class Preset(Option):
    """Apply named lists of options, here and in this order (`IMGPROXY_PRESETS`, `IMGPROXY_PRESETS_PATH`).

    Planning puts the lists in the place of this option: a plan never holds one.
    """

    names: tuple[str, ...] = arg(Text(), (), "Names of presets.")

    spellings = (Spelling(("preset", "pr"), ("names",)),)
    examples = ("pr:thumb",)
    effect = "request"

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:  # noqa: ARG003 - one spelling
        if not any(texts):
            raise BadOption("expected at least one name")
        return Setting(cls, (("names", tuple(percent_decoded(text) for text in texts if text)),))

    def write(self) -> Iterator[str]:
        if self.names:
            yield ":".join(("pr", *map(Text().write, self.names)))
