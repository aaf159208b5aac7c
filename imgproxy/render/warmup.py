"""A tiny picture through everything that a render may use.

It is the health check of a render process. And it loads what is loaded late: fonts above all, because under the
sandbox nothing can be opened any more that was not found in time.
"""

from __future__ import annotations

import codecs
import importlib

import pyvips

from imgproxy.errors import InternalError
from imgproxy.render.light import from_light, to_light
from imgproxy.render.markup import EIGHT_BIT
from imgproxy.render.svg import sanitize

LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Heif", "Tiff", "Svg")
SAVERS = ("Jpeg", "Png", "Webp", "Cgif", "Heif", "Tiff")
_SUFFIXES = (".png", ".jpg", ".webp", ".avif", ".gif", ".tiff")
_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="16"><rect width="64" height="16"/>'
    b'<text y="12" fill="#fff" font-family="serif">Ag</text>'
    b'<text x="32" y="12" fill="#fff" font-family="sans">Ag</text></svg>'
)


def set_up_libvips() -> None:
    """No cache, and only the codecs in use: a refused type is an unknown type, whatever libvips could read."""
    pyvips.cache_set_max(0)  # every source is new; libvips' own checklist says so for proxies
    for kind, used in (("Load", LOADERS), ("Save", SAVERS)):
        pyvips.operation_block_set(f"VipsForeign{kind}", True)
        for name in used:
            pyvips.operation_block_set(f"VipsForeign{kind}{name}", False)
    pyvips.operation_block_set("VipsSystem", True)


def warm_up() -> None:
    """Every format read and written, and text with its fonts, in 20 ms. Raises what goes wrong."""
    black = pyvips.Image.black(16, 16, bands=3).copy(interpretation="srgb")
    for suffix in _SUFFIXES:
        body: bytes = black.write_to_buffer(suffix)
        if pyvips.Image.new_from_buffer(body, "").resize(0.5)[0].avg() > 1:
            raise InternalError(f"black is not black in {suffix}")
    if pyvips.Image.new_from_buffer(sanitize(_SVG), "")[0].avg() > 250:
        raise InternalError("black is not black in SVG")


def load_late_modules() -> None:
    """Find what Python looks for when it is first used; before the sandbox, which would hide the files."""
    importlib.import_module("array")  # socket.recv_fds
    for name in (*EIGHT_BIT, "utf-16", "utf-16-be", "utf-16-le"):  # Python's codecs are modules
        codecs.lookup(name)


def load_late_parts() -> None:
    """Load what a render may need: all of the health check, and what that does not have to show. 60 ms."""
    warm_up()
    grey = (pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb") + 128).cast("uchar")
    grey.icc_export(output_profile="p3").icc_import(embedded=True).avg()
    for picture in (grey, grey[0]):
        from_light(to_light(picture)).avg()  # their tables take 4 ms
    grey.smartcrop(4, 4, interesting="attention").avg()
    grey.write_to_buffer(".tiff", compression="jpeg")
    moving = grey.draw_rect([0, 0, 0], 0, 4, 8, 4, fill=True)
    moving.set_type(pyvips.GValue.gint_type, "page-height", 4)
    for suffix in (".gif", ".webp"):
        body = moving.write_to_buffer(suffix)
        if pyvips.Image.new_from_buffer(body, "", n=-1).height != 8:
            raise InternalError(f"a frame is missing in {suffix}")
