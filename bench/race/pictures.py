"""The folder of sources: camera photographs in the sizes of the benchmark, or stand-ins where there are none."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyvips

if TYPE_CHECKING:
    from collections.abc import Iterator

PHOTOS = Path(os.environ.get("PHOTOS", Path(__file__).parents[3] / "shared" / "photos"))
_ORIGINALS = {
    "desk": ("desk-22mp.jpg", 5760, 3840),
    "car": ("car-12mp.jpg", 4272, 2848),
    "roses": ("roses-16mp.jpg", 4608, 3456),
    "koi": ("koi-16mp.jpg", 4640, 3480),
}
_FRAMES = 12


@contextmanager
def pictures() -> Iterator[Path]:
    """A folder with all sources, until the block ends."""
    with TemporaryDirectory(prefix="race-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        fill(folder)
        yield folder


def are_photographs() -> bool:
    return all((PHOTOS / file).is_file() for file, _, _ in _ORIGINALS.values())


def fill(folder: Path) -> None:
    """Write ``p24.jpg`` (22 MP), ``p3.jpg`` (2048x1365), ``p05.jpg`` (800x600) and the others."""
    for name in _ORIGINALS:
        _original(name, folder)
    (folder / "desk-full.jpg").rename(folder / "p24.jpg")
    _reduced(folder / "car-full.jpg", 2048, folder / "p3.jpg", quality=94)
    _reduced(folder / "roses-full.jpg", 800, folder / "p05.jpg", quality=77)
    for name in ("koi", "roses", "car"):
        for side in (2000, 768):
            # 4:4:4, as the measurements that the targets come from.
            _reduced(folder / f"{name}-full.jpg", side, folder / f"{name}-{side}.jpg", quality=92)
    _with_alpha(folder / "koi-full.jpg", folder / "alpha.png")
    _moving(folder / "car-full.jpg", folder / "moving.gif")


def _original(name: str, folder: Path) -> None:
    file, width, height = _ORIGINALS[name]
    target = folder / f"{name}-full.jpg"
    if (PHOTOS / file).is_file():
        shutil.copyfile(PHOTOS / file, target)
    else:
        stand_in(width, height).jpegsave(str(target), Q=90, subsample_mode="on")


def stand_in(width: int, height: int) -> pyvips.Image:
    """Soft shapes under fine grain: what a photograph is to a decoder and a resampler, near enough."""
    soft = [pyvips.Image.perlin(width, height, cell_size=256, uchar=True, seed=seed) for seed in range(3)]
    grain = pyvips.Image.gaussnoise(width, height, mean=0, sigma=4, seed=1).gaussblur(0.7)
    return (soft[0].bandjoin([soft[1], soft[2]]) + grain).cast("uchar").copy(interpretation="srgb")


def _reduced(source: Path, side: int, target: Path, *, quality: int) -> None:
    """Both sides multiples of 8, as they are for all: a decoder that shrinks must not have to round."""
    image = pyvips.Image.thumbnail(str(source), side, height=side, linear=True)
    image = image.crop(0, 0, image.width // 8 * 8, image.height // 8 * 8)
    image.jpegsave(str(target), Q=quality, optimize_coding=True, keep=0)


def _with_alpha(source: Path, target: Path) -> None:
    """1024 pixels square, fading out towards the corners."""
    image = pyvips.Image.thumbnail(str(source), 1024, height=1024, crop="centre")
    place = pyvips.Image.xyz(1024, 1024) - 512
    radius = (place[0] ** 2 + place[1] ** 2) ** 0.5
    alpha = (600 - radius).cast("uchar")
    image.bandjoin(alpha).copy(interpretation="srgb").pngsave(str(target), filter=0xF8, keep=0)


def _moving(source: Path, target: Path) -> None:
    """Twelve frames of a camera that pans."""
    wide = pyvips.Image.thumbnail(str(source), 800).copy_memory()
    frames = [wide.crop(20 * n, 60, 480, 360) for n in range(_FRAMES)]
    stack = pyvips.Image.arrayjoin(frames, across=1).copy()
    stack.set_type(pyvips.GValue.gint_type, "page-height", 360)
    stack.set_type(pyvips.GValue.array_int_type, "delay", [80] * _FRAMES)
    stack.gifsave(str(target))
