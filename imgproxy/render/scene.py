"""What the steps of one render share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgproxy.formats import Format
    from imgproxy.geometry import Geometry, Size, Turn
    from imgproxy.model import Plan
    from imgproxy.render.watermark import Mark


@dataclass(frozen=True, slots=True)
class Scene:
    """What the steps of one render share."""

    plan: Plan
    format: Format
    turn: Turn
    geometry: Geometry
    stored: Size
    """Of the source, or what trimming left of it, before it was shrunk on load."""
    mark: Mark | None
    light: bool = False
    """Whether the quality profile resamples it in linear light."""
    crop_at: tuple[int, int] | None = None
    result_crop_at: tuple[int, int] | None = None
    """Where smart crops cut: found on the first frame, so that an animation does not jump."""
