"""What a warm-up has finished, in a file, so that it can go on after an interruption."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from imgproxy.warming.places import Item, Place

_HEAD = "imgproxy warm 1\n"
_DIGITS = 32


class BadJournal(ValueError):
    """A file that is something else."""


class Journal:
    """The finished items, a line for each. What is written is there, whatever ends the process afterwards."""

    def __init__(self, path: Path, place: Place) -> None:
        """Opens the file, or makes it. Raises ``OSError`` and ``BadJournal``."""
        self._origin = place.origin
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            self._finished = self._read(path)
        except BaseException:
            os.close(self._fd)
            raise

    def __len__(self) -> int:
        return len(self._finished)

    def __contains__(self, item: Item) -> bool:
        return self._name(item) in self._finished

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def note(self, item: Item) -> None:
        """The item is finished. Raises ``OSError``."""
        name = self._name(item)
        self._finished.add(name)
        os.write(self._fd, f"{name}\n".encode())

    def _name(self, item: Item) -> str:
        """No URL: their signatures are nobody's business who can read the file."""
        said = "\n".join((self._origin, item.target, item.accept))
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]

    def _read(self, path: Path) -> set[str]:
        text = path.read_bytes()
        if not text:
            os.write(self._fd, _HEAD.encode())
            return set()
        if not text.startswith(_HEAD.encode()):
            raise BadJournal(f"{path} is no file that `imgproxy warm --resume` has written")
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            os.ftruncate(self._fd, whole)  # a line that a full disk or a lost machine cut off
        return set(text[len(_HEAD) : whole].decode("ascii", "replace").split())
