"""Which results are of the same picture in another size: what can stand in when there is no time to make one."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from imgproxy.options import Dpr, FormatQuality, MaxBytes, MinSize, Quality, Resize, Zoom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgproxy.model import Plan, Rendition

_MOST_FAMILIES = 10_000
_MOST_MEMBERS = 16
_FURTHEST = math.log(8)
"""A picture of more than eight times the pixels is too many bytes, one of less than an eighth a blur."""

_Member = tuple[int, int]


class Kin:
    """Keys of results by family: same source, options and formats, but for size and quality."""

    def __init__(self) -> None:
        self._families: OrderedDict[object, dict[str, _Member]] = OrderedDict()

    def note(self, plan: Plan, key: str, rendition: Rendition) -> None:
        """Remember that the result of ``plan`` is kept under ``key``."""
        family = _family(plan)
        members = self._families.pop(family, {})
        members.pop(key, None)
        members[key] = (rendition.width, rendition.height)
        if len(members) > _MOST_MEMBERS:
            del members[next(iter(members))]
        self._families[family] = members
        if len(self._families) > _MOST_FAMILIES:
            self._families.popitem(last=False)

    def nearest(self, plan: Plan) -> Iterator[str]:
        """Keys of the plan's kin, nearest in size first; of the same shape where the plan asks for one."""
        options = plan.options
        resize, dpr = options[Resize], options[Dpr].ratio
        width, height = resize.width * dpr, resize.height * dpr
        members = self._families.get(_family(plan), {})
        distances = {key: _distance(width, height, member) for key, member in members.items()}
        yield from sorted((key for key in distances if distances[key] <= _FURTHEST), key=lambda key: distances[key])


def _family(plan: Plan) -> object:
    options = plan.options
    resize = options[Resize]
    # Crops to a box are of one family where the boxes have one shape.
    shape = round(100 * math.log(resize.width / resize.height)) if resize.width and resize.height else 0
    rest = str(options.without(Resize, MinSize, Zoom, Dpr, Quality, FormatQuality, MaxBytes))
    return plan.source.url, rest, resize.fit, shape, plan.formats, plan.watermark


def _distance(width: float, height: float, member: _Member) -> float:
    """How far a member is from the wish, as the logarithm of the ratio of pixels."""
    own = member[0] * member[1]
    if width and height:
        wished = width * height
    elif width or height:
        scale = width / member[0] if width else height / member[1]
        wished = own * scale**2
    else:
        return 0.0
    return abs(math.log(own / wished))
