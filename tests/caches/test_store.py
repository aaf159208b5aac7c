from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import resource
import shutil
import signal
import socket
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import obstore
import pytest
from obstore.store import MemoryStore

from imgproxy.caches import store as module
from imgproxy.caches.base import Tier, TierDown, source_id
from imgproxy.caches.codec import seal
from imgproxy.caches.purges import STEP, Purges
from imgproxy.caches.store import LARGEST, Store, check_url, connect
from imgproxy.circuit import Circuit
from imgproxy.model import Purge
from tests.caches.entries import URL, a_key, an_entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")

KEY = a_key()
ENTRY = an_entry(b"picture" * 100)
ELSEWHERE = "https://other.example.com/dog.jpg"


class Open:
    """A guard that lets everything pass."""

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await operation()


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as obstore needs: objects by key, conditions, pages of lists, deleting many."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    requests: list[str]
    conditions = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def do_PUT(self) -> None:
        body, key = self._body(), self._key()
        self.requests.append(f"PUT {key}")
        there = self.objects.get(key)
        if not self.conditions and ("If-Match" in self.headers or "If-None-Match" in self.headers):
            self._answer(501)
        elif (self.headers["If-None-Match"] == "*" and there is not None) or (
            "If-Match" in self.headers and (there is None or self.headers["If-Match"] != _etag(there))
        ):
            self._answer(412)
        else:
            self.objects[key] = body
            self._answer(200, etag=_etag(body))

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._answer(200, self._page(query.get("prefix", [""])[0], query.get("continuation-token", [""])[0]))
        elif (body := self.objects.get(self._key())) is not None:
            self._answer(200, body, etag=_etag(body))
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_DELETE(self) -> None:
        self.objects.pop(self._key(), None)
        self._answer(204)

    def do_POST(self) -> None:
        keys = re.findall(r"<Key>(.*?)</Key>", self._body().decode())
        self.requests.append(f"DELETE {len(keys)}")
        for key in keys:
            self.objects.pop(key, None)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

    def _page(self, prefix: str, after: str) -> bytes:
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        page, more = keys[:3], keys[3:]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(_etag(self.objects[key]))}</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        truncated = "true" if more else "false"
        return f"<ListBucketResult>{contents}<IsTruncated>{truncated}</IsTruncated>{token}</ListBucketResult>".encode()

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/bucket/")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: bytes = b"", *, etag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(body)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    """A bucket that s3://bucket is, thanks to the environment."""
    handler = type("OneBucket", (Bucket,), {"objects": {}, "requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        at_s3(monkeypatch, server.server_address[1])
        yield handler
        server.shutdown()
        thread.join()


def at_s3(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results of mine" / "deep"


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "s3":
        request.getfixturevalue("bucket")
        return "s3://bucket/some/prefix"
    return request.getfixturevalue("folder").as_uri() if request.param == "file" else "memory:///"


@pytest.fixture
def kept(url: str, clock: Clock) -> Store:
    return Store.from_url(url, Open(), now=clock)


@pytest.fixture
def local(folder: Path, clock: Clock) -> Store:
    return Store.from_url(folder.as_uri(), Open(), now=clock)


def file_of(folder: Path, key: str = KEY) -> Path:
    return folder / key[:2] / key[:16] / key


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def files_in(folder: Path) -> list[str]:
    """Their names, those obstore does not list included."""
    return [path.name for path in folder.rglob("*") if path.is_file()]


async def paths(kept: Store) -> list[str]:
    return sorted([meta["path"] async for page in obstore.list(kept._store) for meta in page])


# ------------------------------------------------------------------ every kind of store


async def test_what_is_put_is_got(kept: Store) -> None:
    tier: Tier = kept
    assert tier.name == "store"
    assert await tier.get(KEY) is None
    await tier.put(KEY, ENTRY, 10)
    assert await tier.get(KEY) == ENTRY
    newer = an_entry(b"newer")
    await tier.put(KEY, newer, 10)
    assert await tier.get(KEY) == newer
    assert await tier.get(a_key(1)) is None
    assert await paths(kept) == [f"{KEY[:2]}/{source_id(URL)}/{KEY}"]
    await tier.aclose()


async def test_what_is_expired_is_gone_and_deleted_when_met(kept: Store, clock: Clock) -> None:
    await kept.put(KEY, ENTRY, 10)
    await kept.put(a_key(1), ENTRY, float("inf"))
    clock.now += 9.9
    assert await kept.get(KEY) == ENTRY
    clock.now += 1.1
    assert await kept.get(KEY) is None
    assert [path[-81:] for path in await paths(kept)] == [a_key(1)]
    clock.now += 50 * 365 * 86400
    assert await kept.get(a_key(1)) == ENTRY


async def test_nothing_is_kept_for_longer_than_the_stores_own_time(folder: Path, clock: Clock) -> None:
    kept = Store.from_url(folder.as_uri(), Open(), now=clock, ttl=5)
    await kept.put(KEY, ENTRY, 1)
    clock.now += 4
    assert await kept.get(KEY) == ENTRY
    clock.now += 1
    assert await kept.get(KEY) is None


async def test_what_is_removed_is_gone(kept: Store) -> None:
    await kept.remove(KEY)
    for number in range(2):
        await kept.put(a_key(number), ENTRY, 10)
    await kept.remove(KEY)
    assert await kept.get(KEY) is None
    assert await kept.get(a_key(1)) == ENTRY


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
async def test_what_has_no_time_is_not_put(local: Store, seconds: float) -> None:
    await local.put(KEY, ENTRY, seconds)
    assert await paths(local) == []


async def test_a_source_can_be_dropped(kept: Store) -> None:
    for number in range(8):
        await kept.put(a_key(number), ENTRY, 10)
    await kept.put(a_key(url=ELSEWHERE), an_entry(url=ELSEWHERE), 10)
    assert await kept.drop("host-pictures.example.com") == 0
    assert await kept.drop("source-../../../etc") == 0
    assert await kept.drop(f"source-{'0' * 16}") == 0
    assert await kept.drop_prefix("https://") == 0
    assert await kept.drop(f"source-{source_id(URL)}") == 8
    assert await kept.drop(f"source-{source_id(URL)}") == 0
    assert await kept.get(KEY) is None
    assert await kept.get(a_key(url=ELSEWHERE)) == an_entry(url=ELSEWHERE)


async def test_drops_at_the_same_time_do_not_stop_each_other(local: Store) -> None:
    for number in range(200):
        await local.put(a_key(number), an_entry(b""), 10)
    # What is gone already ends a batch of obstore's: the rest of it must go all the same.
    counts = await asyncio.gather(*(local.drop(f"source-{source_id(URL)}") for _ in range(3)))
    assert sum(counts) <= 200
    assert await paths(local) == []


async def test_all_can_be_dropped_but_what_is_not_ours_stays(kept: Store) -> None:
    for number in range(8):
        await kept.put(a_key(number), ENTRY, 10)
    await kept.save_purges([Purge("all", generation=5)])
    foreign = ["letter.txt", f"{KEY[:2]}/{KEY[:16]}/letter.txt", f"00/{KEY[:16]}/{KEY}"]
    for path in foreign:
        await obstore.put_async(kept._store, path, b"not a result")
    assert await kept.drop_all() == 8
    assert await paths(kept) == sorted([*foreign, "purges.jsonl"])
    assert await kept.load_purges() == [Purge("all", generation=5)]


async def test_purges_are_kept(url: str, kept: Store, clock: Clock) -> None:
    assert await kept.load_purges() == []
    first = [
        Purge("tag", "a", generation=1),
        Purge("prefix", "https://ä\ud800\udc00\n\u2028/", soft=True, generation=2),
    ]
    await kept.save_purges(first)
    again = kept if url.startswith("memory") else Store.from_url(url, Open(), now=clock)
    assert await again.load_purges() == first
    await again.save_purges([Purge("tag", "a", generation=9), Purge("tag", "b", generation=8)])
    await again.save_purges([Purge("tag", "a", generation=4)])
    expected = [first[1], Purge("tag", "b", generation=8), Purge("tag", "a", generation=9)]
    assert await kept.load_purges() == expected


async def test_purges_saved_at_the_same_time_are_all_kept(kept: Store, clock: Clock) -> None:
    # A folder has no writes on condition: there, only those of one node are kept apart.
    apart = not type(kept._store).__name__.startswith("Local")
    nodes = [Store(kept._store, Open(), now=clock) if apart else kept for _ in range(4)]
    await asyncio.gather(*(node.save_purges([Purge("tag", str(n), generation=n)]) for n, node in enumerate(nodes)))
    assert {purge.value for purge in await kept.load_purges()} == {"0", "1", "2", "3"}


# ------------------------------------------------------------------ purges


@pytest.fixture
def shared(clock: Clock) -> Store:
    return Store(MemoryStore(), Open(), now=clock)


async def test_a_purge_of_everything_makes_older_ones_superfluous(shared: Store) -> None:
    for purges, left in (
        ([Purge("tag", "a", soft, generation=n) for n in (1, 3, 5) for soft in (False, True)], 2),
        ([Purge("all", soft=True, generation=4)], 3),
        ([Purge("all", soft=True, generation=6)], 2),
        ([Purge("all", generation=4)], 3),
        ([Purge("all", generation=7)], 1),
    ):
        await shared.save_purges(purges)
        assert len(await shared.load_purges()) == left
    assert await shared.load_purges() == [Purge("all", generation=7)]


async def test_saving_what_is_known_writes_nothing(bucket: type[Bucket], clock: Clock) -> None:
    kept = Store.from_url("s3://bucket", Open(), now=clock)
    await kept.save_purges([Purge("tag", "a", generation=2)])
    await kept.save_purges([Purge("tag", "a", generation=2), Purge("tag", "a", generation=1)])
    assert bucket.requests == ["PUT purges.jsonl"]


async def test_what_a_node_knows_goes_in_and_comes_out(shared: Store) -> None:
    ours, restarted = Purges(), Purges()
    for number in range(1, 200):
        ours.learn(Purge("tag", f"tag-{number}", soft=number % 2 == 0, generation=number * STEP))
    await shared.save_purges(ours)
    for purge in await shared.load_purges():
        restarted.learn(purge)
    assert sorted(ours, key=repr) == sorted(restarted, key=repr)
    assert restarted.newest == ours.newest


@pytest.mark.parametrize("rest", [b"\xff", b"{}", b"[", b'["tag","b",false]', b'["host","b",false,1]', b"[" * 99_999])
async def test_a_damaged_line_does_not_hide_the_others(shared: Store, rest: bytes) -> None:
    await shared.save_purges([Purge("tag", "a", generation=1)])
    whole = bytes(await (await obstore.get_async(shared._store, "purges.jsonl")).bytes_async())
    await obstore.put_async(shared._store, "purges.jsonl", rest + b"\n" + whole + rest)
    assert await shared.load_purges() == [Purge("tag", "a", generation=1)]
    await shared.save_purges([Purge("tag", "b", generation=2)])
    assert len(await shared.load_purges()) == 2


async def test_servers_without_conditions_are_written_to_all_the_same(bucket: type[Bucket], clock: Clock) -> None:
    bucket.conditions = False
    kept = Store.from_url("s3://bucket", Open(), now=clock)
    for number in range(3):
        await kept.save_purges([Purge("tag", str(number), generation=number)])
    assert len(await kept.load_purges()) == 3


# ------------------------------------------------------------------ things that go wrong


async def test_garbage_is_no_entry(local: Store, folder: Path) -> None:
    await local.put(KEY, ENTRY, 10)
    whole = file_of(folder).read_bytes()
    assert whole[8:] == seal(KEY, ENTRY)
    for damaged in (b"", b"x", whole[:7], whole[:8], whole[:100], whole + b"x", b"x" * 1000, bytes(8) + whole[8:]):
        file_of(folder).write_bytes(damaged)
        assert await local.get(KEY) is None
    for bit in range(16 * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file_of(folder).write_bytes(damaged)
        assert await local.get(KEY) is None, bit
    await local.put(KEY, ENTRY, 10)
    assert await local.get(KEY) == ENTRY


async def test_a_huge_file_is_not_even_read(local: Store, folder: Path) -> None:
    await local.put(KEY, ENTRY, 10)
    with file_of(folder).open("r+b") as file:
        file.truncate(LARGEST + 1)
    assert await local.get(KEY) is None


async def test_a_huge_entry_is_not_put(local: Store) -> None:
    await local.put(KEY, an_entry(bytes(LARGEST)), 10)
    assert await paths(local) == []


async def test_a_folder_in_place_of_a_file_is_a_miss(local: Store, folder: Path) -> None:
    file_of(folder).mkdir(parents=True)
    assert await local.get(KEY) is None
    with pytest.raises(TierDown):
        await local.put(KEY, ENTRY, 10)
    await local.put(a_key(1), ENTRY, 10)
    assert await local.drop(f"source-{source_id(URL)}") == 1
    assert await local.drop_all() == 0


async def test_a_file_in_place_of_a_folder_is_a_miss(local: Store, folder: Path) -> None:
    (folder / KEY[:2]).write_text("in the way")
    with pytest.raises(TierDown):
        await local.get(KEY)
    with pytest.raises(TierDown):
        await local.put(KEY, ENTRY, 10)


async def test_a_folder_that_vanished_is_made_again(local: Store, folder: Path) -> None:
    await local.put(KEY, ENTRY, 10)
    shutil.move(folder, folder.with_name("elsewhere"))
    assert await local.get(KEY) is None
    assert await local.load_purges() == []
    assert await local.drop_all() == 0
    await local.put(KEY, ENTRY, 10)
    assert await local.get(KEY) == ENTRY


async def test_a_folder_that_cannot_be_written_to_is_down(clock: Clock) -> None:
    kept = Store.from_url("file:///sys/kernel", Open(), now=clock)
    assert await kept.get(KEY) is None
    assert await kept.load_purges() == []
    with pytest.raises(TierDown):
        await kept.put(KEY, ENTRY, 10)
    with pytest.raises(TierDown):
        await kept.save_purges([Purge("all", generation=1)])


async def test_a_full_disk_is_down_and_leaves_the_older_entry(local: Store, folder: Path) -> None:
    await local.put(KEY, ENTRY, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        with pytest.raises(TierDown):
            await local.put(KEY, an_entry(b"x" * 200_000), 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert await local.get(KEY) == ENTRY
    assert files_in(folder) == [KEY]


async def test_an_entry_is_never_half_written(local: Store) -> None:
    versions = [an_entry(letter * 300_000) for letter in (b"a", b"b")]
    await local.put(KEY, versions[0], 10)

    async def write() -> None:
        for number in range(30):
            await local.put(KEY, versions[number % 2], 10)

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        while not writing.done():
            assert await local.get(KEY) in versions


async def test_folders_that_became_empty_go_too(local: Store, folder: Path) -> None:
    for number in range(3):
        await local.put(a_key(number), ENTRY, 10)
    await local.drop_all()
    assert names_in(folder) == set()
    await local.put(KEY, ENTRY, 10)
    assert await local.get(KEY) == ENTRY


async def test_keys_that_would_lead_elsewhere_lead_nowhere(local: Store, folder: Path) -> None:
    for key in ("../../x-y", "/etc/passwd", "a//b", "", "a\0b-c", ".."):
        for operation in (lambda k=key: local.put(k, ENTRY, 10), lambda k=key: local.get(k)):
            with contextlib.suppress(TierDown):
                await operation()
    assert names_in(folder.parent) == {"deep"}


@pytest.mark.parametrize("closes", [True, False], ids=["refuses", "is silent"])
async def test_a_server_that_is_gone_is_down_at_once(
    *, closes: bool, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        at_s3(monkeypatch, server.getsockname()[1])
        if closes:
            server.close()
        circuit = Circuit("store", 0.05, failures=3, slow=None)
        kept = Store.from_url("s3://bucket", circuit, now=clock)
        started = asyncio.get_running_loop().time()
        for _ in range(3):
            with pytest.raises(TierDown):
                await kept.get(KEY)
        assert circuit.state == "open"
        assert "\n" not in circuit.reason
        with pytest.raises(TierDown):
            await kept.put(KEY, ENTRY, 10)
        assert circuit.outcomes["skipped"] == 1
        for operation in (kept.load_purges, kept.drop_all, partial(kept.drop, f"source-{source_id(URL)}")):
            with pytest.raises(TierDown):
                await operation()
        with pytest.raises(TierDown):
            await kept.save_purges([Purge("all", generation=1)])
        assert asyncio.get_running_loop().time() - started < 10


async def test_misses_are_no_failures_to_the_guard(url: str, clock: Clock) -> None:
    circuit = Circuit("store", 10, failures=1, slow=None)
    kept = Store.from_url(url, circuit, now=clock)
    for number in range(5):
        assert await kept.get(a_key(number)) is None
    assert circuit.outcomes == {"ok": 5}


# ------------------------------------------------------------------ URLs


@pytest.mark.parametrize(
    "url", ["", "file:///var/cache/imgproxy", "s3://bucket", "s3://bucket/a/b", "gs://bucket/a", "az://container/a"]
)
def test_urls_of_stores(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("/var/cache", "file://"),
        ("http://example.com/", "expected file://"),
        ("redis://localhost", "s3://"),
        ("file://var/cache", "three slashes"),
        ("file://", "three slashes"),
        ("file:///", "below /"),
        ("s3:///prefix", "bucket"),
        ("s3://", "s3://bucket/prefix"),
        ("gs://", "gs://bucket/prefix"),
        ("s3://bucket?region=eu", "environment"),
        ("s3://key:secret@bucket/", "environment"),
    ],
)
def test_other_urls_are_refused_with_a_remedy(url: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)):
        check_url(url)
    with pytest.raises(ValueError, match=re.escape(remedy)):
        connect(url)


def test_stores_that_cannot_be_opened_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="may create and write to"):
        connect((tmp_path / "file" / "below").as_uri())
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        connect("az://container/prefix")


async def test_files_that_changed_places_are_no_answers(tmp_path: Path, clock: Clock) -> None:
    """A store may mix things up (a restore, a hand, a bug of its own): a frame is good under its own key only."""
    damaged: list[int] = []
    kept = Store.from_url(tmp_path.as_uri(), Open(), now=clock, on_damage=lambda: damaged.append(1))
    mine, other = an_entry(b"mine"), an_entry(b"other")
    await kept.put(a_key(1), mine, 10)
    await kept.put(a_key(2), other, 10)
    one, two = (next(tmp_path.glob(f"*/*/{a_key(number)}")) for number in (1, 2))  # noqa: ASYNC240 - a folder in memory
    one.write_bytes(two.read_bytes())
    assert await kept.get(a_key(1)) is None
    assert await kept.get(a_key(2)) == other
    assert damaged == [1]
