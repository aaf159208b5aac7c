"""What BlurHash and ThumbHash are made of: how much of each of a few cosines is in a plane of numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

Plane = Sequence[Sequence[float]]
"""Rows of numbers, one for each pixel."""


def waves(count: int, length: int, phase: float) -> list[list[float]]:
    """Cosines of 0, 1, … half periods over ``length`` pixels, each taken ``phase`` of a pixel from its start."""
    return [[math.cos(math.pi * k * (n + phase) / length) for n in range(length)] for k in range(count)]


def shares(plane: Plane, across: Plane, down: Plane) -> list[list[float]]:
    """The mean of the plane times each wave across and each wave down: ``shares[down][across]``."""
    # One direction after the other: 32 x 32 pixels and 9 x 9 waves are 12,000 products instead of 83,000.
    columns = list(zip(*([sum(map(mul, row, wave)) for wave in across] for row in plane), strict=True))
    area = len(plane) * len(plane[0])
    return [[sum(map(mul, column, wave)) / area for column in columns] for wave in down]
