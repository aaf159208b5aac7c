"""Which part of a URL an error is about, and what was most likely meant. Pure.

Found out by trying: a part is at fault if without it the error is another one, or none; and what is proposed has been
read and planned. For people who look at one URL, not for requests.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from imgproxy.errors import (
    BadSignature,
    ExpiredUrl,
    ImageError,
    MissingSignature,
    OptionForbidden,
    SourceError,
    SourceForbidden,
    UnknownPreset,
)
from imgproxy.formats import BY_NAME
from imgproxy.missigned import cause
from imgproxy.model import Client
from imgproxy.options import OPTIONS, Expires, Preset, Resize, spelling_of
from imgproxy.options.values import Choice, FormatName

if TYPE_CHECKING:
    from imgproxy.dialects.imgproxy import Dialect
    from imgproxy.options.base import Option
    from imgproxy.presets import Presets
    from imgproxy.readings import Rules

_NAMES = [name for option in OPTIONS for spelling in option.spellings for name in spelling.names]
_MOST_SEGMENTS = 64
"""Of a URL that is looked into."""
_MOST_STEPS = 5
"""Mistakes in one URL that are corrected."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What there is to say about a URL that failed."""

    fault: tuple[int, int] = (0, 0)
    """Where the faulty part begins and ends in the target; empty if it is no part of it."""
    cause: str = ""
    """Why, if that is more than the error itself says."""
    meant: tuple[str, ...] = ()
    """What was most likely meant: "resizing_type"; nothing if that is not certain."""
    path: str = ""
    """The path after the signature as it would be good; empty if nobody knows."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a path: an option segment, or one word of it; the source is segment -1."""

    segment: int
    word: int | None = None


_SOURCE = _Part(-1)


def diagnose(dialect: Dialect, rules: Rules, target: str, error: ImageError, host: str = "") -> Diagnosis:
    """What is wrong with a target (as the service gets it), given its error, and what would be right.

    ``host``: what it was asked with, "images.example.com", for URLs that were signed whole.
    """
    prefix, raw = dialect.prefix, target.partition("?")[0]
    signature, _, rest = raw.removeprefix(prefix).partition("/")
    if not raw.startswith(prefix) or not rest or rest.count("/") > _MOST_SEGMENTS:
        return Diagnosis()
    if isinstance(error, MissingSignature):
        # What stands there is an option.
        url = _Url(dialect, rules, dialect.split(f"{prefix}unsafe/{signature}/{rest}").path)
        return Diagnosis((len(prefix), len(prefix) + len(signature)), "", *url.corrected())
    path = dialect.split(target).path
    url = _Url(dialect, rules, path)
    if isinstance(error, BadSignature):
        why = cause(rules.signer, target, signature, path, prefix=prefix.rstrip("/"), host=host)
        return Diagnosis((len(prefix), len(prefix) + len(signature)), why, *url.corrected())
    begin, part = len(prefix) + len(signature) + 1, url.part(error)
    low, high = url.place(part, rest) if part else (-begin, -begin)
    meant, better = url.corrected() if url.fault is not None else ((), "")
    return Diagnosis((begin + low, begin + high), "", meant, better)


class _Url:
    """A path after its signature, which can be tried with other parts."""

    def __init__(self, dialect: Dialect, rules: Rules, path: str) -> None:
        self._dialect = dialect
        self._rules = rules
        self._path = path
        self._options, self._source = dialect.cut(path)
        self.fault = self._try(self._options, self._source)
        """What is wrong with it, before any source is fetched."""

    def part(self, error: ImageError) -> _Part | None:
        """The part that an error is about."""
        if isinstance(error, ExpiredUrl):
            return next((_Part(place) for place in self._places(Expires)), None)
        if isinstance(error, SourceError | SourceForbidden):
            return _SOURCE
        # What was read and planned failed later, by no part of the URL.
        return self._culprit(self.fault) if self.fault else None

    def corrected(self) -> tuple[tuple[str, ...], str]:
        """What was meant by the parts at fault, and the path with it; nothing if some part defies a guess."""
        url, meant = self, list[str]()
        while url.fault is not None and len(meant) < _MOST_STEPS:
            better = next(url._better(url._culprit(url.fault), url.fault), None)
            if better is None:
                break
            meant.append(better[0])
            url = _Url(self._dialect, self._rules, better[1])
        return (tuple(meant), url._path) if url.fault is None else ((), "")

    def place(self, part: _Part, sent: str) -> tuple[int, int]:
        """Where a part begins and ends in the path as it was sent, in which ``%3A`` may stand for ":"."""
        segments = sent.split("/")
        if part is _SOURCE:
            start = sum(len(each) + 1 for each in segments[: len(self._options)])
            _, mark, extension = self._extended
            # Without what stands behind its last @ it would be good.
            blamed = self.fault is not None and mark and self._ends(self._options, self._extended[0], self.fault)
            return len(sent) - len(extension) if blamed else start, len(sent)
        start = sum(len(each) + 1 for each in segments[: part.segment])
        if part.word is None:
            return start, start + len(segments[part.segment])
        ends = "|".join((re.escape(self._dialect.separator), *(["%3A"] if self._dialect.separator == ":" else [])))
        words = re.split(f"({ends})", segments[part.segment])
        start += sum(map(len, words[: 2 * part.word]))
        return start, start + len(words[2 * part.word])

    def _try(self, options: list[str], source: str) -> ImageError | None:
        try:
            self._rules.planner.plan(self._dialect.read(_path(options, source)), Client())
        except ImageError as error:
            return error
        return None

    def _ends(self, options: list[str], source: str, fault: ImageError) -> bool:
        """Whether the fault is gone with these parts."""
        other = self._try(options, source)
        return other is None or (type(other), str(other)) != (type(fault), str(fault))

    def _culprit(self, fault: ImageError) -> _Part:
        named = [*self._places(Preset)]
        # Where a preset forbids an option, the option is at fault.
        for place in sorted(range(len(self._options)), key=lambda place: (place in named, place)):
            if self._ends(self._options[:place] + self._options[place + 1 :], self._source, fault):
                return self._word(place, fault)
        # The same mistake stands there twice, or it is none of the options.
        for place in range(len(self._options)):
            if self._ends([], self._source, fault) and not self._ends(self._options[: place + 1], self._source, fault):
                return self._word(place, fault)
        return _SOURCE

    def _word(self, segment: int, fault: ImageError) -> _Part:
        words = self._words(segment)
        if self._name(segment) not in _NAMES:
            return _Part(segment, 0)
        for place in range(self._first, len(words)):
            if isinstance(fault, UnknownPreset):
                at_fault = words[place] not in self._presets
            elif isinstance(fault, OptionForbidden) and not self._widens(segment, place):
                # It is the option that is not allowed, whatever it says.
                break
            else:
                at_fault = self._ends(self._with(segment, place, ""), self._source, fault)
            if words[place] and at_fault:
                return _Part(segment, place)
        return _Part(segment)

    def _widens(self, segment: int, word: int) -> bool:
        """Whether a word is the width, which may be another one."""
        option, spelling = spelling_of(self._name(segment))
        place = word - self._first
        return option is Resize and place < len(spelling.fields) and spelling.fields[place] == "width"

    @property
    def _presets(self) -> Presets:
        return self._rules.planner.presets

    @property
    def _first(self) -> int:
        """The first word of a segment that is an argument."""
        return 0 if self._dialect.only_presets else 1

    def _words(self, segment: int) -> list[str]:
        return self._options[segment].split(self._dialect.separator)

    def _name(self, segment: int) -> str:
        return "preset" if self._dialect.only_presets else self._words(segment)[0]

    def _places(self, option: type[Option]) -> Iterator[int]:
        """The segments of an option, the last one first: it is the one that counts."""
        for place in reversed(range(len(self._options))):
            if (name := self._name(place)) in _NAMES and spelling_of(name)[0] is option:
                yield place

    def _with(self, segment: int, word: int, text: str) -> list[str]:
        words = self._words(segment)
        words[word] = text
        return [*self._options[:segment], self._dialect.separator.join(words), *self._options[segment + 1 :]]

    @property
    def _extended(self) -> tuple[str, str, str]:
        """The source, what stands before its extension, and that."""
        return self._source.rpartition("@" if self._source.startswith("plain/") else ".")

    def _better(self, part: _Part, fault: ImageError) -> Iterator[tuple[str, str]]:
        """What may stand in the place of a part, and the path with it, where that is better."""
        if part is _SOURCE:
            source, mark, extension = self._extended
            tries = [(word, self._options, f"{source}{mark}{word}") for word in _close(extension, BY_NAME) if mark]
        else:
            words = self._candidates(part, fault) if part.word is not None else ()
            tries = [(word, self._with(part.segment, part.word or 0, word), self._source) for word in words]
        for word, options, source in tries:
            if self._ends(options, source, fault):
                yield word, _path(options, source)

    def _candidates(self, part: _Part, fault: ImageError) -> Iterable[str]:
        given, argument = self._words(part.segment)[part.word or 0], (part.word or 0) - self._first
        if argument < 0:
            return _close(given, _NAMES)
        if isinstance(fault, UnknownPreset):
            return _close(given, self._presets.names)
        option, spelling = spelling_of(self._name(part.segment))
        name = spelling.fields[argument] if argument < len(spelling.fields) else ""
        kind = option.arguments()[name].kind if name else None
        if isinstance(fault, OptionForbidden):
            return self._widths(given) if (option, name) == (Resize, "width") else ()
        if isinstance(kind, Choice):
            return _close(given, map(str, cast("Choice[Any]", kind).words))
        return _close(given, BY_NAME) if isinstance(kind, FormatName) else ()

    def _widths(self, given: str) -> list[str]:
        """The widths that the URL's presets have, the nearest first; of two as near, the wider one."""
        names = {name for place in self._places(Preset) for name in self._words(place)[self._first :]}
        widths = {width for name in names if name in self._presets for width in self._presets.widths(name)}
        return [str(width) for width in sorted(widths, key=lambda width: (abs(width - int(given)), -width))]


def _path(options: list[str], source: str) -> str:
    return "/" + "/".join([*options, source])


def _close(given: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(given, list(known), n=1)
