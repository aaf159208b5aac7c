"""A folder for a server's local sources: the corpus of odd files, an ordinary photograph, a watermark."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hostile.volley import ORDINARY

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "imgproxy" / "samples"
CORPUS = Path(os.environ.get("IMAGE_CORPUS", ROOT.parent / "shared" / "corpus"))


@contextmanager
def ground(corpus: Path | None = None) -> Iterator[Path]:
    """Such a folder, with the files of ``corpus`` below ``corpus/``. A copy: nothing else of this machine is served."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        root = Path(name)
        shutil.copy(SAMPLES / "koi.jpg", root / ORDINARY)
        shutil.copy(SAMPLES / "watermark.png", root / "mark.png")
        for sample in SAMPLES.iterdir():
            if sample.is_file():  # presets lie beside them
                shutil.copy(sample, root / sample.name)
        if corpus is not None:
            shutil.copytree(corpus, root / "corpus")
        yield root


def files(root: Path, count: int | None = None, seed: int = 1) -> list[str]:
    """The files below ``corpus/``, by their paths below ``root``: all of them, or ``count`` by chance."""
    found = sorted(str(path.relative_to(root)) for path in (root / "corpus").rglob("*") if path.is_file())
    return found if count is None else random.Random(seed).sample(found, min(count, len(found)))
