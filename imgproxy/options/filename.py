"""The name to save under."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from imgproxy.errors import BadOption
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import Bool, Text, base64_text


@dataclass(frozen=True, slots=True)
class Filename(Option):
    """Set the file name, without extension, that a browser saves the image under.

    Percent-encoded; or URL-safe base64 when the second argument is true.
    """

    name: str = arg(Text(), "", "The name without its extension.")

    spellings = (Spelling(("filename", "fn"), ("name",)),)
    examples = ("fn:holiday", "fn:aG9saWRheQ:1")
    effect = "delivery"

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        if len(texts) == 2:
            name = base64_text(texts[0]) if Bool().parse(texts[1]) else Text().parse(texts[0])
            return Setting(cls, (("name", name),))
        if len(texts) > 2:
            raise BadOption(f"expected at most 2 arguments, got {len(texts)}")
        return super(Filename, cls).read(spelling, texts)

    def write(self) -> Iterator[str]:
        if self.name:
            yield f"fn:{quote(self.name, safe='')}"
