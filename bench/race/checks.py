"""Whether an answer is what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyvips

if TYPE_CHECKING:
    from pathlib import Path

    from bench.race.works import Work

_LOADERS = {"jpeg": "jpegload_buffer", "webp": "webpload_buffer", "avif": "heifload_buffer"}


def fault(work: Work, source: Path, body: bytes) -> str:
    """What is wrong with an answer: its format, its size, its frames; empty if nothing is."""
    try:
        image = pyvips.Image.new_from_buffer(body, "", fail_on="truncated")
    except pyvips.Error:
        return "not an image"
    if image.get("vips-loader") != _LOADERS[work.format]:
        return f"{image.get('vips-loader')}, not {work.format}"
    original = pyvips.Image.new_from_file(str(source))
    scale = work.side / max(original.width, original.height)
    wanted = original.width * scale, original.height * scale
    if abs(image.width - wanted[0]) >= 1 or abs(image.height - wanted[1]) >= 1:
        return f"{image.width}x{image.height}, not {wanted[0]:.1f}x{wanted[1]:.1f}"
    if work.animated and _pages(image) != _pages(original):
        return f"{_pages(image)} frames, not {_pages(original)}"
    if original.hasalpha() and not work.animated and not image.hasalpha():
        return "without transparency"
    return ""


def _pages(image: pyvips.Image) -> int:
    return image.get("n-pages") if image.get_typeof("n-pages") else 1
