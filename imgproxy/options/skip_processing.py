"""Formats that pass as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import FormatName


@dataclass(frozen=True, slots=True)
class SkipProcessing(Option):
    """Answer sources of these formats with their own bytes, if no other format is asked for.

    Type and resolution are checked; an SVG is sanitised. Formats add up with those of earlier settings.
    """

    formats: tuple[str, ...] = arg(FormatName(), (), "Formats that are not processed.")

    spellings = (Spelling(("skip_processing", "skp"), ("formats",)),)
    examples = ("skp:gif:svg",)
    effect = "request"

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:  # noqa: ARG003 - one spelling
        return Setting(cls, (("formats", tuple(FormatName().parse(text).name for text in texts if text)),))

    def merge(self, setting: Setting) -> Self:
        return type(self)(tuple(sorted({*self.formats, *dict(setting.values)["formats"]})))

    def write(self) -> Iterator[str]:
        if self.formats:
            yield ":".join(("skp", *self.formats))
