"""A mezzanine: a large JPEG decoded once, to half its size, for all results that need no more of it.

It is kept raw, and shrunk further by taking means: of a JPEG's halves these are its quarters and eighths, but for what
rounding and saturated colours make of them (48 dB and more between both ways on photographs, 40 on one of red roses).
Reading it takes 2 ms, decoding 24 MP again 90 to 120.
"""

from __future__ import annotations

import math
import mmap
import os
from typing import TYPE_CHECKING, Any

import pyvips

from imgproxy.formats import JPEG
from imgproxy.geometry import Size
from imgproxy.model import MEZZANINE_PIXELS, MEZZANINE_SOURCE_PIXELS, Raster
from imgproxy.render import costs
from imgproxy.render.costs import Load

if TYPE_CHECKING:
    from imgproxy.model import Mezzanine
    from imgproxy.render.load import Picture

_FACTORS = (2, 4, 8)
_COPIES = 2
"""Of a mezzanine, while it is written."""

_FIELDS = (
    (pyvips.GValue.blob_type, ("icc-profile-data", "exif-data", "iptc-data", "xmp-data")),
    (pyvips.GValue.gstr_type, ("exif-ifd0-Artist", "exif-ifd0-Copyright")),
)
"""What a result may need of the source's metadata where that is stripped: its profile, and whose picture it is."""


def serves(picture: Picture, shrink: int) -> bool:
    """Whether a result for which the decoder would shrink the picture so much is made by way of a mezzanine."""
    factor = _factor(picture)
    return 1 < factor <= shrink


def loading(mezzanine: Mezzanine, picture: Picture, otherwise: Load) -> Load:
    """What decoding takes by way of the mezzanine, in the place of ``otherwise``."""
    if mezzanine.raster is not None:
        return otherwise
    size = _size(picture, _factor(picture))
    load, held = costs.loading(picture, size), size.width * size.height * picture.bands
    return Load(load.peak + _COPIES * held, load.left + held)


def pixels(mezzanine: Mezzanine, picture: Picture, shrink: int) -> tuple[pyvips.Image, Raster | None]:
    """The picture, shrunk so much, if a mezzanine ``serves``. If it was still to be made: also what is in it now."""
    factor = _factor(picture)
    if mezzanine.raster is None:
        image = picture.shrunk(factor).copy_memory()
        made = _written(image, mezzanine.fd)
    else:
        image, made = _read(mezzanine.fd, mezzanine.raster, picture.header), None
    return _further(image, picture.size, shrink // factor, shrink), made


def _further(image: pyvips.Image, size: Size, factor: int, shrink: int) -> pyvips.Image:
    if factor == 1:
        return image
    image = image.shrink(factor, factor)
    # Without a last row or column that is half there, as libvips leaves it out, too: or all others would move.
    return image.crop(0, 0, min(image.width, size.width // shrink), min(image.height, size.height // shrink))


def _factor(picture: Picture) -> int:
    """By how much a picture is shrunk for its mezzanine; 1 if it has none."""
    many = picture.size.width * picture.size.height
    simple = picture.plain and picture.sample == 1 and picture.bands in {1, 3} and picture.pages == 1
    if picture.format is not JPEG or not simple or many < MEZZANINE_SOURCE_PIXELS:
        return 1
    sizes = ((factor, _size(picture, factor)) for factor in _FACTORS)
    return next((factor for factor, size in sizes if size.width * size.height <= MEZZANINE_PIXELS), 1)


def _size(picture: Picture, factor: int) -> Size:
    return Size(math.ceil(picture.size.width / factor), math.ceil(picture.size.height / factor))


def _written(image: pyvips.Image, fd: int) -> Raster:
    body, written = memoryview(image.write_to_memory()).cast("B"), 0
    while written < len(body):
        written += os.pwrite(fd, body[written:], written)
    return Raster(image.width, image.height, image.bands)


def _read(fd: int, raster: Raster, header: pyvips.Image) -> pyvips.Image:
    """The pixels, mapped, with what the source's own header says of them."""
    mapped: Any = mmap.mmap(fd, raster.bytes, prot=mmap.PROT_READ)
    image = pyvips.Image.new_from_memory(mapped, raster.width, raster.height, raster.bands, "uchar")
    image = image.copy(interpretation=header.interpretation)
    for kind, names in _FIELDS:
        for name in names:
            if header.get_typeof(name):
                image.set_type(kind, name, header.get(name))
    return image
