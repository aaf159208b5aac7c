"""Files that were dropped on the page: few, small, in a folder of their own, gone when the server stops."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections import deque
from pathlib import Path
from typing import Self

from imgproxy.formats import SNIFF_BYTES, sniff

LARGEST = 20 * 1024**2
MOST = 24
"""Files that are kept; then the oldest one goes."""


class Refused(ValueError):
    """A file that is not taken, and why."""


class Uploads:
    """A temporary folder within ``folder``, itself within ``root``, where sources are found as ``local://``."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dropped-", dir=folder.resolve()))
        self._root = root.resolve()
        self._kept: deque[Path] = deque()

    @classmethod
    def of(cls, folder: str, root: str) -> Self | None:
        """None where no folder is set up."""
        return cls(Path(folder), Path(root)) if folder and root else None

    def keep(self, body: bytes) -> str:
        """The source URL of a file that is kept from now on. Raises ``Refused``."""
        found = sniff(body[:SNIFF_BYTES])
        if found is None or not found.readable:
            raise Refused("This is no picture that the server can read.")
        while len(self._kept) >= MOST:
            self._kept.popleft().unlink(missing_ok=True)
        # Nobody can guess the name, and none of it is the client's.
        path = self._folder / f"{secrets.token_hex(8)}{found.extension}"
        path.write_bytes(body)
        self._kept.append(path)
        return f"local:///{path.relative_to(self._root).as_posix()}"

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
