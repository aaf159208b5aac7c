"""The landing of an answer's body in a memfd: whole, unpacked, and within its limit."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import zlib
from contextlib import ExitStack
from email.utils import formatdate
from typing import TYPE_CHECKING

import httpx

from imgproxy.clock import unix_seconds
from imgproxy.errors import SourceIncomplete, SourceRefused, SourceTimeout, SourceTooLarge, SourceUnreachable
from imgproxy.fields import moment, seconds
from imgproxy.model import Caching, Source, Validators
from imgproxy.origins.encoding import inflater

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


# Python refuses to read thousands of digits; no length has more than these.
_LENGTH = re.compile(r"[0-9]{1,18}")
_WHOLE_RANGE = re.compile(r"bytes 0-([0-9]{1,18})/([0-9]{1,18})")
_WAITS = (429, 503)
_LONGEST_WAIT_S = 3600.0
_GRACE_S = 1.0
"""A connection takes a moment to come up to speed."""


async def land(response: httpx.Response, url: str, max_bytes: int, min_rate: int = 0) -> Source:
    """The source that the response carries, named ``url``. ``max_bytes`` of 0 is no limit.

    ``min_rate``: bytes per second, on average, that must arrive after the first second; 0 for any. The caller closes
    the response in any case.
    """
    length = _whole_length(response)
    if max_bytes and length is not None and length > max_bytes:
        raise SourceTooLarge(f"the origin announces {length} bytes, {max_bytes} are allowed")
    with ExitStack() as on_failure:
        fd = os.memfd_create("source", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        on_failure.callback(os.close, fd)
        size = await _receive(response, fd, max_bytes, length, min_rate)
        seal(fd)
        on_failure.pop_all()
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower() or None
    return Source(fd, size, url, media_type, *said(response))


def seal(fd: int) -> None:
    """Make a memfd that nobody can change any more: render processes get it, and many requests share it."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)


def said(response: httpx.Response) -> tuple[Validators, Caching]:
    """What the origin says about keeping its answer."""
    headers = response.headers
    return (
        Validators(headers.get("etag"), headers.get("last-modified")),
        Caching(
            headers.get("cache-control"),
            headers.get("expires"),
            headers.get("age"),
            # RFC 9110 §6.6.1: a recipient with a clock dates what comes without a date.
            headers.get("date") or formatdate(unix_seconds(), usegmt=True),
        ),
    )


async def _receive(response: httpx.Response, fd: int, max_bytes: int, length: int | None, min_rate: int) -> int:
    """The size of the body, written to ``fd`` unpacked.

    Both what arrives and what is written obey ``max_bytes``.
    """
    try:
        unpack = inflater(response.headers.get("content-encoding", ""))
    except LookupError as coding:
        raise SourceUnreachable(f"the origin sent an unknown encoding, {coding}") from None
    received = written = 0
    pieces, started = chunks(response), asyncio.get_running_loop().time()
    while chunk := await _next(pieces, started + _GRACE_S + received / min_rate if min_rate else None):
        received += len(chunk)
        _cap(received, max_bytes)
        if unpack is None:
            _write(fd, chunk)
            continue
        try:
            for piece in unpack.feed(chunk):
                written += len(piece)
                _cap(written, max_bytes)
                _write(fd, piece)
                await asyncio.sleep(0)  # one chunk can hold 250 MB: let others, and the time limit, have a turn
        except zlib.error as error:
            raise SourceUnreachable("the body is not in the encoding that it claims") from error
    if length not in (None, received) or (unpack and not unpack.finished):
        raise SourceIncomplete(f"the body ends after {received} bytes")
    return written if unpack else received


async def _next(pieces: AsyncIterator[bytes], at: float | None) -> bytes:
    """The next piece, empty at the end; SourceTimeout if there is none until ``at`` on the loop's clock."""
    try:
        async with asyncio.timeout_at(at):
            return await anext(pieces, b"")
    except TimeoutError:
        raise SourceTimeout("the source arrives too slowly") from None


def chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it arrives."""
    # Not aiter_raw: an async generator left in the middle is closed by the collector, some time.
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  both transports'
    return aiter(response.stream)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _cap(size: int, max_bytes: int) -> None:
    if max_bytes and size > max_bytes:
        raise SourceTooLarge(f"the source has more than the allowed {max_bytes} bytes")


def refusal(response: httpx.Response) -> SourceRefused:
    """The error that an answer without a source is, with what the origin says of when to ask again."""
    wait = retry_after(response) if response.status_code in _WAITS else None
    return SourceRefused(response.status_code, retry_after=wait)


def retry_after(response: httpx.Response) -> float | None:
    """Seconds of Retry-After (RFC 9110 §10.2.3), an hour at most; None where nothing, or no time, is said."""
    text = response.headers.get("retry-after", "").strip()
    date = moment(text)
    wait = seconds(text) if text.isdecimal() else date - unix_seconds() if date else 0
    return min(wait, _LONGEST_WAIT_S) if wait > 0 else None


def _whole_length(response: httpx.Response) -> int | None:
    """The announced length of an answer that holds the whole source; SourceError if it does not."""
    text = response.headers.get("content-length", "")
    length = int(text) if _LENGTH.fullmatch(text) else None
    if response.status_code == 206:
        found = _WHOLE_RANGE.fullmatch(response.headers.get("content-range", ""))
        if not found or int(found[1]) + 1 != int(found[2]) or length not in (None, int(found[2])):
            raise SourceUnreachable("the origin sent a part of the source only")
        return int(found[2])
    if response.status_code != 200:
        raise refusal(response)
    return length
