"""Typed access to the metadata fields of an image, which may be missing or of another type in a hostile file."""

from __future__ import annotations

from typing import Any, cast

import pyvips

_library = cast("Any", pyvips).vips_lib
_glib = cast("Any", pyvips).glib_lib


def names(image: pyvips.Image) -> list[bytes]:
    """The names of all fields, as bytes: one may hold a PNG keyword in Latin-1, over which ``get_fields`` stumbles."""
    array = _library.vips_image_get_fields(image.pointer)
    found: list[bytes] = []
    while array[len(found)]:
        found.append(cast("Any", pyvips).ffi.string(array[len(found)]))
        _glib.g_free(array[len(found) - 1])
    _glib.g_free(array)
    return found


def remove(image: pyvips.Image, name: bytes) -> None:
    """Take a field out of an image of one's own; of no effect on what is of the picture itself (width, format, ...)."""
    _library.vips_image_remove(image.pointer, name)


def integer(image: pyvips.Image, name: str, default: int) -> int:
    """A whole number, or the default."""
    value: object = image.get(name) if image.get_typeof(name) else default
    return value if isinstance(value, int) else default


def integers(image: pyvips.Image, name: str) -> list[int]:
    """A list of whole numbers, empty if there is none."""
    value: object = image.get(name) if image.get_typeof(name) else []
    return [int(each) for each in value if isinstance(each, int)] if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def blob(image: pyvips.Image, name: str) -> bytes:
    """Binary data, empty if there is none."""
    value: object = image.get(name) if image.get_typeof(name) else b""
    return value if isinstance(value, bytes) else b""
