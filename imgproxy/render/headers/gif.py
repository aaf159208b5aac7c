"""GIF: how many frames there are (GIF89a §15 ff.); libvips walks through all of them to open a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgproxy.errors import SourceTooExpensive
from imgproxy.render.headers.base import Layout

if TYPE_CHECKING:
    from mmap import mmap

_EXTENSION, _IMAGE = 0x21, 0x2C
_MAX_FRAMES = 10_000
"""Ten minutes of film; libvips needs 2 ms to find as many."""
_MAX_STEPS = 100_000
"""Sub-blocks walked over: 10 ms, 25 MB of pixels. Behind them are no small bombs any more."""


def layout(data: mmap) -> Layout:
    """Raises ``SourceTooExpensive`` for too many frames. Broken data end the walk: the decoder judges them."""
    at = 13 + _table(data[10])
    frames = steps = 0
    while at < len(data) and steps < _MAX_STEPS:
        kind = data[at]
        if kind == _IMAGE and at + 10 < len(data):
            frames += 1
            at += 11 + _table(data[at + 9])
        elif kind == _EXTENSION:
            at += 2
        else:
            break
        while at < len(data) and data[at] and steps < _MAX_STEPS:
            at += data[at] + 1
            steps += 1
        at += 1
        steps += 1
        if frames > _MAX_FRAMES:
            raise SourceTooExpensive(f"a GIF of more than {_MAX_FRAMES} frames")
    return Layout()


def _table(flags: int) -> int:
    """The length of a colour table, in bytes."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
