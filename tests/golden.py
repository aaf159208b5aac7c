"""Goldens: pictures a render must look like, compared by pixels.

``tests/goldens/<option>/<segment>.png`` is one result each, small and viewable. A result matches
when size, bands, depth and alpha agree and no pixel differs visibly. Bytes or hashes would fail
with every libvips release: between two of them the same operations differ by up to 3 of 255.

A missing golden is a failure; ``make golden`` (``IMGPROXY_GOLDEN=write``) writes what is missing
or no longer matches, and leaves the others untouched so that the commit shows what changed.
A failure leaves the result, the golden and their amplified difference in ``tests/out/index.html``.

Make the fixture known in ``conftest.py``: ``pytest_plugins = ["tests.golden"]``.
"""

from __future__ import annotations

import fcntl
import hashlib
import html
import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import pyvips

GOLDENS = Path(__file__).parent / "goldens"
OUT = Path(__file__).parent / "out"

# The same operations under libvips 8.14.1 and 8.18.7 differed by at most 3 and 0.2 on average.
MAX_DIFFERENCE = 4.0
MEAN_DIFFERENCE = 0.5
AMPLIFY = 16
LONGEST_NAME = 100

PICTURES = ("actual.png", "expected.png", "difference.png")
KINDS = (*PICTURES, "note.json")


@pytest.fixture(scope="session")
def golden() -> Golden:
    return Golden(GOLDENS, OUT, write=os.environ.get("IMGPROXY_GOLDEN") == "write")


def path_of(option: str, segment: str) -> Path:
    """Where the golden of a segment lives, below the goldens' folder.

    ``:`` becomes ``=``, ``/`` becomes ``+``, whatever else is not a letter, digit or one of
    ``._-~`` its percent code: ``resize:fit:30:0`` is ``resize/resize=fit=30=0.png``. The mapping
    can be undone; only names beyond 100 characters end in a digest instead.
    """
    name = "+".join("=".join(_quoted(part) for part in s.split(":")) for s in segment.split("/"))
    if len(name) > LONGEST_NAME:
        digest = hashlib.sha256(segment.encode()).hexdigest()[:12]
        name = f"{name[: LONGEST_NAME - 13]}-{digest}"
    return Path(_quoted(option)) / f"{name}.png"


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two pictures of one shape are apart, in units of 255, and a picture of it."""

    largest: float
    mean: float
    picture: pyvips.Image

    @property
    def visible(self) -> bool:
        return self.largest > MAX_DIFFERENCE or self.mean > MEAN_DIFFERENCE

    def __str__(self) -> str:
        return (
            f"pixels differ by up to {self.largest:.1f} (allowed {MAX_DIFFERENCE:g}), "
            f"{self.mean:.2f} on average (allowed {MEAN_DIFFERENCE:g})"
        )


class Golden:
    """The goldens in a folder, and where the evidence of failures goes."""

    def __init__(self, goldens: Path, out: Path, *, write: bool) -> None:
        self._goldens = goldens
        self._out = out
        self._write = write

    def matches(self, name: str, png: bytes, option: str = "") -> bool:
        """True when a result looks like its golden; otherwise the test fails, saying why.

        ``name`` is a piece of a URL ("blur:4" or "blur:4/dpr:2"); its golden is in the folder
        ``option``, or in that of the word before the first colon.
        """
        path = path_of(option or name.split(":", 1)[0], name)
        problem = self._problem(path, png)
        if problem and self._write:
            _store(self._goldens / path, png)
            problem = ""
        if not problem:
            self._forget(path)
            return True
        self._report(path, name, png, problem)
        pytest.fail(f"{name}: {problem}; see {self._out / 'index.html'}", pytrace=False)

    def _problem(self, path: Path, png: bytes) -> str:
        """What is wrong with a result, or nothing."""
        if not (self._goldens / path).exists():
            return f"no golden {path}; look at the result, then run `make golden`"
        actual, expected = _decoded(png), _decoded((self._goldens / path).read_bytes())
        if _shape(actual) != _shape(expected):
            return f"the result is {_shape(actual)}, its golden {_shape(expected)}"
        difference = compare(actual, expected)
        return str(difference) if difference.visible else ""

    def _report(self, path: Path, name: str, png: bytes, problem: str) -> None:
        """Leave the evidence of a failure."""
        evidence = {
            "actual.png": png,
            "note.json": json.dumps({"name": name, "problem": problem}).encode(),
        }
        golden_file = self._goldens / path
        if golden_file.exists():
            evidence["expected.png"] = golden_file.read_bytes()
            actual, expected = _decoded(png), _decoded(evidence["expected.png"])
            if _shape(actual) == _shape(expected):
                evidence["difference.png"] = compare(actual, expected).picture.pngsave_buffer()
        self._replace(path, evidence)

    def _forget(self, path: Path) -> None:
        """Drop the evidence of an earlier failure."""
        if _place_of(self._out / path, "note.json").exists():
            self._replace(path, {})

    def _replace(self, path: Path, evidence: dict[str, bytes]) -> None:
        """Put evidence in the place of earlier evidence, and list all there is."""
        target = self._out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # Several test processes report at once: one after the other, each lists them all.
        with (self._out / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Not by a pattern: "blur=1.*" would take the evidence of blur:1.5 along.
            for kind in KINDS:
                _place_of(target, kind).unlink(missing_ok=True)
            for kind, body in evidence.items():
                _place_of(target, kind).write_bytes(body)
            page = _page(self._out, sorted(self._out.glob("*/*.note.json")))
            (self._out / "index.html").write_text(page, encoding="utf-8")


def compare(actual: pyvips.Image, expected: pyvips.Image) -> Difference:
    """The difference of two pictures of one shape; what is transparent in both does not count."""
    unit = 257 if actual.format == "ushort" else 1
    difference = (_visible(actual) - _visible(expected)).abs() / unit
    colours = difference[: min(difference.bands, 3)]
    largest = difference.max()
    assert isinstance(largest, float)  # the stubs also know a form with coordinates
    return Difference(
        largest=largest,
        mean=difference.avg(),
        picture=(colours * AMPLIFY).cast("uchar").copy(interpretation="srgb"),
    )


def _visible(image: pyvips.Image) -> pyvips.Image:
    return image.premultiply() if image.hasalpha() else image


def _shape(image: pyvips.Image) -> str:
    depth = {"uchar": 8, "ushort": 16}.get(str(image.format), image.format)
    alpha = "with alpha" if image.hasalpha() else "opaque"
    return f"{image.width} x {image.height}, {image.bands} bands of {depth} bits, {alpha}"


def _decoded(png: bytes) -> pyvips.Image:
    return pyvips.Image.pngload_buffer(png)


def _store(path: Path, png: bytes) -> None:
    """Write a golden without metadata, as small as a lossless PNG gets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    attempts = (
        _decoded(png).write_to_buffer(".png", compression=9, filter=filters, keep="none") for filters in ("none", "all")
    )
    path.write_bytes(min(attempts, key=len))


def _place_of(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.stem}.{kind}")


def _page(out: Path, notes: list[Path]) -> str:
    rows: list[str] = []
    for file in notes:
        note = json.loads(file.read_text(encoding="utf-8"))
        stem = file.name.removesuffix(".note.json")
        pictures = "".join(_cell(out, file.parent / f"{stem}.{kind}") for kind in PICTURES)
        told = f"<code>{html.escape(note['name'])}</code><p>{html.escape(note['problem'])}"
        rows.append(f"<tr><td>{told}{pictures}")
    return (
        "<!doctype html><meta charset=utf-8><title>Goldens that did not match</title><style>"
        "body{font:15px sans-serif}td{vertical-align:top;padding:8px;border-top:1px solid #ccc}"
        "img{max-width:420px;"
        "background:repeating-conic-gradient(#ddd 0 25%,#fff 0 50%) 0/20px 20px}"
        f"</style><h1>{len(notes)} goldens did not match</h1><table>"
        f"<tr><th>segment<th>actual<th>expected<th>difference, {AMPLIFY} times\n" + "\n".join(rows)
    )


def _cell(out: Path, picture: Path) -> str:
    if not picture.exists():
        return "<td>none"
    return f'<td><img alt="" src="{quote(str(picture.relative_to(out)))}">'


def _quoted(text: str) -> str:
    return quote(text, safe="")
