"""How good an answer looks: SSIMULACRA2 against the same picture resized in linear light, in floating point."""

from __future__ import annotations

import hashlib
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyvips

from bench.race import installs

if TYPE_CHECKING:
    from types import TracebackType


_GROUNDS = (26, 230)
_RULES = Path(__file__).read_bytes()
"""What is kept in the cache directory holds for as long as this module is as it was."""


class Scorer:
    """Scores answers; None where the judge cannot be installed."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="scores-")
        self._process: subprocess.Popen[str] | None = None
        self.missing = ""
        try:
            python = installs.python_program("judge", "ssimulacra2") / "python"
            script = str(Path(__file__).with_name("judge.py"))
            pipe = subprocess.PIPE
            self._process = subprocess.Popen([str(python), script], stdin=pipe, stdout=pipe, text=True, bufsize=1)
        except installs.Missing as reason:
            self.missing = str(reason)

    def score(self, source: Path, body: bytes) -> float | None:
        """Of an answer made from the file ``source``; of its first frame, if it has more."""
        if self._process is None:
            return None
        # Most answers are those of the run before.
        digest = hashlib.sha256(_RULES + source.read_bytes() + body).hexdigest()[:32]
        known = installs.CACHE / "scores" / digest
        if not known.exists():
            known.parent.mkdir(parents=True, exist_ok=True)
            known.write_text(str(self._scored(source, body)))
        return float(known.read_text())

    def _scored(self, source: Path, body: bytes) -> float:
        answer = flat(pyvips.Image.new_from_buffer(body, ""))
        wanted = pyvips.Image.new_from_file(str(reference(source, answer.width, answer.height)))
        # Transparency shows over something: the worse of dark and light.
        grounds = _GROUNDS if answer.hasalpha() or wanted.hasalpha() else (None,)
        return min(self._judged(_over(wanted, ground), _over(answer, ground)) for ground in grounds)

    def _judged(self, wanted: pyvips.Image, answer: pyvips.Image) -> float:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        paths = [Path(self._folder.name) / name for name in ("wanted.png", "answer.png")]
        for path, image in zip(paths, (wanted, answer), strict=True):
            image.pngsave(str(path), keep=0, compression=0)
        self._process.stdin.write("\t".join(map(str, paths)) + "\n")
        return float(self._process.stdout.readline())

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.stdin:
            self._process.stdin.close()
            self._process.wait(10)
        self._folder.cleanup()


def reference(source: Path, width: int, height: int) -> Path:
    """A PNG of the source at a size, kept in the cache directory: of large sources it takes seconds."""
    digest = hashlib.sha256(_RULES + source.read_bytes()).hexdigest()[:16]
    path = installs.CACHE / "references" / f"{digest}-{width}x{height}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        ideal(pyvips.Image.new_from_file(str(source)), width, height).pngsave(str(path), keep=0)
    return path


def ideal(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Lanczos 3 over the whole source, in linear light, 32 bits a channel, alpha premultiplied; sRGB again at last."""
    if image.get_typeof("icc-profile-data"):
        with suppress(pyvips.Error):
            image = image.icc_transform("srgb", embedded=True, depth=16)
    alpha = image.hasalpha()
    light = image.colourspace("scrgb")
    light = light.premultiply() if alpha else light
    light = light.reduce(image.width / width, image.height / height, kernel="lanczos3")
    light = light.unpremultiply() if alpha else light
    return light.colourspace("srgb")


def flat(image: pyvips.Image) -> pyvips.Image:
    """An answer as sRGB numbers, whatever profile it carries."""
    if image.get_typeof("icc-profile-data"):
        with suppress(pyvips.Error):
            image = image.icc_transform("srgb", embedded=True, depth=8)
    return image


def _over(image: pyvips.Image, ground: int | None) -> pyvips.Image:
    if ground is None or not image.hasalpha():
        return image
    return image.flatten(background=ground).cast("uchar")
