"""local:// keeps the contract, and stays beneath its root."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import httpx
import pytest

from imgproxy.errors import SchemeForbidden, SourceForbidden, SourceIncomplete, SourceRefused
from imgproxy.model import SourceRef, Validators
from imgproxy.origins import beneath, files
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.fetch import Origins
from imgproxy.origins.files import FilesTransport
from tests.origins.contract import PICTURE, OriginContract, Put, soon, taken
from tests.origins.origin import descriptors


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root-sibling").mkdir()
    (tmp_path / "root-sibling" / "x").write_bytes(b"secret")
    return root


@pytest.fixture
def origins(root: Path) -> Origins:
    return Origins(OriginSettings(local_filesystem_root=str(root)))


@pytest.fixture
def put(root: Path) -> Put:
    def write(name: str, data: bytes) -> str:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        return f"local:///{name}"

    return write


@pytest.fixture(params=["openat2", "walk"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of opening: the second as in a kernel without openat2."""
    if request.param == "walk":

        def missing(*_: object) -> int:
            raise OSError(errno.ENOSYS, "no such call")

        monkeypatch.setattr(beneath, "openat2", missing)
    return request.param


class TestFilesContract(OriginContract):
    pass


@pytest.mark.parametrize(
    "name",
    ["100% a&b#c.png", "%2e%2e", "a%2Fb.png", "é ü.png", "..png", "a+b&c=d;e.png", "back\\slash"],
)
async def test_a_key_is_literal(origins: Origins, put: Put, name: str) -> None:
    source = await origins.fetch(SourceRef(put(name, b"here")), max_bytes=0, deadline=soon())
    assert taken(source) == b"here"


async def test_a_query_is_cut_off(origins: Origins, put: Put) -> None:
    source = await origins.fetch(SourceRef(put("a.png", b"here") + "?v=2"), max_bytes=0, deadline=soon())
    assert taken(source) == b"here"


async def test_a_key_need_not_be_utf_8(origins: Origins, put: Put) -> None:
    source = await origins.fetch(SourceRef(put("\udcff.png", b"here")), max_bytes=0, deadline=soon())
    assert taken(source) == b"here"


@pytest.mark.parametrize(
    "url",
    [
        "local:///../secret",
        "local:///a/../../root-sibling/x",
        "local:///a/..",
        "local:///a\0b",
        "local://host/a",
        "local:a",
        "local://",
    ],
)
async def test_refuses_to_climb(origins: Origins, url: str) -> None:
    with pytest.raises(SourceForbidden):
        await origins.fetch(SourceRef(url), max_bytes=0, deadline=soon())


@pytest.mark.usefixtures("opener")
@pytest.mark.parametrize("name", ["%2e%2e/secret", "..%2fsecret", "%252e%252e/secret", "..%c0%afsecret", "a" * 300, ""])
async def test_finds_nothing_elsewhere(origins: Origins, name: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        await origins.fetch(SourceRef(f"local:///{name}"), max_bytes=0, deadline=soon())
    assert caught.value.status == 404


@pytest.mark.usefixtures("opener")
async def test_opens_regular_files_only(origins: Origins, root: Path, put: Put) -> None:
    put("dir/cat.png", b"here")
    (root / "link").symlink_to("/etc/passwd")
    (root / "inner-link").symlink_to("dir/cat.png")
    (root / "dir-link").symlink_to("dir")
    (root / "outside").symlink_to("..")
    os.mkfifo(root / "fifo")
    os.link(root / "dir" / "cat.png", root / "hard")
    before = descriptors()
    for name in ("link", "inner-link", "dir-link/cat.png", "outside/secret", "fifo", "dir", "dir/"):
        with pytest.raises(SourceRefused) as caught:
            await origins.fetch(SourceRef(f"local:///{name}"), max_bytes=0, deadline=soon())
        assert caught.value.status == 404, name
    assert descriptors() == before
    for name in ("hard", "/dir//./cat.png"):
        source = await origins.fetch(SourceRef(f"local:///{name}"), max_bytes=0, deadline=soon())
        assert taken(source) == b"here"


async def test_the_root_may_be_a_link(tmp_path: Path, put: Put) -> None:
    url = put("cat.png", b"here")
    (tmp_path / "alias").symlink_to("root")
    origins = Origins(OriginSettings(local_filesystem_root=str(tmp_path / "alias")))
    assert taken(await origins.fetch(SourceRef(url), max_bytes=0, deadline=soon())) == b"here"


def test_a_dotdot_that_slips_through_is_refused_by_the_kernel(root: Path) -> None:
    directory = os.open(root, os.O_PATH)
    try:
        with pytest.raises(OSError, match="Invalid cross-device link"):
            beneath.openat2(directory, b"../secret")
    finally:
        os.close(directory)
    with pytest.raises(OSError, match="Invalid cross-device link"):
        beneath.open_file(str(root), b"../secret")


async def test_a_file_that_shrinks_while_it_is_read_is_incomplete(origins: Origins, root: Path, put: Put) -> None:
    _, _, body = await origins.stream(SourceRef(put("cat.png", PICTURE)), deadline=soon())
    await anext(body)
    os.truncate(root / "cat.png", 100)
    with pytest.raises(SourceIncomplete):
        await anext(body)


async def test_a_file_that_grows_is_read_as_it_was(origins: Origins, root: Path, put: Put) -> None:
    _, _, body = await origins.stream(SourceRef(put("cat.png", PICTURE)), deadline=soon())
    with (root / "cat.png").open("ab") as file:
        file.write(PICTURE)
    assert b"".join([piece async for piece in body]) == PICTURE


async def test_a_cancelled_opening_leaves_no_descriptor(root: Path, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("cat.png", b"here")
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(path: str, name: bytes) -> beneath.RegularFile:
        started.set()
        go_on.wait()
        try:
            return beneath.open_file(path, name)
        finally:
            ended.set()

    monkeypatch.setattr(files, "open_file", slow)
    transport = FilesTransport(str(root))
    before = descriptors()
    async with asyncio.TaskGroup() as tasks:
        request = httpx.Request("GET", "local:///cat.png")
        task = tasks.create_task(transport.handle_async_request(request))
        await asyncio.to_thread(started.wait)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.to_thread(ended.wait)
    await asyncio.sleep(0.05)
    assert descriptors() <= before


async def test_an_unreadable_disk_is_not_a_missing_file(origins: Origins, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> beneath.RegularFile:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "open_file", broken)
    with pytest.raises(SourceRefused) as caught:
        await origins.fetch(SourceRef("local:///a"), max_bytes=0, deadline=soon())
    assert caught.value.status == 502


async def test_odd_ranges_and_dates_are_ignored(origins: Origins, put: Put) -> None:
    ref = SourceRef(put("cat.png", b"here"))
    digits = "9" * 5000
    for asked in ("bytes=-", "bytes=3-1", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", f"bytes=0-{digits}"):
        status, _, body = await origins.stream(ref, deadline=soon(), range=asked)
        assert status == 200
        await body.aclose()
    for date in ("yesterday", "Sun, 06 Nov 1994 08:49:37 +99999999999999999999", "Sun, 06 Nov 1994 08:49:37 GMT"):
        status, _, body = await origins.stream(ref, deadline=soon(), validators=Validators(None, date))
        assert status == 200
        await body.aclose()


async def test_without_a_root_there_is_no_local() -> None:
    with pytest.raises(SchemeForbidden, match="local://"):
        await Origins(OriginSettings()).fetch(SourceRef("local:///a"), max_bytes=0, deadline=soon())
