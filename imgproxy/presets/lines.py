"""imgproxy's line format: ``name=option:argument/option:argument`` (spec §1.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imgproxy.errors import BadOption
from imgproxy.options import read_segment
from imgproxy.options.base import Setting
from imgproxy.presets.definition import Definition, Mistakes


def numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that say something, each with its number, counted from 1."""
    return ((n, line.strip()) for n, line in enumerate(lines, 1) if line.strip())


def read_lines(lines: Iterable[tuple[str, str]], separator: str, mistakes: Mistakes) -> dict[str, Definition]:
    """The presets of ``(place, definition)`` pairs, later ones over earlier ones.

    What is wrong with them is added to ``mistakes``.
    """
    found: dict[str, Definition] = {}
    for place, line in lines:
        try:
            name, settings = _read(line, separator)
            found[name] = Definition(name, settings, place=place)
        except BadOption as error:
            mistakes.append(f"{place}: {error}")
    return found


def read_options(text: str, separator: str) -> tuple[Setting, ...]:
    """The settings of ``option:argument/option:argument``. Raises ``BadOption``."""
    settings: list[Setting] = []
    # Options are read from URLs, where a character is a byte.
    for segment in text.encode().decode("latin-1").split("/"):
        option, *arguments = segment.split(separator)
        if not arguments:
            raise BadOption(f"option {option!r} has no arguments")
        settings += read_segment(option, arguments)
    return tuple(settings)


def _read(line: str, separator: str) -> tuple[str, tuple[Setting, ...]]:
    name, equals, value = (part.strip() for part in line.partition("="))
    if not equals or not name or not value or "=" in value:
        raise BadOption(f'expected "name=option:argument/…", got {line!r}')
    try:
        return name, read_options(value, separator)
    except BadOption as error:
        raise BadOption(f"preset {name!r}: {error}") from None
