"""Words that a cached image can be purged by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from imgproxy.errors import BadOption
from imgproxy.options.base import Option, Setting, Spelling, arg
from imgproxy.options.values import Text, percent_decoded

_MOST = 16
_LONGEST = 128


@dataclass(frozen=True, slots=True)
class CacheTags(Option):
    """Tag the result, so that `POST /purge` and CDNs can drop it together with others of the tag.

    Percent-encoded; printable ASCII without spaces, commas and quotes. At most 16 tags of 128 characters. Tags add up
    with those of presets.
    """

    tags: tuple[str, ...] = arg(Text(), (), "The tags.")

    spellings = (Spelling(("cache_tags", "ct"), ("tags",)),)
    examples = ("ct:shop:summer",)
    effect = "delivery"

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:  # noqa: ARG003 - one spelling
        tags = sorted({percent_decoded(text) for text in texts if text})
        for tag in tags:
            # What every CDN's header takes: a tag that one of them would cut in two could never be purged.
            if len(tag) > _LONGEST or not tag.isascii() or not tag.isprintable() or set(tag) & set(" ,\"'\\"):
                raise BadOption(f"expected words of at most {_LONGEST} printable characters, got {tag[:40]!r}")
        if len(tags) > _MOST:
            raise BadOption(f"expected at most {_MOST} tags, got {len(tags)}")
        return Setting(cls, (("tags", tuple(tags)),))

    def merge(self, setting: Setting) -> Self:
        return type(self)(tuple(sorted({*self.tags, *dict(setting.values)["tags"]})))

    def write(self) -> Iterator[str]:
        if self.tags:
            yield ":".join(("ct", *map(Text().write, self.tags)))
