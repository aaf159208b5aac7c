"""JSON Schema of preset files, derived from the options: editors complete and check with it.

Written so that it also works as draft-07, because taplo (Even Better TOML) is built without newer drafts: nothing
stands beside a ``$ref``, and what draft-07 does not know only adds to what is refused. What a schema cannot say,
``imgproxy presets check`` does: whether a preset is defined, what an options string means, whether 3.0 is whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from imgproxy.options import LONG_NAMES
from imgproxy.presets.files import DEPRECATED_KEYS, NAME, PRESET_KEYS, VERSION, WIDEST
from imgproxy.presets.forms import Schema, option_schemas, tag_schema

_SAID: Schema = {"type": "string", "pattern": r"\S"}
_ALIAS_KEYS = ("alias", "description", "deprecated")
_FLAT = re.compile(r'\[\n +((?:[^\[\]{}"]|"(?:[^"\\]|\\.)*")*?)\n +\]')


def schema() -> Schema:
    """The schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Presets of an image server",
        "description": "A team's presets: named lists of options that image URLs refer to.",
        "type": "object",
        "properties": {
            "version": _told("Version of this format.", {"const": VERSION}),
            "owner": _told("The team that answers for these presets.", _SAID),
            "defaults": _defaults(),
            "presets": _told(
                "The presets by name.",
                {
                    "type": "object",
                    "propertyNames": {"pattern": f"^(?:{NAME})$"},
                    "additionalProperties": {"$ref": "#/$defs/preset"},
                },
            ),
        },
        "required": ["version", "owner"],
        "additionalProperties": False,
        "$defs": {"preset": _preset(), **option_schemas()},
    }


def schema_text() -> str:
    """The schema as the file that editors read."""
    text = json.dumps(schema(), indent=2, ensure_ascii=False)
    # Lists of words on a line each: a third of the file, and differences that can be read.
    return _FLAT.sub(lambda match: "[" + re.sub(r"\n +", " ", match[1]) + "]", text) + "\n"


# Tables


def _preset() -> Schema:
    return {
        "title": "Preset",
        "description": "A named list of options.",
        "type": "object",
        "properties": {**_preset_keys(), **_references()},
        "additionalProperties": False,
        "allOf": [
            _where("alias", _ALIAS_KEYS) | {"else": {"required": ["description"]}},
            _where("options", PRESET_KEYS),
        ],
    }


def _defaults() -> Schema:
    keys = [*PRESET_KEYS, *option_schemas()]
    return {
        "title": "Preset of all requests",
        "description": "What applies to every request, before its own options.",
        "type": "object",
        "properties": {key: {"$ref": f"#/$defs/preset/properties/{key}"} for key in keys},
        "additionalProperties": False,
        "allOf": [_where("alias", _ALIAS_KEYS), _where("options", PRESET_KEYS)],
    }


def _where(key: str, others: Iterable[str]) -> Schema:
    """Where a key stands, only these may."""
    return {"if": {"required": [key]}, "then": {"propertyNames": {"enum": [*others]}}}


def _references() -> dict[str, Schema]:
    return {name: {"$ref": f"#/$defs/{name}"} for name in option_schemas()}


def _preset_keys() -> dict[str, Schema]:
    width = {"type": "integer", "minimum": 1, "maximum": WIDEST}
    keys: dict[str, Schema] = {
        "description": _told("What the preset is for.", _SAID),
        "options": _told(
            "The options as a URL has them, in place of keys.", _SAID, examples=["rs:fill:320:320/g:sm/q:75"]
        ),
        "extends": _told(
            "The presets that this one goes on from: one, or several, of which later ones win.",
            _one_or_more({"type": "string", "minLength": 1}),
        ),
        "widths": _told(
            "Widths in pixels that srcset attributes and tokens may ask for.",
            _one_or_more(width, minItems=1, uniqueItems=True),
            examples=[[320, 640, 960]],
        ),
        "allow": _told(
            "The options that a URL may set beside this preset; all, if the key is missing.",
            _one_or_more({"enum": [*LONG_NAMES]}),
            examples=[["width", "dpr"]],
        ),
        "tags": _told(
            "Words that results can be purged by.", _one_or_more(tag_schema(least=1), maxItems=16), examples=["shop"]
        ),
        "alias": _told("The preset that this is another name of.", _SAID),
        "deprecated": _deprecated(),
        "canary": _canary(),
    }
    assert keys.keys() == {*PRESET_KEYS}  # noqa: S101 - one list of them
    return keys


def _deprecated() -> Schema:
    day = {"type": "string", "format": "date"}
    keys = {
        "since": _told("From when on it should not be used, such as 2026-11-01.", day),
        "remove": _told("From when on it may be gone.", day),
        "note": _told("What to use instead.", _SAID),
    }
    assert keys.keys() == {*DEPRECATED_KEYS}  # noqa: S101 - one list of them
    return _told(
        "That the preset should no longer be used.",
        {"type": ["boolean", "object"], "properties": keys, "additionalProperties": False},
    )


def _canary() -> Schema:
    keys: dict[str, Schema] = {
        "share": _told("The part of the sources, 0 to 1.", {"type": "number", "minimum": 0, "maximum": 1}),
        "options": _told("The options that change, as a URL has them.", _SAID),
    }
    return _told(
        "Other options for a share of the sources, to try them out.",
        {
            "type": "object",
            "properties": {**keys, **_references()},
            "required": ["share"],
            "minProperties": 2,
            "additionalProperties": False,
            "allOf": [_where("options", keys)],
        },
    )


def _one_or_more(item: Schema, **bounds: Any) -> Schema:  # noqa: ANN401 - keywords of JSON Schema
    return {"anyOf": [item, {"type": "array", "items": item, **bounds}]}


def _told(description: str, schema: Schema, **more: Any) -> Schema:  # noqa: ANN401 - keywords of JSON Schema
    return {"description": description, **schema, **more}
