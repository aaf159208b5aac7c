"""What an option is: a frozen record that knows how it is spelled in a URL.

Parser, canonical form, documentation page and golden tests are derived from the class; nothing else in the
project lists an option's names or arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast

from imgproxy.errors import BadOption

if TYPE_CHECKING:
    import pyvips


class Kind(Protocol):
    """A kind of argument: parses and writes it."""

    @property
    def expects(self) -> str:
        """What a good argument is, for error messages and the documentation ("0 to 100")."""
        ...

    def parse(self, text: str) -> object:
        """The value; raises ``BadOption`` that says what was expected."""
        ...

    def write(self, value: Any) -> str:  # noqa: ANN401 - a kind knows its own values
        """The shortest text that parses to the value."""
        ...


@dataclass(frozen=True, slots=True)
class Argument:
    """One field of an option as the documentation shows it."""

    name: str
    kind: Kind
    default: object
    meaning: str
    key: str
    """Its name in preset files."""


def arg(kind: Kind, default: Any, meaning: str, key: str = "") -> Any:  # noqa: ANN401 - typed by the field
    """A dataclass field that is an argument of the option; ``key`` is its name in preset files, if not the field's."""
    return field(default=default, metadata={"kind": kind, "meaning": meaning, "key": key})


@dataclass(frozen=True, slots=True)
class Spelling:
    """A name (long first, then short ones) and the fields that its arguments set, in order."""

    names: tuple[str, ...]
    fields: tuple[str, ...]
    rest: str = ""
    """The option that further arguments belong to (``rs:fit:300:200:0:1:no`` continues with ``extend:1:no``)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One option segment, read: which fields of which option it sets, and to what."""

    option: type[Option]
    values: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Option:
    """Base of all options. A subclass's fields are its arguments, its defaults mean "not asked for"."""

    spellings: ClassVar[tuple[Spelling, ...]] = ()
    """The canonical one first."""
    examples: ClassVar[tuple[str, ...]] = ()
    """Segments that show the option; each has a golden picture, unless the option changes no pixel."""
    effect: ClassVar[str] = "pixels"
    """"pixels"; "encoding" (bytes only); "request" (neither); "delivery" (not even part of the key)."""

    @classmethod
    @cache
    def arguments(cls) -> Mapping[str, Argument]:
        """The fields in order of declaration."""
        return {
            each.name: Argument(
                each.name,
                each.metadata["kind"],
                each.default,
                each.metadata["meaning"],
                each.metadata["key"] or each.name,
            )
            for each in fields(cls)
            if each.default is not MISSING
        }

    @classmethod
    def read(cls, spelling: Spelling, texts: Sequence[str]) -> Setting:
        """The setting that a segment's arguments say; empty arguments are skipped.

        A lone empty argument is parsed, so that ``el:`` is false as in imgproxy (Go's empty bool). Raises
        ``BadOption``, without the option's name: ``read_segment`` puts that in front.
        """
        arguments = cls.arguments()
        kinds = [arguments[name].kind for name in spelling.fields]
        if len(texts) > len(kinds):
            raise BadOption(f"expected at most {len(kinds)} arguments, got {len(texts)}")
        values = tuple(
            (name, _parse(spelling, name, kind, text))
            for name, kind, text in zip(spelling.fields, kinds, texts, strict=False)
            if text or (getattr(kind, "reads_empty", False) and len(texts) == 1)
        )
        return Setting(cls, values)

    def merge(self, setting: Setting) -> Self:
        """The option after a further setting: later ones win, field by field."""
        return replace(self, **dict(setting.values)) if setting.values else self

    def write(self) -> Iterator[str]:
        """The canonical segments: none when nothing is asked for."""
        changed = {name for name, argument in self.arguments().items() if getattr(self, name) != argument.default}
        # One segment if the first spelling can say it all, else one for each spelling that is needed.
        one = changed <= set(self.spellings[0].fields)
        for spelling in self.spellings[:1] if one else self.spellings:
            if changed & set(spelling.fields):
                yield self._segment(spelling)

    def _keeps_defaults(self) -> bool:
        """Whether defaults at the end are written too, because leaving them out would say something else."""
        return False

    def _segment(self, spelling: Spelling) -> str:
        """The spelling with this option's values; defaults at the end are left out, None is empty."""
        arguments = self.arguments()
        values = [getattr(self, name) for name in spelling.fields]
        while not self._keeps_defaults() and values[-1] == arguments[spelling.fields[len(values) - 1]].default:
            values.pop()
        texts = (
            "" if value is None else arguments[name].kind.write(value)
            for name, value in zip(spelling.fields, values, strict=False)
        )
        return ":".join((min(spelling.names, key=len), *texts))


class Effect(Protocol):
    """An option that changes the finished frame on its own: no geometry, no other picture."""

    def apply(self, image: pyvips.Image) -> pyvips.Image:
        """The changed frame. In and out: sRGB or grey; alpha, if any, premultiplied."""
        ...


def _parse(spelling: Spelling, name: str, kind: Kind, text: str) -> object:
    if len(spelling.fields) == 1:
        return kind.parse(text)
    try:
        return kind.parse(text)
    except BadOption as error:
        raise BadOption(f"{name.replace('_', ' ')}: {error}") from None


def as_effect(option: Option) -> Effect:
    """The option as the effect that it is."""
    return cast("Effect", option)
