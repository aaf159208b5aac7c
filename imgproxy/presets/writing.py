"""Presets as text: as the files of product teams, and as imgproxy's lines. What is read from it is the same presets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from imgproxy.errors import BadOption
from imgproxy.geometry import Anchor
from imgproxy.options import CacheTags, FormatQuality, Preset, Quality
from imgproxy.options.base import Setting, Spelling
from imgproxy.options.values import Text
from imgproxy.presets.definition import DEFAULT, Canary, Definition, Deprecation, used
from imgproxy.presets.files import NAME, VERSION
from imgproxy.presets.lines import read_options
from imgproxy.presets.typed import as_toml, write_typed

UNDESCRIBED = "Say here what it is for"
"""The description of a preset that comes from a line, which has none."""
NOTHING = "s"
"""An option that does nothing without arguments, here and with imgproxy: a line needs one."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def segment_of(setting: Setting, separator: str = ":") -> str:
    """The segment of a URL that reads as this setting. Raises ``BadOption`` if there is none."""
    values = dict(setting.values)
    for spelling in sorted(setting.option.spellings, key=lambda each: len(each.fields)):
        if values.keys() <= {*spelling.fields}:
            segment = separator.join((min(spelling.names, key=len), *_texts(setting, spelling, values)))
            if _reads(segment, separator) == (setting,):
                return segment
    raise BadOption("no segment of a URL says this")


def segments_of(settings: Iterable[Setting], separator: str = ":") -> str:
    """The settings as a URL has them. Raises ``BadOption`` if they cannot be written so."""
    return "/".join(segment_of(each, separator) for each in settings)


def said_of(setting: Setting) -> str:
    """The setting as people write it: as in a URL, or as in a file where no URL can say it."""
    try:
        return segment_of(setting)
    except BadOption:
        name, value = write_typed(setting)
        return f"{name} = {as_toml(value)}"


def _reads(segment: str, separator: str) -> tuple[Setting, ...]:
    try:
        return read_options(segment, separator)
    except BadOption:
        return ()


def _texts(setting: Setting, spelling: Spelling, values: dict[str, Any]) -> list[str]:
    if setting.option is FormatQuality:
        return [str(part) for pair in values["qualities"] for part in pair]
    if len(spelling.fields) == 1 and setting.option.arguments()[spelling.fields[0]].default == ():
        return [Text().write(each) for each in values[spelling.fields[0]]] or [""]
    smart = values.get("anchor") is Anchor.SMART  # which takes no offsets
    texts = [
        "" if values.get(name) is None or (smart and name in {"x", "y"}) else kind.write(values[name])
        for name, kind in ((name, setting.option.arguments()[name].kind) for name in spelling.fields)
    ]
    while len(texts) > 1 and not texts[-1]:
        texts.pop()
    return texts


# TOML


def toml_of(definitions: Iterable[Definition], owner: str, separator: str = ":") -> str:
    """A preset file. Raises ``BadOption`` for what no file can say; ``separator``: for options written as a string."""
    ordered = sorted(definitions, key=lambda each: each.name != DEFAULT)
    head = f"version = {VERSION}\nowner = {as_toml(owner)}\n"
    return head + "".join(f"\n{table_of(each, separator)}" for each in ordered)


def table_of(definition: Definition, separator: str = ":") -> str:
    """A preset as a table of a file. Raises ``BadOption``."""
    name = definition.name
    if not re.fullmatch(NAME, name):
        raise BadOption(f"preset {name!r}: in files, names are of letters, digits, '-', '_' and '.'")
    path = "defaults" if name == DEFAULT else f"presets.{name if _BARE.fullmatch(name) else as_toml(name)}"
    tables = [(path, _pairs(definition, separator))]
    if definition.canary is not None:
        tables.append((f"{path}.canary", _canary(definition.canary, separator)))
    return "\n".join(f"[{path}]\n" + "".join(f"{key} = {text}\n" for key, text in pairs) for path, pairs in tables)


def _pairs(definition: Definition, separator: str) -> Iterator[tuple[str, str]]:
    if (other := _alias(definition)) is not None:
        yield "alias", as_toml(other)
        yield from _ends(definition)
        return
    if definition.description or definition.name != DEFAULT:
        yield "description", as_toml(definition.description or UNDESCRIBED)
    settings = definition.settings
    if settings and settings[0].option is Preset:
        names = [*used(settings[:1])]
        yield "extends", as_toml(names[0] if len(names) == 1 else names)
        settings = settings[1:]
    tags: tuple[str, ...] = ()
    if settings and settings[-1].option is CacheTags:
        tags, settings = (
            dict(settings[-1].values)["tags"],
            settings[:-1] if dict(settings[-1].values)["tags"] else settings,
        )
    yield from _options(settings, separator)
    if definition.widths:
        yield "widths", as_toml(definition.widths)
    if definition.allow is not None:
        yield "allow", as_toml(definition.allow)
    if tags:
        yield "tags", as_toml(tags)
    yield from _ends(definition)


def _alias(definition: Definition) -> str | None:
    """What the preset is another name of, if it is nothing else."""
    names = [*used(definition.settings)]
    bare = not definition.widths and definition.allow is None and definition.canary is None
    plain = len(definition.settings) == len(names) == 1 and not definition.description
    return names[0] if bare and plain else None


def _ends(definition: Definition) -> Iterator[tuple[str, str]]:
    if definition.deprecated is not None:
        yield "deprecated", deprecation_of(definition.deprecated)


def deprecation_of(deprecated: Deprecation) -> str:
    """As a value in TOML."""
    days = (("since", deprecated.since), ("remove", deprecated.remove))
    pairs = [f"{key} = {day.isoformat()}" for key, day in days if day]
    pairs += [f"note = {as_toml(deprecated.note)}"] if deprecated.note else []
    return f"{{ {', '.join(pairs)} }}" if pairs else "true"


def _canary(canary: Canary, separator: str) -> Iterator[tuple[str, str]]:
    yield "share", as_toml(canary.share)
    yield from _options(canary.settings, separator)


def _options(settings: Sequence[Setting], separator: str) -> Iterator[tuple[str, str]]:
    """As keys; as one string where keys cannot say it: presets in between, the same option twice."""
    try:
        pairs = _typed(settings)
    except BadOption:
        yield "options", as_toml(segments_of(settings, separator))
        return
    for name, value in pairs:
        yield name, as_toml(value)


def _typed(settings: Sequence[Setting]) -> list[tuple[str, object]]:
    pairs = [write_typed(each) for each in settings]
    names = [name for name, _ in pairs]
    if len({*names}) < len(names):
        raise BadOption("an option stands there twice")
    if Quality.spellings[0].names[0] not in names:
        short = {FormatQuality.spellings[0].names[0]: Quality.spellings[0].names[0]}
        pairs = [(short.get(name, name), value) for name, value in pairs]
    return pairs


# Lines


def line_of(definition: Definition, separator: str = ":") -> tuple[str, tuple[str, ...]]:
    """The preset as a line, and what no line can say."""
    segments: list[str] = []
    lost: list[str] = []
    for setting in definition.settings:
        try:
            segments.append(segment_of(setting, separator))
        except BadOption:
            lost.append(said_of(setting))
    said = {
        "widths": definition.widths,
        "allow": definition.allow is not None,
        "canary": definition.canary,
        "deprecated": definition.deprecated,
    }
    lost += [key for key, value in said.items() if value]
    return f"{definition.name}={'/'.join(segments) or NOTHING + separator}", tuple(lost)
