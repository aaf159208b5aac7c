"""What a URL can ask for, one file each. ``OPTIONS`` is their list, in the order of the pipeline."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar, cast

from imgproxy.errors import BadOption
from imgproxy.options.auto_rotate import AutoRotate
from imgproxy.options.background import Background
from imgproxy.options.base import Option, Setting, Spelling
from imgproxy.options.blur import Blur
from imgproxy.options.cache_tags import CacheTags
from imgproxy.options.cachebuster import Cachebuster
from imgproxy.options.crop import Crop
from imgproxy.options.dpr import Dpr
from imgproxy.options.enforce_thumbnail import EnforceThumbnail
from imgproxy.options.expires import Expires
from imgproxy.options.extend import Extend
from imgproxy.options.extend_aspect_ratio import ExtendAspectRatio
from imgproxy.options.filename import Filename
from imgproxy.options.flip import Flip
from imgproxy.options.format import ResultFormat
from imgproxy.options.format_quality import FormatQuality
from imgproxy.options.gravity import Gravity
from imgproxy.options.keep_copyright import KeepCopyright
from imgproxy.options.limits import SecurityLimits
from imgproxy.options.max_bytes import MaxBytes
from imgproxy.options.min_size import MinSize
from imgproxy.options.padding import Padding
from imgproxy.options.pixelate import Pixelate
from imgproxy.options.placeholder import Placeholder
from imgproxy.options.preserve_hdr import PreserveHdr
from imgproxy.options.preset import Preset
from imgproxy.options.quality import Quality
from imgproxy.options.quality_profile import QualityProfile
from imgproxy.options.raw import Raw
from imgproxy.options.resize import Resize
from imgproxy.options.return_attachment import ReturnAttachment
from imgproxy.options.rotate import Rotate
from imgproxy.options.sharpen import Sharpen
from imgproxy.options.skip_processing import SkipProcessing
from imgproxy.options.strip_color_profile import StripColorProfile
from imgproxy.options.strip_metadata import StripMetadata
from imgproxy.options.trim import Trim
from imgproxy.options.watermark import Watermark
from imgproxy.options.zoom import Zoom

OPTIONS: tuple[type[Option], ...] = (
    # before pixels
    Preset,
    SecurityLimits,
    Raw,
    SkipProcessing,
    EnforceThumbnail,
    QualityProfile,
    # the pipeline, in its order
    Trim,
    Crop,
    Gravity,
    Resize,
    MinSize,
    Zoom,
    Dpr,
    AutoRotate,
    Rotate,
    Flip,
    Blur,
    Sharpen,
    Pixelate,
    Extend,
    ExtendAspectRatio,
    Padding,
    Background,
    Watermark,
    StripColorProfile,
    PreserveHdr,
    StripMetadata,
    KeepCopyright,
    # the encoder
    Placeholder,
    ResultFormat,
    Quality,
    FormatQuality,
    MaxBytes,
    # the answer
    Cachebuster,
    Expires,
    Filename,
    ReturnAttachment,
    CacheTags,
)

EFFECTS = (Blur, Sharpen, Pixelate)
"""The options that change a finished frame, in the order they do it."""

_SPELLINGS: dict[str, tuple[type[Option], Spelling]] = {
    name: (option, spelling) for option in OPTIONS for spelling in option.spellings for name in spelling.names
}
LONG_NAMES = tuple(spelling.names[0] for option in OPTIONS for spelling in option.spellings)
"""Each spelling's first name."""

_PLACES: dict[type[Option], int] = {option: place for place, option in enumerate(OPTIONS)}

O = TypeVar("O", bound=Option)  # noqa: E741 - it is an option


def meant(given: str, known: Iterable[str]) -> str:
    """A question to be put behind what is wrong with a name: whether a similar one was meant; empty without one."""
    close = difflib.get_close_matches(given, list(known), n=1)
    return f", did you mean {str(close[0])!r}?" if close else ""


def spelling_of(name: str) -> tuple[type[Option], Spelling]:
    """The option of a name, and the spelling that it has there. Raises ``BadOption``."""
    if name not in _SPELLINGS:
        raise BadOption(f"unknown option {name!r}{meant(name, _SPELLINGS)}")
    return _SPELLINGS[name]


def spelled(name: str) -> frozenset[tuple[type[Option], str]]:
    """The fields, each with its option, that a name can set. Raises ``BadOption``."""
    option, spelling = spelling_of(name)
    further = spelled(spelling.rest) if spelling.rest else frozenset[tuple[type[Option], str]]()
    return frozenset((option, field) for field in spelling.fields) | further


def read_segment(name: str, texts: Sequence[str]) -> tuple[Setting, ...]:
    """The settings that ``name:text:text…`` makes: one, or two where a size goes on with ``extend``.

    Raises ``BadOption``.
    """
    option, spelling = spelling_of(name)
    cut = len(spelling.fields) if spelling.rest else len(texts)
    own, rest = texts[:cut], texts[cut:]
    try:
        setting = option.read(spelling, own)
    except BadOption as error:
        raise BadOption(f"{name}: {error}") from None
    # imgproxy: where extend is left empty, an earlier one is left alone, and what follows is not looked at.
    return setting, *(read_segment(spelling.rest, rest) if rest and rest[0] else ())


@cache
def _default(kind: type[O]) -> O:
    return kind()


@dataclass(frozen=True, slots=True, repr=False)
class Options:
    """A set of options: those that ask for something, in the order of ``OPTIONS``; the others have their defaults."""

    asked: tuple[Option, ...] = ()

    @classmethod
    def of(cls, *options: Option) -> Options:
        """These options and no others."""
        asked = sorted((each for each in options if each != type(each)()), key=lambda each: _PLACES[type(each)])
        return cls(tuple(asked))

    def __getitem__(self, kind: type[O]) -> O:
        for each in self.asked:
            if type(each) is kind:
                return cast("O", each)
        return _default(kind)

    def merge(self, settings: Iterable[Setting]) -> Options:
        """These options after further settings, one after another."""
        options = {type(each): each for each in self.asked}
        for setting in settings:
            options[setting.option] = options.get(setting.option, setting.option()).merge(setting)
        return Options.of(*options.values())

    def without(self, *kinds: type[Option]) -> Options:
        """These options less those of some kinds."""
        return Options(tuple(each for each in self.asked if type(each) not in kinds))

    def segments(self) -> Iterator[str]:
        for option in self.asked:
            yield from option.write()

    def __str__(self) -> str:
        """The canonical spelling: ``rs:fill:300:200/g:no``. Equal options, equal text, and the other way round."""
        return "/".join(self.segments())

    __repr__ = __str__
