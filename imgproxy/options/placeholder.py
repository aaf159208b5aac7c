"""What is shown until the image is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from imgproxy.errors import BadOption
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import Choice, Whole


class Sketch(StrEnum):
    """What a placeholder is written as."""

    LQIP = "lqip"
    BLURHASH = "blurhash"
    THUMBHASH = "thumbhash"


@dataclass(frozen=True, slots=True)
class Placeholder(Option):
    """Answer with a placeholder of the image, in JSON: a tiny WebP as a `data:` URL, a BlurHash or a ThumbHash.

    `{"type": "blurhash", "value": "…", "width": 300, "height": 200, "color": "#8a7f6c"}`: the size is that of the image
    that all other options make, the colour its average. Of animations it is the first frame. `format`, `@ext` and other
    options of the file are passed over; `raw` is refused. imgproxy has no such option. How pages use it:
    [placeholders.md](placeholders.md).
    """

    kind: Sketch | None = arg(Choice(tuple(Sketch)), None, "What it is written as; empty switches it off.", "type")
    x: int = arg(Whole(0, 9), 0, "Components of a BlurHash across; both by the image's shape if not given.")
    y: int = arg(Whole(0, 9), 0, "Components of a BlurHash down.")

    spellings = (Spelling(("placeholder", "plh"), ("kind", "x", "y")),)
    examples = ("plh:lqip", "plh:blurhash", "plh:blurhash:6:4", "plh:thumbhash")

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        setting = super(Placeholder, cls).read(spelling, texts)
        # Each begins anew: components of an earlier BlurHash say nothing of a ThumbHash.
        start: dict[str, object] = {"kind": None, "x": 0, "y": 0}
        values = start | dict(setting.values)
        x, y = values["x"], values["y"]
        if (x or y) and values["kind"] is not Sketch.BLURHASH:
            raise BadOption("only blurhash has components")
        if bool(x) != bool(y):
            raise BadOption("blurhash needs components both across and down, or neither")
        return Setting(cls, tuple(values.items()))
