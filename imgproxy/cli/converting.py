"""The command that turns preset files into imgproxy's lines, and lines into files: presets convert."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from imgproxy.cli.output import fail, settings_of
from imgproxy.errors import BadOption
from imgproxy.presets.definition import Definition, Mistakes
from imgproxy.presets.files import read_files
from imgproxy.presets.lines import numbered, read_lines
from imgproxy.presets.writing import UNDESCRIBED, line_of, table_of, toml_of


@click.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--to", "kind", type=click.Choice(["toml", "lines"]), required=True, help="What to write.")
@click.option("--owner", default="unknown", show_default=True, help="The team that a written preset file names.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def convert(file: Any, kind: str, owner: str, *, as_json: bool) -> None:  # noqa: ANN401 - click's lazy file
    """Convert FILE (- for what is piped in) between preset files and imgproxy's lines; print the result.

    imgproxy presets convert presets.txt --to toml --owner shop > shop.toml

    Of IMGPROXY_PRESETS, put each preset on a line of its own. Comments above a line become its description. What no
    line can say (widths, allow, canary, deprecated) is told on standard error.
    """
    separator = settings_of().dialect.arguments_separator
    mistakes: Mistakes = []
    try:
        text: str = file.read()
    except UnicodeDecodeError:
        fail(f"{file.name} is not UTF-8 text")
    read = _files if _is_toml(text) else _lines
    definitions = read(file.name.replace("<stdin>", "-"), text, separator, mistakes)
    if mistakes:
        fail("\n".join(mistakes))
    try:
        written, notes = _converted([*definitions.values()], kind, owner, separator)
    except BadOption as error:
        fail(str(error))
    for note in notes:
        click.echo(note, err=True)
    click.echo(json.dumps({"text": written, "notes": notes}, indent=2) if as_json else written, nl=as_json)


def _is_toml(text: str) -> bool:
    """Lines are no TOML, because a value stands there without quotes; broken TOML has tables or a version."""
    try:
        return bool(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return re.search(r"^\s*(\[|version\s*=\s*\d)", text, re.MULTILINE) is not None


def _files(name: str, text: str, separator: str, mistakes: Mistakes) -> dict[str, Definition]:
    return read_files([(name, text)], separator, mistakes)


def _lines(name: str, text: str, separator: str, mistakes: Mistakes) -> dict[str, Definition]:
    """The presets of lines, described by the comments above them."""
    lines: list[tuple[str, str]] = []
    said: dict[str, str] = {}
    comments: list[str] = []
    for n, line in numbered(text.splitlines()):
        if line.startswith("#"):
            comments.append(line.lstrip("# "))
            continue
        lines.append((f"{name}:{n}:1", line))
        said[lines[-1][0]] = " ".join(filter(None, comments))
        comments = []
    read = read_lines(lines, separator, mistakes)
    return {key: replace(each, description=said[each.place]) for key, each in read.items()}


def _converted(definitions: Sequence[Definition], kind: str, owner: str, separator: str) -> tuple[str, list[str]]:
    if kind == "toml":
        bare = [each.name for each in definitions if UNDESCRIBED in table_of(each, separator)]
        note = f"These presets have no description yet: {', '.join(bare)}"
        return toml_of(definitions, owner, separator), [note] if bare else []
    written: list[str] = []
    notes: list[str] = []
    for each in definitions:
        line, lost = line_of(each, separator)
        written += [f"# {' '.join(each.description.split())}"] * bool(each.description) + [line]
        notes += [f"{each.place}: preset {each.name!r}: no line can say {', '.join(lost)}"] * bool(lost)
    return "".join(f"{line}\n" for line in written), notes
