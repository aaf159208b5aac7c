"""As much of JSON Schema as the schema of preset files uses; a keyword that it does not know fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

Schema = Mapping[str, Any]

_ANNOTATIONS = {"$schema", "$defs", "title", "description", "examples"}
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


class Validator:
    """``modern``: with the keywords that came after draft-07."""

    def __init__(self, root: Schema, *, modern: bool = True) -> None:
        self._root = root
        self._modern = modern

    def accepts(self, value: object) -> bool:
        return self._good(self._root, value)

    def _good(self, schema: Schema | bool, value: Any) -> bool:
        if isinstance(schema, bool):
            return schema
        if "$ref" in schema:
            assert len(schema) == 1, "draft-07 reads nothing beside $ref"
            target: Any = self._root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            return self._good(target, value)
        return all(
            getattr(self, f"_{key.lower()}")(argument, value, schema)
            for key, argument in schema.items()
            if key not in _ANNOTATIONS | {"then", "else"}
        )

    def _type(self, names: Any, value: Any, _: Schema) -> bool:
        return any(_TYPES[name](value) for name in ([names] if isinstance(names, str) else names))

    def _const(self, one: Any, value: Any, _: Schema) -> bool:
        return _same(one, value)

    def _enum(self, many: Any, value: Any, _: Schema) -> bool:
        return any(_same(each, value) for each in many)

    def _anyof(self, schemas: Any, value: Any, _: Schema) -> bool:
        return any(self._good(each, value) for each in schemas)

    def _allof(self, schemas: Any, value: Any, _: Schema) -> bool:
        return all(self._good(each, value) for each in schemas)

    def _if(self, condition: Any, value: Any, schema: Schema) -> bool:
        return self._good(schema.get("then" if self._good(condition, value) else "else", True), value)

    def _properties(self, properties: Any, value: Any, _: Schema) -> bool:
        return not isinstance(value, dict) or all(
            self._good(each, value[key]) for key, each in properties.items() if key in value
        )

    def _additionalproperties(self, rest: Any, value: Any, schema: Schema) -> bool:
        known = schema.get("properties", {})
        return not isinstance(value, dict) or all(self._good(rest, value[key]) for key in value if key not in known)

    def _propertynames(self, names: Any, value: Any, _: Schema) -> bool:
        return not isinstance(value, dict) or all(self._good(names, key) for key in value)

    def _required(self, keys: Any, value: Any, _: Schema) -> bool:
        return not isinstance(value, dict) or all(key in value for key in keys)

    def _minproperties(self, least: Any, value: Any, _: Schema) -> bool:
        return not isinstance(value, dict) or len(value) >= least

    def _items(self, item: Any, value: Any, _: Schema) -> bool:
        return not isinstance(value, list) or all(self._good(item, each) for each in value)

    def _prefixitems(self, items: Any, value: Any, _: Schema) -> bool:
        if not isinstance(value, list) or not self._modern:
            return True
        return all(self._good(item, each) for item, each in zip(items, value, strict=False))

    def _minitems(self, least: Any, value: Any, _: Schema) -> bool:
        return not isinstance(value, list) or len(value) >= least

    def _maxitems(self, most: Any, value: Any, _: Schema) -> bool:
        return not isinstance(value, list) or len(value) <= most

    def _uniqueitems(self, unique: Any, value: Any, _: Schema) -> bool:
        return not (isinstance(value, list) and unique) or len({repr(each) for each in value}) == len(value)

    def _minimum(self, low: Any, value: Any, _: Schema) -> bool:
        return not _TYPES["number"](value) or value >= low

    def _exclusiveminimum(self, low: Any, value: Any, _: Schema) -> bool:
        return not _TYPES["number"](value) or value > low

    def _maximum(self, high: Any, value: Any, _: Schema) -> bool:
        return not _TYPES["number"](value) or value <= high

    def _multipleof(self, step: Any, value: Any, _: Schema) -> bool:
        return not _TYPES["number"](value) or value % step == 0

    def _minlength(self, least: Any, value: Any, _: Schema) -> bool:
        return not isinstance(value, str) or len(value) >= least

    def _pattern(self, pattern: Any, value: Any, _: Schema) -> bool:
        # ECMA's $ is the end, and nothing before it.
        return not isinstance(value, str) or re.search(pattern.replace("$", r"\Z"), value) is not None

    def _format(self, name: Any, value: Any, _: Schema) -> bool:
        assert name == "date"
        try:
            date.fromisoformat(value)
        except (TypeError, ValueError):
            return not isinstance(value, str)
        return True


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
