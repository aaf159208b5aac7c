"""What is asked of every contestant: a picture, a size, a format."""

from __future__ import annotations

from dataclasses import dataclass

QUALITY = {"jpeg": 80, "webp": 79, "avif": 63}
"""The same for all contestants; AVIF is made at speed 9, WebP at the effort that a contestant's line says."""
SIDES = (320, 480, 768, 1024, 1536, 2048)
"""A srcset."""


@dataclass(frozen=True, slots=True)
class Work:
    """Fit a picture into a square of ``side`` pixels."""

    name: str
    title: str
    picture: str
    """Its file's name, see ``pictures.py``."""
    side: int
    format: str
    clients: int = 8
    """Connections on which somebody always waits."""
    animated: bool = False
    quick: bool = True
    """Whether it is a part of the quick form."""
    raw_floor: float = 0.0
    """T1: the least share of bare libvips' rate; 0 for none."""

    @property
    def quality(self) -> int:
        return QUALITY[self.format]


MISSES = (
    Work("p24-jpeg", "22 MP → 512 JPEG", "p24.jpg", 512, "jpeg", clients=6, raw_floor=0.85),
    Work("p24-webp", "22 MP → 512 WebP", "p24.jpg", 512, "webp", clients=6, quick=False, raw_floor=0.85),
    Work("p24-avif", "22 MP → 512 AVIF", "p24.jpg", 512, "avif", clients=6, quick=False, raw_floor=0.85),
    Work("p3-jpeg", "2.8 MP → 512 JPEG", "p3.jpg", 512, "jpeg", raw_floor=0.90),
    Work("p3-jpeg-600", "2.8 MP → 600 JPEG", "p3.jpg", 600, "jpeg", raw_floor=0.90),
    Work("p3-webp", "2.8 MP → 512 WebP", "p3.jpg", 512, "webp", raw_floor=0.90),
    Work("p05-jpeg", "100 KB → 200 JPEG", "p05.jpg", 200, "jpeg", clients=16, raw_floor=0.80),
    Work("png-webp", "RGBA PNG → 512 WebP", "alpha.png", 512, "webp", clients=4, quick=False),
    Work("gif-webp", "animated GIF → 240 WebP", "moving.gif", 240, "webp", clients=6, animated=True, quick=False),
)

QUALITIES = tuple(
    Work(f"{name}-{size}", f"{name}, {label}, → 500 JPEG", f"{name}-{size}.jpg", 500, "jpeg", quick=size == "2000")
    for size, label in (("full", "12-16 MP"), ("2000", "2000 px"), ("768", "768 px"))
    for name in ("koi", "roses", "car")
)
"""T10: three photographs in three sizes."""
