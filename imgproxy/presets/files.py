"""Preset files: TOML that product teams write, read with the place of every mistake (``docs/presets.md``)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast

from imgproxy.errors import BadOption
from imgproxy.options import LONG_NAMES, CacheTags, Preset, meant, spelling_of
from imgproxy.options.base import Setting
from imgproxy.presets.definition import DEFAULT, Canary, Definition, Deprecation, Mistakes
from imgproxy.presets.lines import read_options
from imgproxy.presets.places import Path, Place, places
from imgproxy.presets.typed import as_toml, read_typed

VERSION = 1
SUFFIX = ".toml"

FILE_KEYS = ("version", "owner", "defaults", "presets")
PRESET_KEYS = ("description", "options", "extends", "widths", "allow", "tags", "alias", "deprecated", "canary")
DEPRECATED_KEYS = ("since", "remove", "note")
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
"""What presets may be called: such names stand in URLs as they are."""
WIDEST = 65_535

_NAME = re.compile(NAME)
_PLACE = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)$")


def read_files(files: Iterable[tuple[str, str]], separator: str, mistakes: Mistakes) -> dict[str, Definition]:
    """The presets of files, given as ``(name, text)``. What is wrong is added to ``mistakes``: ``file:line:col: …``.

    ``separator`` is what stands between arguments where options are written as one string.
    """
    found: dict[str, Definition] = {}
    for name, text in files:
        for each in _File(name, text, separator, mistakes).definitions():
            if each.name in found:
                mistakes.append(f"{each.place}: preset {each.name!r} is already defined at {found[each.name].place}")
            else:
                found[each.name] = each
    return found


@dataclass(slots=True)
class _File:
    name: str
    text: str
    separator: str
    mistakes: Mistakes

    def definitions(self) -> list[Definition]:
        try:
            document = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            self.mistakes.append(_syntax(self.name, self.text, str(error)))
            return []
        reading = _Reading(self.name, self.separator, places(self.text))
        try:
            return self._all(reading, document)
        finally:
            self.mistakes += reading.told()

    def _all(self, reading: _Reading, document: Mapping[str, object]) -> list[Definition]:
        owner = reading.head(document)
        presets = document.get("presets", {})
        if not isinstance(presets, dict):
            reading.wrong(("presets",), "expected tables [presets.NAME]")
            return []
        tables: list[tuple[str, Path, object]] = [
            *((DEFAULT, (key,), table) for key, table in document.items() if key == "defaults"),
            *((name, ("presets", name), table) for name, table in cast("dict[str, object]", presets).items()),
        ]
        read = (reading.preset(name, path, table, owner) for name, path, table in tables)
        return [definition for definition in read if definition is not None]


def _syntax(name: str, text: str, error: str) -> str:
    """What tomllib says, with the place in front."""
    match = _PLACE.search(error)
    line, column = (match[1], match[2]) if match and match[1] else (text.count("\n") + 1, 1)
    said = _PLACE.sub("", error)
    return f"{name}:{line}:{column}: this is not TOML: {said[:1].lower()}{said[1:]}"


@dataclass(slots=True)
class _Reading:
    """The walk through a document that is TOML: mistakes are noted, and it goes on."""

    file: str
    separator: str
    places: Mapping[Path, Place]
    mistakes: list[tuple[Place, str]] = field(default_factory=list[tuple[Place, str]])

    def wrong(self, path: Path, text: str) -> None:
        self.mistakes.append((self._at(path), text))

    def told(self) -> Mistakes:
        """The mistakes in the order of the file."""
        return [f"{self._named(place)}: {text}" for place, text in sorted(self.mistakes)]

    def _at(self, path: Path) -> Place:
        """The place of the key, or of what it would stand in."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))

    def _named(self, place: Place) -> str:
        return f"{self.file}:{place[0]}:{place[1]}"

    def head(self, document: Mapping[str, object]) -> str:
        """The owner, once version and keys are as they should be."""
        for key in document:
            if key not in FILE_KEYS:
                self.wrong((key,), f"unknown key {key!r}{_instead(key, FILE_KEYS)}")
        if document.get("version") != VERSION or isinstance(document.get("version"), bool):
            self.wrong(("version",), f"expected version = {VERSION}, the version of this format")
        owner = document.get("owner")
        if not isinstance(owner, str) or not owner.strip():
            self.wrong(("owner",), 'expected owner = "…": the team that answers for these presets')
            return self.file
        return owner

    def preset(self, name: str, path: Path, table: object, owner: str) -> Definition | None:
        if not _NAME.fullmatch(name):
            self.wrong(path, f"preset {name!r}: expected a name of letters, digits, '-', '_' and '.'")
            return None
        if not isinstance(table, dict):
            self.wrong(path, f"expected a table [{'.'.join(map(str, path))}], got {as_toml(table)}")
            return None
        given = cast("dict[str, object]", table)
        before = len(self.mistakes)
        described = self._text(path, given, "description", needed=path != ("defaults",) and "alias" not in given)
        settings = self._alias(path, given) if "alias" in given else self._settings(path, given)
        definition = Definition(
            name,
            settings,
            self._widths(path, given),
            self._allow(path, given),
            self._canary(path, given),
            self._deprecated(path, given),
            described,
            owner,
            self._named(self._at(path)),
        )
        return definition if len(self.mistakes) == before else None

    def _settings(self, path: Path, given: Mapping[str, object]) -> tuple[Setting, ...]:
        extends = self._names(path, given, "extends")
        above = (Setting(Preset, (("names", extends),)),) if extends else ()
        return (*above, *self._options(path, given, PRESET_KEYS), *self._tags(path, given))

    def _alias(self, path: Path, given: Mapping[str, object]) -> tuple[Setting, ...]:
        for key in given:
            if key not in {"alias", "deprecated", "description"}:
                self.wrong((*path, key), f"an alias is another name and nothing else: {key!r} belongs to the preset")
        alias = self._text(path, given, "alias")
        return (Setting(Preset, (("names", (alias,)),)),) if alias else ()

    def _options(self, path: Path, given: Mapping[str, object], known: Iterable[str]) -> tuple[Setting, ...]:
        """The options of a table: one string, or keys with values."""
        typed = {key: value for key, value in given.items() if key not in known}
        if "options" in given:
            for key in typed:
                self.wrong((*path, key), f'{key!r}: write either options = "…" or the options as keys, not both')
            text = self._text(path, given, "options")
            return self._read((*path, "options"), lambda: read_options(text, self.separator)) if text else ()
        settings: list[Setting] = []
        for key, value in typed.items():
            settings += self._typed(path, key, value, known)
        return tuple(settings)

    def _typed(self, path: Path, key: str, value: object, known: Iterable[str]) -> tuple[Setting, ...]:
        try:
            return read_typed(key, value)
        except BadOption as error:
            text = str(error)
            if text.startswith("unknown option"):
                names = [*known, *LONG_NAMES]
                text = f"unknown key {key!r}{_instead(key, names)}"
            # A complaint about a part begins with its name: "resize.width: …".
            part = text.partition(":")[0].removeprefix(f"{key}.")
            place = (*path, key, part) if (*path, key, part) in self.places else (*path, key)
            self.wrong(place, text)
            return ()

    def _read(self, path: Path, read: Any) -> tuple[Setting, ...]:  # noqa: ANN401 - a thunk
        try:
            return read()
        except BadOption as error:
            self.wrong(path, str(error))
            return ()

    def _text(self, path: Path, given: Mapping[str, object], key: str, *, needed: bool = False) -> str:
        value = given.get(key)
        if value is None and not needed:
            return ""
        if not isinstance(value, str) or not value.strip():
            said = f", got {as_toml(value)}" if value is not None else ""
            self.wrong((*path, key), f'expected {key} = "…"{said}')
            return ""
        return value

    def _names(self, path: Path, given: Mapping[str, object], key: str) -> tuple[str, ...]:
        """One name or a list of them."""
        value = given.get(key, [])
        names = cast("list[object]", value) if isinstance(value, list) else [value]
        good = tuple(each for each in names if isinstance(each, str) and each)
        if len(good) < len(names):
            self.wrong((*path, key), f"expected a name or a list of names, got {as_toml(cast('object', value))}")
            return ()
        return good

    def _widths(self, path: Path, given: Mapping[str, object]) -> tuple[int, ...]:
        value = given.get("widths", [])
        widths = cast("list[object]", value) if isinstance(value, list) else [value]
        good = [each for each in widths if type(each) is int and 0 < each <= WIDEST]
        if len(good) < len(widths) or ("widths" in given and not widths):
            bad = next((n for n, each in enumerate(widths) if each not in good), 0)
            self.wrong(
                (*path, "widths", bad), f"widths: expected whole numbers from 1 to {WIDEST}, got {as_toml(widths)}"
            )
            return ()
        if len({*good}) < len(good):
            self.wrong((*path, "widths"), f"widths: one stands there twice: {as_toml(widths)}")
        return tuple(sorted(good))

    def _allow(self, path: Path, given: Mapping[str, object]) -> tuple[str, ...] | None:
        if "allow" not in given:
            return None
        names = self._names(path, given, "allow")
        for n, name in enumerate(names):
            if name not in LONG_NAMES:
                self.wrong((*path, "allow", n), f"allow: {_no_option(name)}")
        return names

    def _tags(self, path: Path, given: Mapping[str, object]) -> tuple[Setting, ...]:
        tags = self._names(path, given, "tags")
        if not tags:
            return ()
        return self._read((*path, "tags"), lambda: read_typed(CacheTags.spellings[0].names[0], list(tags)))

    def _canary(self, path: Path, given: Mapping[str, object]) -> Canary | None:
        table, path = given.get("canary"), (*path, "canary")
        if table is None:
            return None
        if not isinstance(table, dict):
            self.wrong(path, f"expected a table with share and options, got {as_toml(table)}")
            return None
        canary = cast("dict[str, object]", table)
        share = canary.get("share")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            self.wrong(
                (*path, "share"), "canary: expected share = 0.1, from 0 to 1: the part of the sources that get it"
            )
            share = 0.0
        settings = self._options(path, canary, ("share", "options"))
        if not settings:
            self.wrong(path, "canary: there are no options that it would change")
        return Canary(float(share), settings)

    def _deprecated(self, path: Path, given: Mapping[str, object]) -> Deprecation | None:
        table, path = given.get("deprecated"), (*path, "deprecated")
        if table is None or table is False:
            return None
        if table is True:
            return Deprecation()
        if not isinstance(table, dict):
            self.wrong(path, "deprecated: expected true or a table with since, remove and note")
            return None
        fields = cast("dict[str, object]", table)
        for key in fields:
            if key not in DEPRECATED_KEYS:
                self.wrong((*path, key), f"deprecated: unknown key {key!r}{_instead(key, DEPRECATED_KEYS)}")
        since, remove = self._date(path, fields, "since"), self._date(path, fields, "remove")
        if since and remove and remove < since:
            self.wrong((*path, "remove"), "deprecated: it is removed before it is deprecated")
        return Deprecation(since, remove, self._text(path, fields, "note"))

    def _date(self, path: Path, given: Mapping[str, object], key: str) -> date | None:
        value = given.get(key)
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        self.wrong((*path, key), f"deprecated: expected a date such as {key} = 2026-11-01, got {as_toml(value)}")
        return None


def _no_option(name: str) -> str:
    try:
        _, spelling = spelling_of(name)
    except BadOption as error:
        return str(error)
    return f"write {spelling.names[0]!r}, the long name of {name!r}"


def _instead(name: str, known: Sequence[str]) -> str:
    """What was meant; or else all that there is, if it is little."""
    return meant(name, known) or (f"; known are {', '.join(known)}" if len(known) < 10 else "")
