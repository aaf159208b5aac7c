"""How far two pictures are apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyvips

_AMPLIFIED = 8
"""By how much a difference is drawn stronger than it is: JPEG's usual ones, of 1 to 5, can then be seen."""
_SIGMA = 1.5
"""SSIM's window (Wang et al. 2004), as its constants below."""
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of two pictures of one size; samples from 0 to 255, laid over white where they are transparent."""

    mean: float
    """Mean difference of the samples."""
    largest: float
    psnr: float
    """In dB; infinite if they are the same."""
    ssim: float
    """Structural similarity of the grey pictures: 1 if they are the same."""
    picture: bytes
    """The differences, 8 times as strong, as a PNG."""


def compare(one: bytes, other: bytes) -> Comparison | None:
    """The first frames of two encoded pictures, if they have the same size. Raises ``pyvips.Error``."""
    before, after = decoded(one), decoded(other)
    if (before.width, before.height) != (after.width, after.height):
        return None
    difference = (before - after).abs()
    square: float = (difference * difference).avg()
    return Comparison(
        mean=difference.avg(),
        largest=difference.stats()(1, 0)[0],
        psnr=10 * math.log10(255**2 / square) if square else math.inf,
        ssim=_ssim(before.colourspace("b-w"), after.colourspace("b-w")),
        picture=(difference * _AMPLIFIED).cast("uchar").copy(interpretation="srgb").pngsave_buffer(),
    )


def decoded(body: bytes) -> pyvips.Image:
    """The first frame of an encoded picture: sRGB, 8 bits, three bands, over white. Raises ``pyvips.Error``."""
    image = pyvips.Image.new_from_buffer(body, "")
    if image.interpretation != "srgb":
        image = image.colourspace("srgb")
    if image.hasalpha():
        image = image.flatten(background=[255, 255, 255])
    return image.cast("uchar").copy_memory()


def _ssim(one: pyvips.Image, other: pyvips.Image) -> float:
    one, other = one.cast("float"), other.cast("float")
    mean, mean_ = one.gaussblur(_SIGMA, precision="float"), other.gaussblur(_SIGMA, precision="float")
    variance = (one * one).gaussblur(_SIGMA, precision="float") - mean * mean
    variance_ = (other * other).gaussblur(_SIGMA, precision="float") - mean_ * mean_
    covariance = (one * other).gaussblur(_SIGMA, precision="float") - mean * mean_
    above = (mean * mean_ * 2 + _C1) * (covariance * 2 + _C2)
    below = (mean * mean + mean_ * mean_ + _C1) * (variance + variance_ + _C2)
    return (above / below).avg()
