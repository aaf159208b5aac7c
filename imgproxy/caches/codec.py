"""Entries as bytes, for the tiers outside this process: one frame each, sealed by a digest.

A frame is a head (magic, version, two lengths), the SHA-256 of all the rest, metadata as JSON, and the body. What
comes back may be damaged, cut short, written by another version or put there by someone else: whatever is not exactly
a frame is no entry. The seal tells damage, not forgery: who can write to a tier can answer with any picture, but
cannot make the reader run code (as pickle would) or hold more than was sent.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TypeAlias

from imgproxy.formats import RESULTS
from imgproxy.model import Caching, Entry, Provenance, Rendition, Validators

VERSION = 1
"""Raised by one whenever frames change: nodes of two versions that share a tier read the other's as misses."""

_MAGIC = b"imgproxy"
_HEAD = struct.Struct(">8sHIQ")
"""Magic, version, bytes of metadata, bytes of body."""
_SEAL_AT = _HEAD.size
_METADATA_AT = _SEAL_AT + hashlib.sha256().digest_size

# Not ASCII with escapes: there, two surrogates in a row (undecodable bytes of a URL) would come back as one character.
_TO_JSON = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))


_Json: TypeAlias = "bool | int | float | str | list[_Json] | dict[str, _Json] | None"


def seal(key: str, entry: Entry) -> bytes:
    """The frame with the key before it: a frame proves that it is whole, but not whose it is.

    Should replies get out of step with questions, or files change places, none is taken for another's.
    """
    return b" ".join((key.encode(), encode(entry)))


def unseal(key: str, data: bytes | memoryview) -> Entry | None:
    """The entry that was sealed under this very key, or None."""
    head = f"{key} ".encode()
    view = memoryview(data).cast("B")
    return decode(view[len(head) :]) if bytes(view[: len(head)]) == head else None


def encode(entry: Entry) -> bytes:
    """The frame that ``decode`` makes an equal entry of."""
    metadata = _TO_JSON.encode(_fields(entry)).encode("utf-8", "surrogatepass")
    body = entry.rendition.body
    head = _HEAD.pack(_MAGIC, VERSION, len(metadata), len(body))
    seal = hashlib.sha256(head)
    seal.update(metadata)
    seal.update(body)
    return b"".join((head, seal.digest(), metadata, body))


def decode(data: bytes | memoryview) -> Entry | None:
    """The entry that was encoded, or None for anything that is not exactly one whole frame of this version."""
    try:
        view = memoryview(data).cast("B")
        magic, version, metadata_size, body_size = _HEAD.unpack_from(view)
        body_at = _METADATA_AT + metadata_size
        if magic != _MAGIC or version != VERSION or len(view) != body_at + body_size:
            return None
        seal = hashlib.sha256(view[:_SEAL_AT])
        seal.update(view[_METADATA_AT:])
        if seal.digest() != bytes(view[_SEAL_AT:_METADATA_AT]):
            return None
        fields: _Json = json.loads(str(view[_METADATA_AT:body_at], "utf-8", "surrogatepass"))
    except (struct.error, TypeError, ValueError, RecursionError):
        return None
    return _entry(fields, bytes(view[body_at:]))


def _fields(entry: Entry) -> list[object]:
    """All that is known of an entry but its body; ``_entry`` reads it in the same order."""
    rendition, provenance = entry.rendition, entry.provenance
    validators, caching = provenance.validators, provenance.caching
    return [
        rendition.format.name,
        [rendition.width, rendition.height, rendition.source_width, rendition.source_height, rendition.frames],
        entry.digest,
        entry.tags,
        [provenance.url, provenance.size, provenance.digest, provenance.checked_at, provenance.generation],
        [validators.etag, validators.last_modified],
        [caching.cache_control, caching.expires, caching.age, caching.date],
    ]


def _entry(fields: _Json, body: bytes) -> Entry | None:
    match fields:
        case [
            str(name),
            [int(width), int(height), int(source_width), int(source_height), int(frames)],
            str(digest),
            [*tags],
            [str(url), int(size), str(source_digest), int() | float() as checked_at, int(generation)],
            [str() | None as etag, str() | None as last_modified],
            [
                str() | None as cache_control,
                str() | None as expires,
                str() | None as age,
                str() | None as date,
            ],
        ] if name in RESULTS and all(isinstance(tag, str) for tag in tags):
            return Entry(
                Rendition(body, RESULTS[name], width, height, source_width, source_height, frames),
                digest,
                Provenance(
                    url,
                    size,
                    Validators(etag, last_modified),
                    Caching(cache_control, expires, age, date),
                    source_digest,
                    checked_at,
                    generation,
                ),
                tuple(tag for tag in tags if isinstance(tag, str)),
            )
        case _:
            return None
