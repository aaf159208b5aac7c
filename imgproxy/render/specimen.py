"""A picture to measure with, which compresses as photographs do, and which libvips there is."""

from __future__ import annotations

import pyvips

_OCTAVES = (512, 256, 128, 64, 32, 16, 8, 4)
"""Sizes of details in pixels. In photographs each octave has about as much contrast (a power spectrum of 1/f^2)."""
_CONTRAST, _RELIEF = 22.0, 90.0
"""Of each octave, and what large shapes have more; of 255."""


def photograph(width: int, height: int) -> bytes:
    """A JPEG with the spectrum of a photograph, an edge here and there, and the grain of a sensor. Always the same."""
    bands = [_clouds(width, height, seed) for seed in (1, 2, 3)]
    luma = bands[0]
    # Colours of photographs change less than brightness.
    colour = luma.bandjoin([luma * 0.8 + bands[1] * 0.2, luma * 0.8 + bands[2] * 0.2])
    xy = pyvips.Image.xyz(width, height)
    ridge = ((xy[1] - height * 0.6) > (bands[1] - 128) * 0.8) / 255  # the border of something dark before it
    dimmed = colour * (1 - 0.45 * ridge)
    grain = pyvips.Image.gaussnoise(width, height, sigma=2.5, mean=0, seed=4)
    picture = (dimmed + grain).cast("uchar").copy(interpretation="srgb")
    body: bytes = picture.jpegsave_buffer(Q=90)
    return body


def libvips_version() -> str:
    """Such as "8.18.7"."""
    return ".".join(str(pyvips.version(part)) for part in range(3))


def _clouds(width: int, height: int, seed: int) -> pyvips.Image:
    """Noise of all sizes around 128."""
    parts = [
        pyvips.Image.perlin(width, height, cell_size=size, seed=seed * 100 + number) * (_CONTRAST + _RELIEF / 2**number)
        for number, size in enumerate(_OCTAVES)
    ]
    return pyvips.Image.sum(parts) + 128
