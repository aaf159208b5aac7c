"""Limits that a URL may move, where the operator lets it."""

from __future__ import annotations

from dataclasses import dataclass

from imgproxy.options.base import Option, Spelling, arg
from imgproxy.options.values import Number, Whole


@dataclass(frozen=True, slots=True)
class SecurityLimits(Option):
    """Replace a configured limit for this request; needs `IMGPROXY_ALLOW_SECURITY_OPTIONS`.

    Megapixels may be fractions. 0 switches a limit off.
    """

    source_resolution: float | None = arg(Number(0, unit="megapixels"), None, "Largest source.")
    source_bytes: int | None = arg(Whole(unit="bytes"), None, "Largest source file.")
    frames: int | None = arg(Whole(1), None, "Frames of an animation that are kept.")
    frame_resolution: float | None = arg(Number(0, unit="megapixels"), None, "Largest frame of an animation.")
    result_side: int | None = arg(Whole(unit="px"), None, "Longest side of the result, which is scaled down to it.")

    spellings = (
        Spelling(("max_src_resolution", "msr"), ("source_resolution",)),
        Spelling(("max_src_file_size", "msfs"), ("source_bytes",)),
        Spelling(("max_animation_frames", "maf"), ("frames",)),
        Spelling(("max_animation_frame_resolution", "mafr"), ("frame_resolution",)),
        Spelling(("max_result_dimension", "mrd"), ("result_side",)),
    )
    examples = ("msr:10", "msfs:1000000", "maf:20", "mafr:1", "mrd:200")
    effect = "request"
