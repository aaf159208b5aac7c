from __future__ import annotations

import hashlib
import json
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgproxy.caches.codec import VERSION, decode, encode
from imgproxy.formats import RESULTS
from imgproxy.model import Entry
from tests.caches.entries import an_entry, entries

SMALL = encode(an_entry(b"0123456789"))


def frame(metadata: bytes, body: bytes = b"", *, version: int = VERSION, magic: bytes = b"imgproxy") -> bytes:
    """A frame whose lengths and digest are right, whatever it holds."""
    head = struct.pack(">8sHIQ", magic, version, len(metadata), len(body))
    return head + hashlib.sha256(head + metadata + body).digest() + metadata + body


def fields() -> list[object]:
    """The metadata of a frame that decodes."""
    read: list[object] = json.loads(SMALL[54:-10])
    assert decode(frame(json.dumps(read).encode(), b"0123456789")) == an_entry(b"0123456789")
    return read


@given(entries)
@example(an_entry(url="https://example.com/\udcff\ud83d\ude00\U0001f600\0.jpg", tags=("", "\ud800", "ä")))
@example(an_entry(b""))
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    data = encode(entry)
    decoded = decode(data)
    assert decoded == entry
    assert repr(decoded) == repr(entry)  # 1 is not 1.0 here, nor 0.0 -0.0
    assert decode(memoryview(data)) == entry


@pytest.mark.parametrize("format_", RESULTS.values(), ids=lambda each: each.name)
def test_formats_are_the_very_ones_of_the_table(format_) -> None:
    entry = an_entry()
    object.__setattr__(entry.rendition, "format", format_)
    decoded = decode(encode(entry))
    assert decoded is not None
    assert decoded.rendition.format is format_


def test_no_bit_may_flip() -> None:
    for bit in range(len(SMALL) * 8):
        damaged = bytearray(SMALL)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(damaged)) is None, bit


def test_no_byte_may_be_missing_or_added() -> None:
    for length in range(len(SMALL)):
        assert decode(SMALL[:length]) is None
        assert decode(SMALL[length + 1 :]) is None
    assert decode(SMALL + b"\0") is None
    assert decode(b"\0" + SMALL) is None
    assert decode(SMALL + SMALL) is None


@given(st.binary(max_size=200))
def test_random_bytes_are_no_entry(data: bytes) -> None:
    assert decode(data) is None
    assert decode(SMALL[:54] + data) is None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=30))
def test_whole_frames_of_other_things_are_no_entry(thing: object) -> None:
    assert decode(frame(json.dumps(thing).encode())) is None


@pytest.mark.parametrize(
    "metadata", [b"", b"{}", b"[", b"\xff", b"[" * 100_000, b"9" * 5000, b"null", b'"jpeg"', b"\xed\xa0\x80"]
)
def test_metadata_that_cannot_be_read_is_no_entry(metadata: bytes) -> None:
    assert decode(frame(metadata)) is None


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (0, "no-such-format"),
        (0, None),
        (1, [300, 200, 4000, 3000]),
        (1, [300, 200, 4000, 3000, "1"]),
        (1, [300, 200, 4000, 3000, 1.5]),
        (2, 5),
        (3, "host-a"),
        (3, ["a", 5]),
        (3, [["a"]]),
        (4, [None, 0, "", 0.0, 0]),
        (4, ["https://example.com/", 0, "", "0", 0]),
        (4, ["https://example.com/", 0, "", 0.0, 0.5]),
        (5, [5, None]),
        (5, [None]),
        (6, [None, None, None, None, None]),
        (6, {}),
    ],
)
def test_fields_of_another_kind_are_no_entry(at: int, wrong: object) -> None:
    changed = fields()
    changed[at] = wrong
    assert decode(frame(json.dumps(changed).encode(), b"0123456789")) is None


def test_other_versions_and_other_magic_are_no_entry() -> None:
    metadata = json.dumps(fields()).encode()
    assert decode(frame(metadata, version=VERSION + 1)) is None
    assert decode(frame(metadata, version=0)) is None
    assert decode(frame(metadata, magic=b"imgProxy")) is None


def test_what_is_no_bytes_at_all_is_no_entry() -> None:
    assert decode(SMALL.decode("latin-1")) is None  # type: ignore[arg-type]: a Redis client that decodes by itself
    assert decode(None) is None  # type: ignore[arg-type]
    assert decode(memoryview(SMALL * 2)[::2]) is None


def test_the_length_of_a_body_is_believed_only_if_it_is_there() -> None:
    head = struct.pack(">8sHIQ", b"imgproxy", VERSION, 2, 2**63)
    assert decode(head + hashlib.sha256(head + b"[]").digest() + b"[]") is None
