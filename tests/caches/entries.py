"""Entries for tests: a plain one of any size, and all that there can be."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from imgproxy.caches.base import source_id
from imgproxy.formats import RESULTS, WEBP
from imgproxy.model import Caching, Entry, Provenance, Rendition, Validators

URL = "https://pictures.example.com/cat.jpg"


def an_entry(
    body: bytes = b"picture", *, url: str = URL, tags: tuple[str, ...] | None = None, generation: int = 0
) -> Entry:
    """An entry of this body; its tags are its source's and its host's unless they are given."""
    return Entry(
        Rendition(body, WEBP, 300, 200, 4000, 3000),
        hashlib.sha256(body).hexdigest(),
        Provenance(url, 5000, Validators('"v1"'), Caching("max-age=60"), "", 1_700_000_000.25, generation),
        tags if tags is not None else (f"source-{source_id(url)}", "host-pictures.example.com"),
    )


def a_key(number: int = 0, *, url: str = URL) -> str:
    """A key as ``key_of`` makes them, of the ``number``-th plan for a source."""
    return f"{source_id(url)}-{hashlib.sha256(str(number).encode()).hexdigest()}"


# Surrogates, too: a URL holds bytes that are no UTF-8 as surrogates, also several in a row.
_text = st.text(st.characters(exclude_categories=()), max_size=20)
_maybe = st.none() | _text
_counts = st.integers(0, 2**63)

entries = st.builds(
    Entry,
    st.builds(
        Rendition,
        st.binary(max_size=200),
        st.sampled_from([*RESULTS.values()]),
        _counts,
        _counts,
        _counts,
        _counts,
        _counts,
    ),
    _text,
    st.builds(
        Provenance,
        _text,
        _counts,
        st.builds(Validators, _maybe, _maybe),
        st.builds(Caching, _maybe, _maybe, _maybe, _maybe),
        _text,
        st.floats(allow_nan=False),
        _counts,
    ),
    st.lists(_text, max_size=4).map(tuple),
)
