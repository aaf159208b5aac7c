"""The watermark: loaded, scaled and placed on a layer of the image's size, then composited over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyvips

from imgproxy.errors import SourceError, WatermarkMissing
from imgproxy.formats import SVG
from imgproxy.geometry import Anchor, Gravity, Size, Wish, offsets, place, scale_to_even, solve
from imgproxy.model import Limits
from imgproxy.render.budget import Budget
from imgproxy.render.colour import to_result_space, to_working_space
from imgproxy.render.costs import check_load
from imgproxy.render.load import read_header
from imgproxy.render.resize import resized, with_alpha

if TYPE_CHECKING:
    from imgproxy.model import Source
    from imgproxy.options import Watermark


class Mark:
    """A watermark picture and how it is to be laid over an image. Frames of one size share one layer."""

    def __init__(self, source: Source, option: Watermark, opacity: float, budget: Budget) -> None:
        self._source = source
        self._option = option
        self._opacity = option.opacity * opacity
        self._budget = budget
        self._layer: pyvips.Image | None = None

    def over(self, image: pyvips.Image, dpr: float) -> pyvips.Image:
        """The image with the mark on it: as opaque as it was, in colour if the mark is."""
        if self._layer is None:
            self._layer = self._laid_out(Size(image.width, image.height), dpr).copy_memory()
        layer = self._layer
        deep = image.format == "ushort"
        grey = image.bands <= 2 and layer.bands <= 2
        space = ("grey16" if deep else "b-w") if grey else ("rgb16" if deep else "srgb")
        alpha, format_ = image.hasalpha(), image.format
        image = image.colourspace(space).composite2(layer.colourspace(space), "over", compositing_space=space)
        return (image if alpha else image[: image.bands - 1]).cast(format_)

    def _laid_out(self, size: Size, dpr: float) -> pyvips.Image:
        option = self._option
        gravity = Gravity(option.anchor, option.x, option.y)
        mark = self._scaled(size)
        mark = mark * [*[1.0] * (mark.bands - 1), self._opacity] if self._opacity < 1 else mark
        mark = mark.cast("uchar")
        if option.anchor is Anchor.REPLICATE:
            return _tiled(mark, size, offsets(size, gravity, dpr))
        left, top = place(size, Size(mark.width, mark.height), gravity, dpr, overhang=True)
        return mark.embed(left, top, size.width, size.height)

    def _scaled(self, size: Size) -> pyvips.Image:
        try:
            return self._loaded(size)
        except (SourceError, pyvips.Error) as error:
            raise WatermarkMissing(f"the watermark: {error}") from error

    def _loaded(self, size: Size) -> pyvips.Image:
        """The mark in its natural size, or fitted into its share of the image; sRGB or grey, with alpha."""
        picture = read_header(self._source, Limits(), self._budget)
        natural = picture.turn.final(picture.size)
        share = self._option.scale
        box = Wish(
            width=max(scale_to_even(size.width, share), 1) if share else 0,
            height=max(scale_to_even(size.height, share), 1) if share else 0,
            enlarge=True,
        )
        scaled = solve(natural, box, vector=picture.format is SVG).scaled
        shrink = natural.width / scaled.width
        check_load(picture, picture.loaded_size(shrink), self._budget, copies=2)
        mark = to_working_space(picture.load_at_least(shrink), deep=False).copy_memory()
        mark = with_alpha(to_result_space(mark, picture.format, keep_profile=False)).autorot()
        return resized(mark, scaled).copy_memory()


def _tiled(mark: pyvips.Image, size: Size, gaps: tuple[int, int]) -> pyvips.Image:
    """The mark repeated over the whole size, an odd number of times each way, so that one is in the centre."""
    gap_x, gap_y = (max(0, gap) for gap in gaps)
    tile = mark.embed(gap_x // 2, gap_y // 2, mark.width + gap_x, mark.height + gap_y)
    across, down = -(-size.width // tile.width) | 1, -(-size.height // tile.height) | 1
    carpet = tile.replicate(across, down)
    return carpet.crop((carpet.width - size.width) // 2, (carpet.height - size.height) // 2, size.width, size.height)
