"""The examples in pages: ``console`` blocks, whose commands are run and whose output is compared, and preset files.

A line that begins with ``$ `` is a command; one that ends with a backslash goes on in the next, and ``<<END``
goes on until END. The lines after it are
parts of what it prints, in this order; ``…`` stands for anything. A command that ends with ``&`` is a server, and is
waited for. All commands of a page run in one shell, in a folder of their own. A block ``toml shop.toml`` is the file
``presets/shop.toml`` for the commands below it, unless its name begins with "wrong".
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^( *)```(\w+)(?: ([^\n]+))?\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_MARK = "\x1e"
_READY = "for _ in $(seq 300); do imgproxy health >/dev/null 2>&1 && break; sleep 0.1; done"


@dataclass(frozen=True, slots=True)
class Example:
    """A command of a page."""

    command: str
    expected: tuple[str, ...]
    line: int

    @property
    def finds(self) -> bool:
        """Whether it shows what is wrong, for which commands exit with 1."""
        return any("✗" in each for each in self.expected)

    def misses(self, output: str) -> str:
        """The first expected part that the output does not have; empty if it has all."""
        position = 0
        for wanted in self.expected:
            for part in filter(None, map(str.strip, wanted.split("…"))):
                found = output.find(part, position)
                if found < 0:
                    return part
                position = found + len(part)
        return ""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    name: str
    """What stands behind the language: a file's name."""
    text: str
    line: int
    """Of the page, where its text begins."""


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page that have a language."""
    for match in _BLOCK.finditer(text):
        inside = "".join(line[len(match[1]) :] for line in match[4].splitlines(keepends=True))
        yield Block(match[2], match[3] or "", inside, text.count("\n", 0, match.start(4)) + 1)


def examples(text: str) -> Iterator[Example]:
    """What a page has done, in order."""
    for block in blocks(text):
        if block.language == "toml" and block.name and not block.name.startswith("wrong"):
            write = f"mkdir -p presets && cat > presets/{block.name} <<'TOML'\n{block.text}TOML"
            yield Example(write, (), block.line)
        elif block.language == "console":
            yield from _commands(block)


def _commands(block: Block) -> Iterator[Example]:
    lines = block.text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        last = start
        ending = re.search(r"<<(\w+)$", lines[start])
        while last + 1 < end and (lines[last].endswith("\\") or (ending and lines[last] != ending[1])):
            last += 1
        command = "\n".join(lines[start : last + 1]).removeprefix("$ ")
        yield Example(command, tuple(filter(None, lines[last + 1 : end])), block.line + start)


def failures(text: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """What is wrong with a page's examples, run in ``folder``: a text for each."""
    page = list(examples(text))
    ran = subprocess.run(
        ["bash", "-c", _script(page)],
        cwd=folder,
        env=_environment(folder) | dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
    )
    outputs = ran.stdout.split(_MARK)
    if len(outputs) != 2 * len(page) + 1:
        return [f"the shell ended early: {ran.stdout[-500:]}{ran.stderr[-500:]}"]
    told: list[str] = []
    for example, output, code in zip(page, outputs[::2], outputs[1::2], strict=False):
        missing = example.misses(output)
        if missing or (code != "0" and not example.finds):
            told.append(f"line {example.line}: {example.command}\nexit {code}, without {missing!r}:\n{output}")
    return told


def _script(page: list[Example]) -> str:
    lines = ["trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for example in page:
        if example.command.endswith("&"):
            lines.append(f"{example.command.removesuffix('&')} >server.log 2>&1 &\n{_READY}")
        else:
            lines.append(f"{{\n{example.command}\n}} 2>&1")
        lines.append(f"printf '{_MARK}%d{_MARK}' $?")
    return "\n".join(lines)


def _environment(folder: Path) -> dict[str, str]:
    """Only what a shell needs, and an ``imgproxy`` that is this checkout."""
    commands = folder / "bin"
    commands.mkdir()
    (commands / "imgproxy").write_text(f'#!/bin/sh\nexec {sys.executable} -m imgproxy "$@"\n')
    (commands / "imgproxy").chmod(0o755)
    return {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
