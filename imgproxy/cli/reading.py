"""What the commands about presets read: a folder of files, or what the settings name; and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.text import Text

from imgproxy.cli.output import fail, out, settings_of
from imgproxy.presets import BadPresets, Presets
from imgproxy.presets.definition import Mistakes
from imgproxy.presets.files import read_files
from imgproxy.presets.settings import PresetSettings
from imgproxy.settings import BadSettings, Settings

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): (?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake, or a warning, where it stands; line and column are 0 where there is none."""

    file: str
    line: int
    column: int
    text: str

    @classmethod
    def of(cls, told: str) -> Finding:
        """The finding of a line such as ``shop.toml:4:10: what is wrong``."""
        match = _PLACE.fullmatch(told)
        if match is None:
            return cls("", 0, 0, told)
        return cls(match["file"], int(match["line"]), int(match["column"]), match["text"])

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: " if self.file else ""


def files_of(folder: Path) -> tuple[Path, ...]:
    """The preset files in a folder."""
    return PresetSettings(presets_dir=folder).files[1:]


def read_folder(folder: Path, separator: str) -> Presets:
    """The presets of a folder; their places begin with its path. Raises ``BadPresets``."""
    mistakes: Mistakes = []
    texts: list[tuple[str, str]] = []
    for path in files_of(folder):
        try:
            texts.append((str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            mistakes.append(f"{path}:1:1: {error}")
    return Presets.checked(read_files(texts, separator, mistakes), mistakes)


def presets_of(folder: Path | None) -> tuple[Presets, Settings]:
    """The presets of a folder, or those of the settings; what is wrong with them ends the command with 1."""
    settings = settings_of()
    if folder is None:
        return settings.presets, settings
    if not files_of(folder):
        raise click.UsageError(f"there is no preset file (*.toml) in {folder}")
    return read_or_fail(folder, settings), settings


def read_or_fail(folder: Path, settings: Settings) -> Presets:
    """The presets of a folder; what is wrong with them ends the command with 1."""
    try:
        return read_folder(folder, settings.dialect.arguments_separator)
    except BadPresets as error:
        fail(str(error))


def findings_of(error: BadPresets | BadSettings) -> list[Finding]:
    return [Finding.of(line) for line in str(error).splitlines()]


def show_findings(findings: Sequence[Finding], style: str, kind: str = "") -> None:
    """A line for each, as editors and CI read them; on a terminal with the line of the file below."""
    for finding in findings:
        if not out.is_terminal:
            click.echo(f"{finding.where}{kind}{finding.text}")
            continue
        out.print(Text.assemble((finding.where, "bold"), (kind + finding.text, style)))
        for line in _pointed_at(finding):
            out.print(Text(line, "dim"))


def _pointed_at(finding: Finding) -> Iterator[str]:
    """The line of the file, and a caret below the place."""
    path = Path(finding.file)
    if not finding.line or not path.is_file():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    line = lines[finding.line - 1] if finding.line <= len(lines) else ""
    start = finding.column - 1
    word = re.match(r"[\w.-]+|\S?", line[start:])
    number = f"{finding.line:>5} │ "
    yield number + line.replace("\t", " ")
    yield f"{'':5} │ {'':{start}}{'^' * max(1, len(word[0]) if word else 1)}"
