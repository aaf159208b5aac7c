"""Compressed bodies come out whole, in small pieces, however they arrive."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.origins.encoding import Inflater, inflater


@given(st.binary(), st.sampled_from(["gzip", "deflate", "bare"]), st.integers(1, 50))
def test_any_body_in_any_pieces(body: bytes, coding: str, step: int) -> None:
    packed = {
        "gzip": gzip.compress(body, mtime=0),
        "deflate": zlib.compress(body),
        "bare": zlib.compress(body, wbits=-15),
    }
    decoder = Inflater("gzip" if coding == "gzip" else "deflate")
    data = packed[coding]
    out = [piece for at in range(0, len(data), step) for piece in decoder.feed(data[at : at + step])]
    assert b"".join(out) == body
    assert decoder.finished


@given(st.binary(min_size=1), st.data())
def test_half_a_body_is_not_finished(body: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(body, mtime=0)
    decoder = Inflater("gzip")
    assert body.startswith(b"".join(decoder.feed(packed[: data.draw(st.integers(0, len(packed) - 1))])))
    assert not decoder.finished


def test_pieces_are_small() -> None:
    pieces = list(Inflater("gzip").feed(gzip.compress(bytes(10_000_000))))
    assert max(map(len, pieces)) <= 1 << 18
    assert sum(map(len, pieces)) == 10_000_000


def test_members_without_content_give_others_a_turn_and_have_an_end() -> None:
    nothing = gzip.compress(b"")
    few = list(Inflater("gzip").feed(nothing * 100 + gzip.compress(b"picture")))
    assert b"".join(few) == b"picture"
    assert len(few) == 101
    with pytest.raises(zlib.error):
        list(Inflater("gzip").feed(nothing * 102))


def test_names_of_encodings() -> None:
    assert inflater("") is inflater("identity") is inflater(" Identity ") is None
    assert all(inflater(name) for name in ("gzip", "x-gzip", "GZIP", "deflate"))
    for name in ("br", "zstd", "gzip, gzip", "compress"):
        with pytest.raises(LookupError):
            inflater(name)
