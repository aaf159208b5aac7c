"""local:///path as an httpx transport: files beneath one directory, as a web server has them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from email.utils import formatdate
from pathlib import PurePath
from typing import TYPE_CHECKING

import anyio.to_thread
import httpx

from imgproxy.fields import moment
from imgproxy.formats import BY_NAME
from imgproxy.origins.beneath import RegularFile, open_file
from imgproxy.origins.targets import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PIECE = 1 << 20
_SINGLE_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
"""Longer numbers are beyond every end, and Python refuses to read thousands of digits."""
_ABSENT = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.EXDEV,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.ENXIO,
}


class FilesTransport(httpx.AsyncBaseTransport):
    """The files beneath ``root``. Unlike imgproxy's, it follows no symbolic links."""

    def __init__(self, root: str) -> None:
        self._root = root

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = key(request.url)
        try:
            file = await anyio.to_thread.run_sync(open_file, self._root, name)
        except OSError as error:
            return httpx.Response(404 if error.errno in _ABSENT else 500)
        response = _answer(request, name, file)
        if not isinstance(response.stream, _Body):
            file.close()
        return response


def _answer(request: httpx.Request, name: bytes, file: RegularFile) -> httpx.Response:
    headers = {
        "etag": _etag(name, file),
        "last-modified": formatdate(file.mtime_ns // 10**9, usegmt=True),
    }
    if _unchanged(request, headers["etag"], file):
        return httpx.Response(304, headers=headers)
    headers["accept-ranges"] = "bytes"
    if format_ := BY_NAME.get(PurePath(os.fsdecode(name)).suffix[1:].lower()):
        headers["content-type"] = format_.media_type
    status, start, end = 200, 0, file.size
    if asked := _range(request.headers.get("range", ""), file.size):
        status, (start, end) = 206, asked
        if start >= end:
            return httpx.Response(416, headers={"content-range": f"bytes */{file.size}"})
        headers["content-range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["content-length"] = str(end - start)
    return httpx.Response(status, headers=headers, stream=_Body(file, start, end))


def _etag(name: bytes, file: RegularFile) -> str:
    facts = b"%s\0%d\0%d" % (name, file.size, file.mtime_ns)
    return f'"{hashlib.sha256(facts).hexdigest()[:32]}"'


def _unchanged(request: httpx.Request, etag: str, file: RegularFile) -> bool:
    """RFC 9110 §13.2.2: If-Modified-Since counts only without If-None-Match."""
    if (known := request.headers.get("if-none-match")) is not None:
        tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
        return etag in tags or tags == ["*"]
    since = moment(request.headers.get("if-modified-since", ""))
    return since is not None and file.mtime_ns // 10**9 <= since


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Start and end of a single range (empty where nothing of it exists); None: send everything."""
    asked = _SINGLE_RANGE.fullmatch(header.replace(" ", ""))
    if asked is None or asked[0] == "bytes=-":
        return None
    first, last = asked.groups()
    if not first:  # the last so many bytes
        return max(0, size - int(last)), size
    start, end = int(first), min(int(last) + 1, size) if last else size
    return None if last and int(last) < start else (start, end)


class _Body(httpx.AsyncByteStream):
    """A piece of a file, as long as the file was when it was opened."""

    def __init__(self, file: RegularFile, start: int, end: int) -> None:
        self._file = file
        self._at = start
        self._end = end

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._at >= self._end:
            raise StopAsyncIteration
        length = min(_PIECE, self._end - self._at)
        try:
            piece = await anyio.to_thread.run_sync(os.pread, self._file.fd, length, self._at)
        except OSError as error:
            raise httpx.ReadError(f"the file cannot be read: {error.strerror}") from error
        if not piece:
            raise httpx.ReadError("the file became shorter while it was read")
        self._at += len(piece)
        return piece

    async def aclose(self) -> None:
        self._file.close()
