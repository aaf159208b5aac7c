"""Options as a form has them: the table that a page makes its controls of, and the values of a URL in its terms.

A value is what a preset file would say: ``{"resize": {"type": "fill", "width": 300}, "quality": 75}``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from imgproxy.formats import FORMATS, Format
from imgproxy.geometry import Anchor
from imgproxy.options import EFFECTS, OPTIONS, FormatQuality, Options, Preset, Watermark, read_segment
from imgproxy.options.background import Background
from imgproxy.options.base import Argument, Kind, Option, Setting, Spelling
from imgproxy.options.values import OFFSET, UNBOUNDED, Angle, Bool, Choice, Color, FormatName, Number, Rgb, Whole
from imgproxy.presets.typed import read_typed

Values = Mapping[str, object]

GROUPS = ("Size and crop", "Orientation", "Look", "Format and quality", "Metadata and colour", "Delivery", "Special")
_PLACES = {
    "resize gravity crop trim min_size zoom dpr extend extend_aspect_ratio padding": GROUPS[0],
    "auto_rotate rotate flip": GROUPS[1],
    "blur sharpen pixelate background watermark": GROUPS[2],
    "format quality format_quality max_bytes quality_profile": GROUPS[3],
    "strip_metadata keep_copyright strip_color_profile preserve_hdr": GROUPS[4],
    "cachebuster": GROUPS[5],
}
_BY_EFFECT = {"pixels": GROUPS[2], "encoding": GROUPS[3], "request": GROUPS[6], "delivery": GROUPS[5]}
_SLIDER_ENDS = 5000
"""What reaches further is typed in, not slid to."""

_HERE = {name: group for names, group in _PLACES.items() for name in names.split()}
_ORDER = {name: place for place, name in enumerate(_HERE)}


@dataclass(frozen=True, slots=True)
class Control:
    """One option, or that part of one which a spelling of its own says."""

    option: type[Option]
    spelling: Spelling

    @property
    def name(self) -> str:
        return self.spelling.names[0]

    @property
    def arguments(self) -> list[Argument]:
        known = self.option.arguments()
        return [known[field] for field in self.spelling.fields]

    @property
    def group(self) -> str:
        """A new option has one too, by what it changes."""
        return _HERE.get(self.module, _BY_EFFECT[self.option.effect])

    @property
    def module(self) -> str:
        return self.option.__module__.rpartition(".")[2]

    @property
    def place(self) -> tuple[int, int]:
        """Groups in their order; within one, what most people want first, and then the rest."""
        return GROUPS.index(self.group), _ORDER.get(self.module, len(_ORDER))


def _controls() -> Iterator[Control]:
    for option in OPTIONS:
        first = option.spellings[0]
        whole = {*first.fields} >= option.arguments().keys()
        yield from (Control(option, spelling) for spelling in ([first] if whole else option.spellings))


CONTROLS = tuple(_controls())
"""One for each option; several where no spelling says all of it."""

_OWN: dict[tuple[type[Option], str], Control] = {
    (control.option, field): control for control in CONTROLS for field in control.spelling.fields
}


def table() -> list[dict[str, object]]:
    """The controls in their order, for JSON. Presets are chosen from a list of their own."""
    shown = (control for control in CONTROLS if control.option is not Preset)
    return [_row(control) for control in sorted(shown, key=lambda each: each.place)]


def _row(control: Control) -> dict[str, object]:
    arguments = control.arguments
    return {
        "name": control.name,
        "short": min(control.spelling.names, key=len),
        "group": control.group,
        "help": " ".join((control.option.__doc__ or "").split()),
        "lone": len(arguments) == 1,
        "fields": [_field(control, argument) for argument in arguments],
    }


def _field(control: Control, argument: Argument) -> dict[str, object]:
    listed = isinstance(argument.default, tuple)
    return {
        "key": argument.key,
        "meaning": argument.meaning,
        "default": None if listed else as_value(argument.kind, argument.default),
        "pairs": control.option is FormatQuality,
        "list": listed,
        **_kind(argument.kind),
        **_reach(control.option, argument),
    }


def _kind(kind: Kind) -> dict[str, object]:
    match kind:
        case Bool():
            return {"kind": "bool"}
        case Angle():
            return {"kind": "choice", "choices": [[angle, f"{angle}°"] for angle in (0, 90, 180, 270)]}
        case Whole():
            high = kind.high if kind.high < UNBOUNDED else None
            return {"kind": "number", "step": 1, "low": kind.low, "high": high, "unit": kind.unit}
        case Number():
            low = kind.low if kind.low > float("-inf") else None
            high = kind.high if kind.high < float("inf") else None
            return {"kind": "number", "step": 0.01, "low": low, "high": high, "unit": kind.unit}
        case Choice():
            return {
                "kind": "choice",
                "choices": [[str(word), _label(word)] for word in cast("Choice[Any]", kind).words],
            }
        case FormatName():
            return {"kind": "choice", "choices": [[each.name, each.name] for each in FORMATS if each.writable]}
        case Color():
            return {"kind": "color"}
        case _:
            return {"kind": "text"}


def _label(word: object) -> str:
    return word.name.lower().replace("_", " ") if isinstance(word, Anchor) else str(word).replace("-", " ")


def _reach(option: type[Option], argument: Argument) -> dict[str, object]:
    """How far a slider goes: to the end of the range, or to twice what the option's examples show."""
    kind = argument.kind
    if not isinstance(kind, Whole | Number) or kind == OFFSET:
        return {}  # offsets are pixels or shares, by their size
    if kind.high <= _SLIDER_ENDS:
        return {"reach": kind.high}
    # Fields of one kind go together: the four sides of a padding.
    alike = {name for name, each in option.arguments().items() if each.kind == kind}
    shown = [abs(value) for value in _shown(option, alike)]
    reach = 2 * max(shown, default=0)
    return {"reach": reach} if 0 < reach <= _SLIDER_ENDS else {}


def _shown(option: type[Option], fields: Collection[str]) -> Iterator[float]:
    """The values of these fields in the option's examples."""
    for example in option.examples:
        for segment in example.split("/"):
            name, *texts = segment.split(":")
            for setting in read_segment(name, texts):
                if setting.option is option:
                    yield from (value for name, value in setting.values if name in fields and value is not None)


def as_value(kind: Kind, value: Any) -> object:  # noqa: ANN401 - a kind knows its own values
    """An argument as JSON: what ``settings_of`` reads as this argument."""
    match value:
        case Format():
            return value.name
        case tuple() if isinstance(kind, Color):
            return f"#{kind.write(cast('Rgb', value))}"
        case tuple():
            return list(cast("tuple[object, ...]", value))
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def settings_of(values: Values) -> tuple[Setting, ...]:
    """The settings that a form asks for, presets first. Raises ``BadOption``, which names the control."""
    settings: list[Setting] = []
    known = {control.name: control for control in CONTROLS}
    for name in sorted(values, key=lambda each: list(known).index(each) if each in known else -1):
        value = values[name]
        if name == Preset.spellings[0].names[0]:
            names = cast("list[object]", value) if isinstance(value, list) else [value]
            if names:
                settings.append(Setting(Preset, (("names", tuple(map(str, names))),)))
            continue
        if isinstance(value, dict):
            given = {key: each for key, each in cast("dict[str, object]", value).items() if each is not None}
            value = _with_anchor(known.get(name), given)
        if value not in (None, {}, []):
            settings += read_typed(name, value)
    return tuple(settings)


def _with_anchor(control: Control | None, given: dict[str, object]) -> dict[str, object]:
    """Offsets need a side to be off from, and the smart crop takes none."""
    named = control and next((each for each in control.arguments if each.name == "anchor"), None)
    if not named or not given.keys() & {named.key, "x", "y"}:
        return given
    anchor = given.get(named.key, Anchor.CENTER.value)
    kept = {key: each for key, each in given.items() if anchor != Anchor.SMART.value or key not in {"x", "y"}}
    if anchor == Anchor.FOCUS.value:
        kept = {"x": 0.5, "y": 0.5} | kept
    return kept | {named.key: anchor}


def values_of(settings: Iterable[Setting]) -> dict[str, object]:
    """What a form shows for these settings: for each field the last one wins."""
    values: dict[str, object] = {}
    for setting in settings:
        for field, value in setting.values:
            control = _OWN[setting.option, field]
            argument = setting.option.arguments()[field]
            told = dict(value) if setting.option is FormatQuality else as_value(argument.kind, value)
            if len(control.spelling.fields) > 1:
                fields = cast("dict[str, object]", values.setdefault(control.name, {}))
                fields[argument.key] = told
                if told is None:
                    del fields[argument.key]
            elif isinstance(told, dict):
                values[control.name] = cast("dict[str, object]", values.get(control.name, {})) | told
            elif isinstance(told, list):
                before = cast("list[object]", values.get(control.name, []))
                values[control.name] = [*before, *(each for each in cast("list[object]", told) if each not in before)]
            else:
                values[control.name] = told
    return {name: value for name, value in values.items() if value not in (None, {}, [])}


def segments_of(settings: Iterable[Setting]) -> Iterator[str]:
    """URL segments that say these settings, and no field more: what a preset says beside them stays."""
    for setting in settings:
        values = dict(setting.values)
        if values.get("anchor") is Anchor.SMART:
            values = {"anchor": Anchor.SMART}  # which takes no offsets
        if any(isinstance(value, tuple) for value in values.values()) and len(setting.option.arguments()) == 1:
            yield from setting.option().merge(setting).write()
            continue
        spelling = min(
            (each for each in setting.option.spellings if values.keys() <= {*each.fields}), key=lambda s: len(s.fields)
        )
        arguments = setting.option.arguments()
        texts = [
            "" if values.get(field) is None else arguments[field].kind.write(values[field]) for field in spelling.fields
        ]
        while len(texts) > 1 and not texts[-1]:
            texts.pop()
        yield ":".join((min(spelling.names, key=len), *texts))


_PICTURE_ONLY = (*EFFECTS, Background, Watermark)


def untouched(options: Options) -> Options:
    """The options that decide which part of a source is shown how large: what a result can be laid over."""
    shape = [each for each in options.asked if each.effect == "pixels" and _shapes(each)]
    return Options.of(*shape)


def _shapes(option: Option) -> bool:
    module = type(option).__module__.rpartition(".")[2]
    return not isinstance(option, _PICTURE_ONLY) and _HERE.get(module) in {GROUPS[0], GROUPS[1]}


def told(segment: str) -> str:
    """A segment in words: ``type fill · width 300 px``. ``segment`` is one that is good."""
    name, *texts = segment.split(":")
    parts: list[str] = []
    for setting in read_segment(name, texts):
        arguments = setting.option.arguments()
        smart = dict(setting.values).get("anchor") is Anchor.SMART
        for field, value in setting.values:
            if smart and field in {"x", "y"}:
                continue
            unit = getattr(arguments[field].kind, "unit", "")
            parts.append(f"{arguments[field].key} {_words(arguments[field].kind, value)}{unit and ' ' + unit}")
    return " · ".join(parts)


def _words(kind: Kind, value: Any) -> str:  # noqa: ANN401 - a kind knows its own values
    if isinstance(value, Anchor):
        return _label(value)
    if isinstance(value, tuple) and not isinstance(kind, Color):
        return re.sub(r"[()']", "", str(cast("object", value))).rstrip(",")
    return "on" if value is True else "off" if value is False else str(as_value(kind, value))
