"""Where presets come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from imgproxy.environment import RoomSettings
from imgproxy.presets import Presets
from imgproxy.presets.definition import Mistakes
from imgproxy.presets.files import SUFFIX, read_files
from imgproxy.presets.lines import numbered, read_lines


def _path(value: object) -> object:
    return Path(value) if value and isinstance(value, str) else value or None


_OptionalPath = Annotated[Path | None, BeforeValidator(_path)]


class PresetSettings(RoomSettings):
    """Where presets come from."""

    presets: str = Field(
        default="", description="Presets: `name=option:argument/option:argument`, separated by commas."
    )
    presets_separator: str = Field(
        default=",", min_length=1, description="What separates the presets of IMGPROXY_PRESETS."
    )
    presets_path: _OptionalPath = Field(
        default=None, description="File with a preset on each line; `#` begins a comment."
    )
    presets_dir: _OptionalPath = Field(
        default=None, description="Folder of preset files, `<team>.toml` (see presets.md). Read again when they change."
    )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and the folder that presets are read from, as they are now."""
        listed = self._tomls() if self.presets_dir else ()
        return tuple(path for path in (self.presets_path, self.presets_dir, *listed) if path)

    def read(self, separator: str, edited: Mapping[str, str] | None = None) -> Presets:
        """All presets. Raises ``BadPresets`` with every mistake of every file at once.

        Lines of the file override those of the variable, as in imgproxy; a name in preset files is defined once.
        ``separator``: what stands between the arguments of an option. ``edited``: texts in the place of preset files.
        """
        mistakes: Mistakes = []
        definitions = read_lines([*self._listed(), *self._filed(mistakes)], separator, mistakes)
        for name, definition in read_files(self._drafted(mistakes, edited or {}), separator, mistakes).items():
            if name in definitions:
                mistakes.append(f"{definition.place}: preset {name!r} is already defined at {definitions[name].place}")
            definitions[name] = definition
        return Presets.checked(definitions, mistakes)

    def _listed(self) -> list[tuple[str, str]]:
        """The definitions of the variable, each with where it stands."""
        lines = self.presets.split(self.presets_separator)
        return [(f"IMGPROXY_PRESETS, preset {n}", line) for n, line in numbered(lines)]

    def _filed(self, mistakes: Mistakes) -> list[tuple[str, str]]:
        """The definitions of the file."""
        if not self.presets_path:
            return []
        text = _text(self.presets_path, "IMGPROXY_PRESETS_PATH", mistakes)
        lines = numbered((text or "").splitlines())
        return [(f"{self.presets_path.name}, line {n}", line) for n, line in lines if not line.startswith("#")]

    def texts(self, mistakes: Mistakes) -> Iterator[tuple[str, str]]:
        """Names and texts of the preset files; what cannot be read is added to ``mistakes``."""
        if not self.presets_dir:
            return
        if not self.presets_dir.is_dir():
            mistakes.append(f"IMGPROXY_PRESETS_DIR: there is no folder {self.presets_dir}")
        for path in self._tomls():
            if (text := _text(path, "IMGPROXY_PRESETS_DIR", mistakes)) is not None:
                yield path.name, text

    def _drafted(self, mistakes: Mistakes, edited: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        new = dict(edited)
        for name, text in self.texts(mistakes):
            yield name, new.pop(name, text)
        yield from new.items()

    def _tomls(self) -> list[Path]:
        """The preset files. A ConfigMap's own links (``..data``) and editors' hidden files are none."""
        assert self.presets_dir is not None  # noqa: S101 - asked for only then
        return sorted(path for path in self.presets_dir.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def _text(path: Path, variable: str, mistakes: Mistakes) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        mistakes.append(f"{variable}: {error.strerror}: {path}")
    except UnicodeDecodeError:
        mistakes.append(f"{variable}: {path} is not UTF-8 text")
    return None
