"""Colour profiles (ICC.1:2022): what one is called, and how much a pixel's way through it costs.

Their size is no danger, their steps are.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imgproxy.errors import SourceTooExpensive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from mmap import mmap

MAX_BYTES = 4 << 20
"""Larger ones are left out before they are used (``colour.py``)."""
_MAX_TAGS = 100
"""Little CMS takes no profile with more; profiles have twenty."""
_MAX_STEPS = 64
"""Of all processing elements; profiles have five. Each is gone through for 36,000 nodes: 7,000, which may all be the
same 60 bytes, took 3.5 s."""
_MAX_NAME = 200
"""Bytes of it that are read."""


def description(profile: bytes) -> str:
    """What a profile calls itself (§9.2.41), in its first language; empty for what is none, or has no name."""
    tags = min(int.from_bytes(profile[128:132], "big"), _MAX_TAGS)
    for at in range(132, 132 + 12 * tags, 12):
        if profile[at : at + 4] == b"desc":
            return _text(profile[int.from_bytes(profile[at + 4 : at + 8], "big") :])
    return ""


def _text(tag: bytes) -> str:
    """A multiLocalizedUnicodeType (§10.15), or a textDescriptionType (ICC.1:2001 §6.5.17) as older profiles have it."""
    if tag[:4] == b"mluc":
        length, start = int.from_bytes(tag[20:24], "big"), int.from_bytes(tag[24:28], "big")
        text = tag[start : start + min(length, _MAX_NAME)].decode("utf-16-be", "replace")
    else:
        length = int.from_bytes(tag[8:12], "big") if tag[:4] == b"desc" else 0
        text = tag[12 : 12 + min(length, _MAX_NAME)].decode("ascii", "replace")
    return text.partition("\0")[0].strip()


def check(profile: bytes) -> None:
    """Raise ``SourceTooExpensive`` for one with too many steps. What is no profile passes: it is left out."""
    if len(profile) < 132 or len(profile) > MAX_BYTES:
        return
    tags = int.from_bytes(profile[128:132], "big")
    if tags > _MAX_TAGS:
        return
    table = profile[132 : 132 + 12 * tags]
    places = {offset for _, offset, _ in struct.iter_unpack(">III", table[: len(table) // 12 * 12])}
    # multiProcessElementsType (§10.16): signature, reserved, channels in and out, elements.
    steps = sum(int.from_bytes(profile[at + 12 : at + 16], "big") for at in places if profile[at : at + 4] == b"mpet")
    if steps > _MAX_STEPS:
        raise SourceTooExpensive(f"a colour profile of {steps} steps")


def check_parts(parts: Sequence[tuple[int, bytes]]) -> None:
    """``check`` one that lies in numbered parts: of two with the same number, either may be the one that is read."""
    if parts:
        last = dict(parts)
        first = dict(reversed(parts))
        for chosen in [first] if first == last else [first, last]:
            check(b"".join(chosen[number] for number in sorted(chosen)))


def check_at(data: mmap, at: int, length: int) -> None:
    """``check`` one that lies in a file as it is."""
    if length <= MAX_BYTES:
        check(data[at : at + length])
