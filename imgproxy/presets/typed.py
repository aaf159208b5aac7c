"""Options as preset files write them: ``resize = { type = "fit", width = 320 }``, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from imgproxy.errors import BadOption
from imgproxy.formats import BY_NAME, Format
from imgproxy.geometry import Anchor
from imgproxy.options import Background, FormatQuality, Preset, Quality, ResultFormat, meant, read_segment, spelling_of
from imgproxy.options.base import Argument, Kind, Option, Setting, Spelling
from imgproxy.options.values import Angle, Bool, Choice, Color, FormatName, Number, Rgb, Text, Whole

WORDS = {anchor.name.lower().replace("_", "-"): anchor.value for anchor in Anchor}
"""What gravities may also be called: "north-east" for "noea"."""

CHANNEL = Whole(0, 255)
"""Red, green and blue of a colour that is written as a list."""

AUTO = "auto"
"""The format that Accept, source and settings choose."""


def read_typed(name: str, value: object) -> tuple[Setting, ...]:
    """The settings of ``name = value``, as TOML has the value. Raises ``BadOption``."""
    option, spelling = spelling_of(name)
    if option is Preset:
        raise BadOption(f'{name}: presets are used by "extends"')
    if name != spelling.names[0]:
        raise BadOption(f"{name}: write {spelling.names[0]!r}, the option's long name")
    if isinstance(value, dict) and option in {Quality, FormatQuality}:
        return _qualities(name, cast("Mapping[str, object]", value))
    if option is ResultFormat and value == AUTO:
        return (Setting(ResultFormat, (("format", None),)),)
    if option is Background and value == "":
        return (Setting(Background, (("color", None),)),)
    return read_segment(name, _texts(name, option, spelling, cast("object", value)))


def _qualities(name: str, qualities: Mapping[str, object]) -> tuple[Setting, ...]:
    texts: list[str] = []
    for each, quality in qualities.items():
        try:
            FormatName().parse(each)
        except BadOption as error:
            raise BadOption(f"{name}.{each}: {error}{meant(each, BY_NAME)}") from None
        texts += (each, _argument(f"{name}.{each}", Whole(0, 100), quality))
    return read_segment("format_quality", texts)


def _texts(name: str, option: type[Option], spelling: Spelling, value: object) -> Sequence[str]:
    """The arguments as a URL would have them."""
    arguments = [option.arguments()[field] for field in spelling.fields]
    if isinstance(value, dict):
        return _named(name, arguments, cast("Mapping[str, object]", value))
    if isinstance(value, list) and (kinds := listed(arguments)):
        values = cast("list[object]", value)
        if not values:
            raise BadOption(f"{name}: the list is empty")
        if isinstance(arguments[0].default, tuple):
            kinds = [*kinds] * len(values)
        few = len(arguments) == 1 and len(values) < len(kinds)
        if few or len(values) > len(kinds):
            raise BadOption(f"{name}: expected {'' if few else 'at most '}{len(kinds)} values, got {len(values)}")
        return [_argument(name, kind, each) for kind, each in zip(kinds, values, strict=False)]
    return [_argument(name, arguments[0].kind, cast("object", value))]


def listed(arguments: Sequence[Argument]) -> Sequence[Kind]:
    """The kinds of a list's values in their order: one for all of them where a field takes many; none for no list."""
    kinds = [each.kind for each in arguments]
    if len(arguments) > 1 or isinstance(arguments[0].default, tuple):
        return kinds
    return [CHANNEL] * 3 if isinstance(kinds[0], Color) else []


def _named(name: str, arguments: Sequence[Argument], values: Mapping[str, object]) -> Sequence[str]:
    known = {each.key: each for each in arguments}
    for key in values:
        if key not in known:
            instead = meant(key, known) or f"; it has {', '.join(known)}"
            raise BadOption(f"{name}.{key}: {name} has no {key!r}{instead}")
    texts = [
        _argument(f"{name}.{each.key}", each.kind, values[each.key]) if each.key in values else "" for each in arguments
    ]
    while texts and not texts[-1]:
        texts.pop()
    if not texts:
        raise BadOption(f"{name}: the table is empty")
    return texts


def _argument(where: str, kind: Kind, value: object) -> str:
    """The text of one argument. Raises ``BadOption``: the kind's own complaint, at the right place."""
    try:
        text = _text(kind, value)
        kind.parse(text)
    except BadOption as error:
        raise BadOption(f"{where}: {error}{meant(str(value), _words(kind))}") from None
    return text


def _words(kind: Kind) -> Iterable[str]:
    """What a kind takes, if it is a list of words."""
    match kind:
        case Choice():
            words = [str(each) for each in cast("Choice[Any]", kind).words]
            return [*WORDS, *words] if _is_anchor(cast("Choice[Any]", kind)) else words
        case FormatName():
            return BY_NAME
        case _:
            return ()


def _text(kind: Kind, value: object) -> str:
    match kind, value:
        case Bool(), bool():
            return "1" if value else "0"
        case ((Whole() | Angle()), int()) if not isinstance(value, bool):
            return str(value)
        case Number(), (int() | float()) if not isinstance(value, bool):
            return repr(value)
        case Color(), str():
            return value.removeprefix("#")
        case Text(), str():
            return quote(value, safe="")
        case ((Choice() | FormatName()), str()):
            return WORDS.get(value, value) if isinstance(kind, Choice) and _is_anchor(kind) else value
        case _:
            expects = "true or false" if isinstance(kind, Bool) else kind.expects
            raise BadOption(f"expected {expects}, got {as_toml(value)}")


def _is_anchor(kind: Choice[Any]) -> bool:
    return isinstance(kind.words[0], Anchor)


def as_toml(value: object) -> str:
    """A value as it would stand in a TOML file."""
    if isinstance(value, dict):
        pairs = cast("Mapping[str, object]", value).items()
        return "{ " + ", ".join(f"{key} = {as_toml(each)}" for key, each in pairs) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, cast("Iterable[object]", value))) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # JSON's strings are TOML's, but for DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def write_typed(setting: Setting) -> tuple[str, object]:
    """Name and value that ``read_typed`` reads as this setting. Raises ``BadOption`` if there are none."""
    values = dict(setting.values)
    for spelling in sorted(setting.option.spellings, key=lambda each: len(each.fields)):
        if values and values.keys() <= {*spelling.fields} and setting.option is not Preset:
            name, value = spelling.names[0], _typed(setting, spelling, values)
            if read_typed(name, value) == (setting,):
                return name, value
    raise BadOption(f"{setting} has no typed form")


def _typed(setting: Setting, spelling: Spelling, values: Mapping[str, Any]) -> object:
    arguments = setting.option.arguments()
    if setting.option is FormatQuality:
        return dict(values["qualities"])
    if len(spelling.fields) == 1:
        (name,) = spelling.fields
        value, kind = values[name], arguments[name].kind
        if isinstance(value, tuple) and not isinstance(kind, Color):
            return [_value(kind, each) for each in cast("tuple[object, ...]", value)]
        return _value(kind, value)
    smart = values.get("anchor") is Anchor.SMART  # which takes no offsets
    table = {
        arguments[name].key: _value(arguments[name].kind, values[name])
        for name in spelling.fields
        if values.get(name) is not None and not (smart and name in {"x", "y"})
    }
    # gravity = "smart", extend = true: others would not say what the one value is.
    return table.popitem()[1] if len(table) == 1 and table.keys() <= {"type", "enabled"} else table


def _value(kind: Kind, value: Any) -> object:  # noqa: ANN401 - a kind knows its own values
    match kind, value:
        case FormatName(), None:
            return AUTO
        case FormatName(), Format():
            return value.name
        case Color(), None:
            return ""
        case Color(), tuple():
            return f"#{kind.write(cast('Rgb', value))}"
        case Choice(), Anchor():
            return next(word for word, anchor in WORDS.items() if anchor == value)
        case Choice(), _:
            return str(value)
        case Number(), float() if value.is_integer():
            return int(value)
        case _:
            return value
