"""JSON Schema of options' values, as ``typed.py`` reads them: one value, a list, a table."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, cast

from imgproxy.formats import BY_NAME
from imgproxy.geometry import Anchor
from imgproxy.options import OPTIONS, Background, CacheTags, FormatQuality, Preset, Quality, ResultFormat, read_segment
from imgproxy.options.base import Argument, Kind, Option, Spelling
from imgproxy.options.values import LARGEST, Angle, Bool, Choice, Color, FormatName, Number, Text, Whole
from imgproxy.presets.typed import AUTO, WORDS, listed, write_typed

Schema = dict[str, Any]

_TAG = "[!#-&(-+.-\\[\\]-~-]"
"""The characters of a cache tag: printable ASCII without space, comma, quotes and backslash."""
_COLOR = "#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_FOCUS = {word for word in (*WORDS, *WORDS.values()) if WORDS.get(word, word) == Anchor.FOCUS}
_SMART = {word for word in (*WORDS, *WORDS.values()) if WORDS.get(word, word) == Anchor.SMART}
_MOST_EXAMPLES = 3


def option_schemas() -> dict[str, Schema]:
    """The schemas of what ``read_typed`` reads, by the long names of the options."""
    return {
        spelling.names[0]: _option(option, spelling)
        for option in OPTIONS
        if option is not Preset
        for spelling in option.spellings
    }


def tag_schema(least: int) -> Schema:
    """Of a cache tag; ``least``: its characters."""
    return {"type": "string", "pattern": f"^{_TAG}{{{least},128}}$"}


def _option(option: type[Option], spelling: Spelling) -> Schema:
    arguments = [option.arguments()[field] for field in spelling.fields]
    lone = arguments[0].meaning if len(arguments) == 1 and len(option.spellings) > 1 else ""
    told = lone or "\n\n".join(" ".join(each.split()) for each in str(inspect.getdoc(option)).split("\n\n"))
    examples = _examples(option, spelling.names[0])
    return {"description": told, **_forms(option, arguments), **({"examples": examples} if examples else {})}


def _examples(option: type[Option], name: str) -> list[object]:
    found: list[object] = []
    for segment in (each for text in option.examples for each in text.split("/")):
        for setting in read_segment(segment.split(":")[0], segment.split(":")[1:]):
            key, value = write_typed(setting)
            if key == name and value not in found:
                found.append(value)
    return found[:_MOST_EXAMPLES]


def _forms(option: type[Option], arguments: Sequence[Argument]) -> Schema:
    """What ``read_typed`` reads: one value, a list of them, a table."""
    qualities: Schema = {
        "type": "object",
        "properties": {name: _argument(Whole(0, 100)) for name in BY_NAME},
        "additionalProperties": False,
    }
    if option is FormatQuality:
        return qualities
    if option is CacheTags:
        key, tag = arguments[0].key, tag_schema(least=0)
        one: Schema = {"properties": {key: tag_schema(least=1)}, "required": [key], "additionalProperties": False}
        return _any([tag, {"type": "array", "items": tag, "minItems": 1, "maxItems": 16}, {"type": "object", **one}])
    table = qualities if option is Quality else _table(arguments)
    return _any([_lone(option, arguments[0].kind), *_lists(arguments), table])


def _lone(option: type[Option], kind: Kind) -> Schema:
    """One value, for the first of the arguments."""
    if option is ResultFormat:
        return {"enum": [AUTO, *BY_NAME]}
    if option is Background:
        return {"type": "string", "pattern": f"^({_COLOR})?$"}
    one = _argument(kind)
    # A focus is none without its coordinates.
    return {"enum": [word for word in one["enum"] if word not in _FOCUS]} if _has_focus((kind,)) else one


def _lists(arguments: Sequence[Argument]) -> list[Schema]:
    kinds = listed(arguments)
    if not kinds:
        return []
    items = [_argument(kind) for kind in kinds]
    if isinstance(arguments[0].default, tuple):
        return [{"type": "array", "items": items[0], "minItems": 1}]
    bounds = {"minItems": len(kinds) if len(arguments) == 1 else 1, "maxItems": len(kinds)}
    if all(item == items[0] for item in items):
        return [{"type": "array", "items": items[0], **bounds}]
    if not _has_focus(kinds):
        return [{"type": "array", "prefixItems": items, **bounds}]
    return _anchored_lists(items, [each.name for each in arguments].index("anchor"))


def _anchored_lists(items: Sequence[Schema], place: int) -> list[Schema]:
    """The offsets after a gravity are any numbers, or shares, or none."""
    before, words = [*items[:place]], items[place]["enum"]
    smart: Schema = {"enum": [word for word in words if word in _SMART]}
    focus: Schema = {"enum": [word for word in words if word in _FOCUS]}
    others: Schema = {"enum": [word for word in words if word not in _SMART | _FOCUS]}
    whole = len(items)
    lists: list[Schema] = [
        {"prefixItems": [*before, others, *items[place + 1 :]], "minItems": 1, "maxItems": whole},
        {"prefixItems": [*before, focus, _SHARE, _SHARE], "minItems": whole, "maxItems": whole},
    ]
    if smart["enum"]:
        lists.append({"prefixItems": [*before, smart], "minItems": place + 1, "maxItems": place + 1})
    return [{"type": "array", **each} for each in lists]


def _table(arguments: Sequence[Argument]) -> Schema:
    keys = {each.key: {"description": each.meaning, **_argument(each.kind)} for each in arguments}
    if isinstance(arguments[0].kind, Text):
        keys[arguments[0].key]["minLength"] = 1
    table = {"type": "object", "properties": keys, "minProperties": 1, "additionalProperties": False}
    if _has_focus([each.kind for each in arguments]):
        return table | _anchored_table(next(each.key for each in arguments if each.name == "anchor"))
    return table


def _anchored_table(key: str) -> Schema:
    def named(words: Iterable[str]) -> Schema:
        return {"properties": {key: {"enum": sorted(words)}}, "required": [key]}

    offset = {"anyOf": [{"required": ["x"]}, {"required": ["y"]}]}
    shares = {"properties": {"x": _SHARE, "y": _SHARE}, "required": ["x", "y"]}
    return {
        "allOf": [
            {"if": named(_SMART), "then": {"properties": {"x": False, "y": False}}},
            {"if": named(_FOCUS), "then": shares},
            {"if": offset, "then": {"required": [key]}},
        ]
    }


def _has_focus(kinds: Iterable[Kind]) -> bool:
    return any(isinstance(kind, Choice) and Anchor.FOCUS in cast("Choice[Any]", kind).words for kind in kinds)


def _any(forms: Sequence[Schema]) -> Schema:
    """One of these forms. In one schema if their types keep them apart: then editors say more than "none of them"."""
    types = [form.get("type") for form in forms]
    if None in types or len({*types}) < len(types):
        return {"anyOf": [*forms]}
    merged: Schema = {}
    for form in forms:
        merged |= form
    return merged | {"type": types}


def _argument(kind: Kind) -> Schema:
    match kind:
        case Bool():
            return {"type": "boolean"}
        case Whole(low, high):
            return {"type": "integer", "minimum": low, "maximum": high}
        case Angle():
            return {"type": "integer", "multipleOf": 90}
        case Number(low, high):
            least = {"exclusiveMinimum" if kind.open_low else "minimum": max(low, -LARGEST)}
            return {"type": "number", **least, "maximum": min(high, LARGEST)}
        case Choice():
            return {"enum": _words(cast("Choice[Any]", kind))}
        case Color():
            return {"type": "string", "pattern": f"^{_COLOR}$"}
        case FormatName():
            return {"enum": [*BY_NAME]}
        case _:
            return {"type": "string"}


def _words(kind: Choice[Any]) -> list[str]:
    """The words of a choice; long ones first where there are two for a thing."""
    words = [str(each) for each in kind.words]
    return [word for word, anchor in WORDS.items() if anchor in words] + words
