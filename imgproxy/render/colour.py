"""Colour spaces and profiles: into a space to work in, and out of it again.

RGB and grey images keep their numbers and their profile while they are worked on, and are converted at the end,
when they are small; CMYK, Lab and the like are converted first.
"""

from __future__ import annotations

import pyvips

from imgproxy.formats import JPEG, TIFF, Format
from imgproxy.render.fields import blob

_RGB = {"srgb", "rgb", "rgb16"}
_GREY = {"b-w", "grey16"}
_DEEP = {"rgb16", "grey16"}
_PROFILE = "icc-profile-data"
_ICC_MAX_BYTES = 4 * 1024 * 1024
_CMYK_PROFILE = "imgproxy-cmyk-profile"
"""Field that remembers the profile of a CMYK source while it is worked on in sRGB."""
_CMYK_FORMATS = (JPEG, TIFF)


def to_working_space(image: pyvips.Image, *, deep: bool) -> pyvips.Image:
    """An image in sRGB or grey numbers, 8 bits a channel, or 16 if ``deep`` and it has them."""
    if len(blob(image, _PROFILE)) > _ICC_MAX_BYTES:
        image = without_profile(image)
    if image.interpretation in {"multiband", "histogram", "matrix"}:
        image = _guess(image)
    if image.interpretation not in _RGB | _GREY:
        image = _imported(image)
    if image.interpretation in _DEEP and deep:
        return image
    if image.interpretation in _DEEP or image.format != "uchar":
        return _eight_bits(image)
    return image.copy(interpretation="srgb") if image.interpretation == "rgb" else image


def to_result_space(image: pyvips.Image, format_: Format, *, keep_profile: bool) -> pyvips.Image:
    """An image as it is written: in its own profile if that is kept, else in sRGB (or grey) without one."""
    if keep_profile and format_ in _CMYK_FORMATS and image.get_typeof(_CMYK_PROFILE) and not image.hasalpha():
        return _exported(image)
    if keep_profile or not image.get_typeof(_PROFILE):
        return image
    if _is_srgb(blob(image, _PROFILE)):
        return without_profile(image)
    deep = image.interpretation in _DEEP
    alpha = image[image.bands - 1] if image.hasalpha() else None
    colour = image[: image.bands - 1] if alpha is not None else image
    try:
        if image.interpretation in _GREY:
            colour = colour.icc_import(embedded=True).colourspace("grey16" if deep else "b-w")
        else:
            colour = colour.icc_transform("srgb", embedded=True, depth=16 if deep else 8)
    except pyvips.Error:
        # A profile that the engine refuses, or one for another kind of image, says nothing.
        return without_profile(image)
    return without_profile(colour if alpha is None else colour.bandjoin(alpha))


def without_profile(image: pyvips.Image) -> pyvips.Image:
    if not image.get_typeof(_PROFILE):
        return image
    image = image.copy()
    image.remove(_PROFILE)
    return image


def _guess(image: pyvips.Image) -> pyvips.Image:
    """Bands without a meaning: the first three are colours, or the first is grey."""
    bands = 3 if image.bands >= 3 else 1
    deep = image.format == "ushort"
    if bands == 3:
        return image[:3].copy(interpretation="rgb16" if deep else "srgb")
    return image[0].copy(interpretation="grey16" if deep else "b-w")


def _imported(image: pyvips.Image) -> pyvips.Image:
    """CMYK, Lab, linear light and the like as sRGB, without their profile."""
    profile = b""
    if image.interpretation == "cmyk":
        try:
            profile = blob(image, _PROFILE)
            image = image.icc_import(embedded=True, input_profile="cmyk")
        except pyvips.Error:
            # The embedded profile is broken: the built-in one is the best guess.
            profile = b""
            image = without_profile(image).icc_import(input_profile="cmyk")
    image = without_profile(image.colourspace("srgb"))
    return _with_field(image, _CMYK_PROFILE, profile) if profile else image


def _exported(image: pyvips.Image) -> pyvips.Image:
    """An sRGB image in the CMYK that its source had, with that profile."""
    profile = blob(image, _CMYK_PROFILE)
    return _with_field(image.colourspace("lab"), _PROFILE, profile).icc_export(depth=8)


def _with_field(image: pyvips.Image, name: str, value: bytes) -> pyvips.Image:
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, name, value)  # pyright: ignore[reportArgumentType] - the stub forgets blobs
    return image


def _eight_bits(image: pyvips.Image) -> pyvips.Image:
    if image.interpretation in _DEEP:
        return image.colourspace("b-w" if image.interpretation in _GREY else "srgb")
    if image.format == "ushort":
        # 16-bit numbers under an 8-bit name (some TIFFs).
        return (image >> 8).cast("uchar")
    return image.cast("uchar")


def _is_srgb(profile: bytes) -> bool:
    """Whether this is HP's "sRGB IEC61966-2.1": manufacturer and model in the profile's header (ICC.1 §7.2)."""
    return profile[48:56] == b"IEC sRGB"
