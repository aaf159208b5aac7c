"""Where the keys of a TOML document stand. ``tomllib`` reads values and forgets their places."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
Place = tuple[int, int]
"""Line and column, counted from 1."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_DOT = re.compile(r"[ \t]*(\.?)[ \t]*")
_TEXT = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""+'  # quotes may stand before the closing ones
    r"|'''(?:[^']|'(?!''))*'''+"
    r'|"(?:[^"\\]|\\.)*"|\'[^\']*\'',
    re.DOTALL,
)
_OTHER = re.compile(r"[^,\]}\n#]*")


def places(text: str) -> dict[Path, Place]:
    """The place of each key and each item of an array, by its path. ``text`` is a good TOML document.

    A table stands where its own header is, not where one within it is. Of arrays of tables the last one counts.
    """
    return _Scan(text).document()


@dataclass(slots=True)
class _Scan:
    text: str
    at: int = 0
    found: dict[Path, Place] = field(default_factory=dict[Path, Place])
    _lines: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._lines = [0, *(match.end() for match in re.finditer("\n", self.text))]

    def document(self) -> dict[Path, Place]:
        table: Path = ()
        while self._go_on():
            if self.text[self.at] == "[":
                self.at += 2 if self.text.startswith("[[", self.at) else 1
                self._take(_BLANK)
                table = self._key(())
                self.at = self.text.index("]", self.at)
                self.at += 2 if self.text.startswith("]]", self.at) else 1
            else:
                self._pair(table)
        return self.found

    def _go_on(self) -> bool:
        self._take(_BLANK)
        return self.at < len(self.text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None  # noqa: S101 - the document is good
        self.at = match.end()
        return match[0]

    def _note(self, path: Path) -> None:
        line = bisect_right(self._lines, self.at)
        self.found[path] = line, self.at - self._lines[line - 1] + 1

    def _key(self, table: Path) -> Path:
        """A key, dotted or not; each of its parts is a path of its own."""
        path = table
        while True:
            start = self.at
            word = self._take(_KEY)
            end, self.at = self.at, start
            path = *path, tomllib.loads(f"k={word}")["k"] if word[0] in "\"'" else word
            first = path not in self.found
            self.at = end
            last = "." not in self._take(_DOT)
            end, self.at = self.at, start
            if first or last:
                self._note(path)
            self.at = end
            if last:
                return path

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self.at = self.text.index("=", self.at) + 1
        self._take(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        match self.text[self.at]:
            case "{":
                self._items("}", path)
            case "[":
                self._items("]", path)
            case '"' | "'":
                self._take(_TEXT)
            case _:
                self._take(_OTHER)

    def _items(self, end: str, path: Path) -> None:
        """What is between the brackets of an array, or of an inline table."""
        self.at += 1
        number = 0
        while self._go_on() and self.text[self.at] != end:
            if self.text[self.at] == ",":
                self.at += 1
            elif end == "}":
                self._pair(path)
            else:
                self._note((*path, number))
                self._value((*path, number))
                number += 1
        self.at += 1
