"""What every origin owes: each kind's test class inherits these tests and says how to put a picture there."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from imgproxy.errors import SourceRefused, SourceTooLarge
from imgproxy.model import Deadline, Source, SourceRef, StillGood, Validators
from tests.origins.origin import descriptors

if TYPE_CHECKING:
    from imgproxy.origins.fetch import Origins

Put = Callable[[str, bytes], str]

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20_000  # 5 MB: more than any buffer on the way


def soon(seconds: float = 5) -> Deadline:
    return Deadline.after(seconds)


def taken(source: Source | StillGood) -> bytes:
    """The bytes of a source, which is closed."""
    assert isinstance(source, Source)
    try:
        body = os.pread(source.fd, source.size + 1, 0)
        assert len(body) == source.size
        return body
    finally:
        source.close()


class OriginContract:
    """Inherit, and define the fixtures ``origins`` and ``put`` (name and bytes → source URL)."""

    async def test_fetches_what_is_there(self, origins: Origins, put: Put) -> None:
        url = put("dir/cat.png", PICTURE)
        source = await origins.fetch(SourceRef(url), max_bytes=0, deadline=soon())
        assert isinstance(source, Source)
        assert source.url == url
        assert source.media_type == "image/png"
        assert source.validators.etag
        assert source.validators.last_modified
        assert taken(source) == PICTURE

    async def test_fetches_an_empty_file(self, origins: Origins, put: Put) -> None:
        ref = SourceRef(put("empty.png", b""))
        assert taken(await origins.fetch(ref, max_bytes=1, deadline=soon())) == b""

    async def test_passes_on_that_nothing_is_there(self, origins: Origins, put: Put) -> None:
        ref = SourceRef(put("cat.png", b"x").replace("cat", "dog"))
        with pytest.raises(SourceRefused) as caught:
            await origins.fetch(ref, max_bytes=0, deadline=soon())
        assert caught.value.status == 404
        with pytest.raises(SourceRefused):
            await origins.stream(ref, deadline=soon())

    async def test_says_that_a_known_version_still_fits(self, origins: Origins, put: Put) -> None:
        ref = SourceRef(put("cat.png", PICTURE))
        source = await origins.fetch(ref, max_bytes=0, deadline=soon())
        assert isinstance(source, Source)
        source.close()
        for known in (
            source.validators,
            Validators(etag=source.validators.etag),
            Validators(last_modified=source.validators.last_modified),
        ):
            again = await origins.fetch(ref, max_bytes=0, deadline=soon(), validators=known)
            assert isinstance(again, StillGood)
            assert again.validators == source.validators
        other = Validators(etag='"other"', last_modified=source.validators.last_modified)
        again = await origins.fetch(ref, max_bytes=0, deadline=soon(), validators=other)
        assert taken(again) == PICTURE

    async def test_obeys_the_limit_on_bytes(self, origins: Origins, put: Put) -> None:
        ref = SourceRef(put("cat.png", PICTURE))
        source = await origins.fetch(ref, max_bytes=len(PICTURE), deadline=soon())
        assert taken(source) == PICTURE
        with pytest.raises(SourceTooLarge):
            await origins.fetch(ref, max_bytes=len(PICTURE) - 1, deadline=soon())

    async def test_streams_all(self, origins: Origins, put: Put) -> None:
        ref = SourceRef(put("cat.png", PICTURE))
        status, headers, body = await origins.stream(ref, deadline=soon())
        assert status == 200
        assert dict(headers)["content-length"] == str(len(PICTURE))
        assert dict(headers)["content-type"] == "image/png"
        assert {"etag", "last-modified", "accept-ranges"} <= set(dict(headers))
        assert b"".join([piece async for piece in body]) == PICTURE

    @pytest.mark.parametrize(
        ("asked", "start", "end"),
        [("bytes=1-2", 1, 3), ("bytes=100-", 100, 5000), ("bytes=-7", 4993, 5000)],
    )
    async def test_streams_a_range(self, origins: Origins, put: Put, asked: str, start: int, end: int) -> None:
        ref = SourceRef(put("cat.png", PICTURE[:5000]))
        status, headers, body = await origins.stream(ref, deadline=soon(), range=asked)
        assert status == 206
        assert dict(headers)["content-range"] == f"bytes {start}-{end - 1}/5000"
        assert b"".join([piece async for piece in body]) == PICTURE[start:end]

    async def test_refuses_a_range_beyond_the_end(self, origins: Origins, put: Put) -> None:
        ref = SourceRef(put("cat.png", b"short"))
        with pytest.raises(SourceRefused) as caught:
            await origins.stream(ref, deadline=soon(), range="bytes=9-")
        assert caught.value.status == 416

    async def test_streams_that_a_known_version_still_fits(self, origins: Origins, put: Put) -> None:
        ref = SourceRef(put("cat.png", PICTURE))
        _, headers, body = await origins.stream(ref, deadline=soon())
        await body.aclose()
        known = Validators(etag=dict(headers)["etag"])
        status, headers, body = await origins.stream(ref, deadline=soon(), validators=known)
        assert (status, dict(headers)["etag"]) == (304, known.etag)
        assert [piece async for piece in body] == []

    async def test_leaves_no_descriptor_behind(self, origins: Origins, put: Put) -> None:
        ref = SourceRef(put("cat.png", PICTURE))
        taken(await origins.fetch(ref, max_bytes=0, deadline=soon()))
        before = descriptors()
        for max_bytes in (0, 10):
            with suppress(SourceTooLarge):
                taken(await origins.fetch(ref, max_bytes=max_bytes, deadline=soon()))
        _, _, unread = await origins.stream(ref, deadline=soon())
        await unread.aclose()
        _, _, half = await origins.stream(ref, deadline=soon())
        await anext(half)
        await half.aclose()
        _, _, whole = await origins.stream(ref, deadline=soon())
        assert sum([len(piece) async for piece in whole]) == len(PICTURE)
        taken(await origins.fetch(ref, max_bytes=0, deadline=soon()))
        assert descriptors() <= before + 1  # one connection kept alive
