"""Unpacking of bodies that an origin compressed unasked, in pieces of bounded size.

httpx' own decoder turns one gzip chunk of 64 KiB into one piece of 67 MB.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 1 << 18
_GZIP = 16 + zlib.MAX_WBITS
_MOST_EMPTY = 100
"""Members of a gzip body that hold nothing: 20 bytes each, and no end of them keeps a decoder busy for ever."""


class Inflater:
    """An incremental decoder of gzip or deflate; ``zlib.error`` if the body is neither."""

    def __init__(self, coding: str) -> None:
        self._wbits = zlib.MAX_WBITS if coding == "deflate" else _GZIP
        self._decoder = zlib.decompressobj(self._wbits)
        self._started = False
        self._empty = 0

    @property
    def finished(self) -> bool:
        """Whether the body so far is complete."""
        return self._decoder.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The next pieces, none longer than 256 KiB; empty ones, too, so that others have a turn between them."""
        if data and not self._started:
            self._started = True
            # RFC 9110 §8.4.1.2: "deflate" has a zlib header, but some servers send it bare.
            if self._wbits == zlib.MAX_WBITS and data[0] & 15 != zlib.DEFLATED:
                self._wbits = -zlib.MAX_WBITS
                self._decoder = zlib.decompressobj(self._wbits)
        while data:
            if self._decoder.eof:  # RFC 1952 §2.2: a gzip body may have several members
                self._decoder = zlib.decompressobj(self._wbits)
            piece = self._decoder.decompress(data, _PIECE)
            self._empty += not piece and self._decoder.eof
            if self._empty > _MOST_EMPTY:
                raise zlib.error("a body of nothing but empty members")
            yield piece
            data = self._decoder.unconsumed_tail or self._decoder.unused_data


def inflater(content_encoding: str) -> Inflater | None:
    """The decoder for a Content-Encoding, None for a plain body; LookupError if there is none."""
    coding = content_encoding.strip().lower().removeprefix("x-")
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "deflate"):
        return Inflater(coding)
    raise LookupError(coding)
