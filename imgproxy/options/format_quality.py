"""The quality by format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from imgproxy.errors import BadOption
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import FormatName, Whole


@dataclass(frozen=True, slots=True)
class FormatQuality(Option):
    """Set the quality for each format that may result: format, quality, format, quality and so on."""

    qualities: tuple[tuple[str, int], ...] = arg(
        FormatName(), (), "Pairs of format and quality, 0 to 100; later pairs win."
    )

    spellings = (Spelling(("format_quality", "fq"), ("qualities",)),)
    examples = ("fq:jpeg:70:webp:65:avif:50",)
    effect = "encoding"

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:  # noqa: ARG003 - one spelling
        if len(texts) % 2:
            raise BadOption("expected pairs of format and quality")
        pairs = tuple(
            (FormatName().parse(name).name, Whole(0, 100).parse(quality))
            for name, quality in zip(texts[::2], texts[1::2], strict=True)
        )
        return Setting(cls, (("qualities", pairs),))

    def merge(self, setting: Setting) -> Self:
        merged = dict(self.qualities) | dict(dict(setting.values)["qualities"])
        return type(self)(tuple(sorted(merged.items())))

    def write(self) -> Iterator[str]:
        if self.qualities:
            yield ":".join(("fq", *(f"{name}:{quality}" for name, quality in self.qualities)))
