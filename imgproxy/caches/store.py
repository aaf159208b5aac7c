"""The tier that outlives all others: results and purges as objects in a folder or in a bucket (obstore).

A result is the object ``<key[:2]>/<source id>/<key>``: a source's results lie together, to be listed and deleted, and
no folder holds all sources. It begins with its expiry, then comes a frame of ``codec``. The purges are one more object:
a store that is used without Redis, or restarted together with it, must not bring purged bytes back.

Objects are written whole or not at all: obstore renames local files into place and sends others in one request.
Expired objects go when they are met. Nothing bounds the size: for a bucket that is a lifecycle rule's business, for a
folder the operator's (its own file system, or a job that deletes files older than the time to live).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import re
import struct
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, Self, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import from_url

from imgproxy.caches import codec
from imgproxy.caches.base import TierDown
from imgproxy.model import Purge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from obstore import ObjectMeta, PutMode, UpdateVersion
    from obstore.store import ObjectStore

    from imgproxy.model import Entry

T = TypeVar("T")

ERRORS: tuple[type[Exception], ...] = (BaseError, OSError, ValueError, NotImplementedError)
"""What obstore raises when a store does not do what it should."""

LARGEST = 64 * 1024 * 1024
"""Bytes of the largest object that is written or read: what lies there is not only ours."""

_PATIENCE = 2.0
"""Seconds for what concerns many objects or must succeed: purges. Results have the guard's, which are fewer."""

_EXPIRY = struct.Struct(">II")
"""Unix seconds, rounded up, and their CRC-32: a result whose expiry is damaged is no result."""

_PURGES = "purges.jsonl"
_RESULT = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{14})/\2-[0-9a-f]{64}")
_SOURCE_TAG = re.compile(r"source-([0-9a-f]{16})")

_log = logging.getLogger("imgproxy.caches")


class StoreFailed(OSError):
    """What went wrong in a store, in one line: the failure that a guard's breaker counts."""


class Guard(Protocol):
    """Time limits and a breaker around an operation: its result, or ``TierDown``."""

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T: ...


class Store:
    """Results and purges in an object store.

    ``guard`` stands around each read of a result, ``writing`` (else ``guard`` too) around each write: nobody waits
    for those, and a bucket needs longer. ``ttl``: seconds that results are kept here, whatever callers ask for; a
    result that is too old to be answered with is still worth a render when the origin says that nothing has changed.
    ``now``: Unix seconds. ``on_damage`` is told of each result that was there but not as it was put.
    """

    name = "store"

    def __init__(
        self,
        store: ObjectStore,
        guard: Guard,
        *,
        now: Callable[[], float],
        writing: Guard | None = None,
        ttl: float | None = None,
        on_damage: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._guard = guard
        self._writing = writing or guard
        self._now = now
        self._ttl = ttl
        self._on_damage = on_damage
        self._saving = asyncio.Lock()

    @classmethod
    def from_url(
        cls,
        url: str,
        guard: Guard,
        *,
        now: Callable[[], float],
        writing: Guard | None = None,
        ttl: float | None = None,
        on_damage: Callable[[], None] | None = None,
    ) -> Self:
        """The store at ``url``, a folder created if need be. Raises ValueError with cause and remedy."""
        return cls(connect(url), guard, now=now, writing=writing, ttl=ttl, on_damage=on_damage)

    async def get(self, key: str) -> Entry | None:
        data = await self._guarded(lambda: self._read(_path(key)))
        if data is None or len(data) < _EXPIRY.size:
            return None
        seconds, check = _EXPIRY.unpack_from(data)
        if check != zlib.crc32(data[:4]):
            return None
        if seconds <= self._now():
            with contextlib.suppress(TierDown):  # else it is met again
                await self._guarded(lambda: self._delete([_path(key)]))
            return None
        entry = codec.unseal(key, data[_EXPIRY.size :])
        if entry is None and self._on_damage is not None:
            self._on_damage()
        return entry

    async def put(self, key: str, entry: Entry, seconds: float) -> None:
        seconds = seconds if self._ttl is None else self._ttl
        if not seconds > 0 or len(entry.rendition.body) > LARGEST - 1024 * 1024:
            await self.remove(key)  # what it would have replaced must not outlive it
            return
        until = struct.pack(">I", math.ceil(min(self._now() + seconds, 2**32 - 1)))
        data = until + struct.pack(">I", zlib.crc32(until)) + codec.seal(key, entry)
        await self._guarded(lambda: self._write(_path(key), data), self._writing)

    async def remove(self, key: str) -> None:
        await self._guarded(lambda: self._delete([_path(key)]), self._writing)

    async def drop(self, tag: str) -> int:
        """How many results of a source (tag ``source-<id>``) were deleted.

        Other tags delete nothing, because nothing lists what carries them; their purges' generations hide it.
        """
        match = _SOURCE_TAG.fullmatch(tag)
        return await self._drop_below(f"{match[1][:2]}/{match[1]}") if match else 0

    async def drop_prefix(self, prefix: str) -> int:  # noqa: ARG002  as the other tiers have it
        """Nothing: what came of which URL is not listed anywhere. The purge's generation hides it."""
        return 0

    async def drop_all(self) -> int:
        """How many results could be deleted in two seconds; generations hide the rest. Other files are left alone."""
        return await self._drop_below(None)

    async def load_purges(self) -> list[Purge]:
        """The purges that were saved. Raises ``TierDown`` if that cannot be told."""
        purges, _ = await self._patiently(self._load_purges)
        return purges

    async def save_purges(self, purges: Iterable[Purge]) -> None:
        """Add these purges to the saved ones."""
        ours = list(purges)
        # One at a time: a folder knows no writes on condition, so two at once could lose one. Between nodes that share
        # a folder (not a bucket) a moment stays in which that can happen; Redis, or the next purge, makes up for it.
        async with self._saving:
            await self._patiently(lambda: self._save_purges(ours))

    async def aclose(self) -> None:
        """Nothing: obstore closes its connections when it is forgotten."""

    async def _guarded(self, operation: Callable[[], Awaitable[T]], guard: Guard | None = None) -> T:
        async def told() -> T:
            try:
                return await operation()
            except ERRORS as error:
                raise StoreFailed(_cause(error)) from error

        try:
            return await (guard or self._guard).call(told)
        except StoreFailed as error:
            raise TierDown(f"store: {error}") from error

    async def _patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await operation()
        except ERRORS as error:
            raise TierDown(f"store: {_cause(error)}") from error

    async def _read(self, path: str) -> memoryview | None:
        found = await self._read_version(path)
        return found[0] if found else None

    async def _read_version(self, path: str) -> tuple[memoryview, PutMode] | None:
        """An object, and the mode of a write that replaces just this version of it."""
        # What is not there is an answer, not a failure: the guard must not see it.
        try:
            result = await obstore.get_async(self._store, path)
            if result.meta["size"] > LARGEST:
                return None
            return memoryview(await result.bytes_async()), _instead_of(result.meta)
        except FileNotFoundError:
            return None

    async def _write(self, path: str, data: bytes, mode: PutMode = "overwrite") -> None:
        # In one request: parts of an upload that was given up would stay in the bucket, unseen and paid for.
        await obstore.put_async(self._store, path, data, mode=mode, use_multipart=False)

    async def _delete(self, paths: list[str]) -> int:
        """How many of the objects were deleted; those that are gone already do not count."""
        try:
            await obstore.delete_async(self._store, paths)
        except ERRORS:
            # One that is gone, or is a folder, ends the whole batch of a local store.
            pass
        else:
            return len(paths)
        deleted, failure = 0, None
        for path in paths:
            try:
                await obstore.delete_async(self._store, path)
                deleted += 1
            except FileNotFoundError:
                pass
            except ERRORS as error:
                failure = error
        if failure is not None and not deleted:
            raise failure
        return deleted

    async def _drop_below(self, folder: str | None) -> int:
        deleted = 0

        async def sweep() -> None:
            nonlocal deleted
            pages = obstore.list(self._store, folder, chunk_size=250)  # pyright: ignore[reportUnknownMemberType]  (Arrow)
            async for found in pages:
                # A folder may hold other people's files, should the URL be a mistake.
                paths = [meta["path"] for meta in found if _RESULT.fullmatch(meta["path"])]
                if paths:
                    deleted += await self._delete(paths)

        try:
            await self._patiently(sweep)
        except TierDown:
            if not deleted:
                raise
        return deleted

    async def _load_purges(self) -> tuple[list[Purge], PutMode]:
        found = await self._read_version(_PURGES)
        if found is None:
            return [], "create"
        data, version = found
        return await asyncio.to_thread(_parsed, bytes(data)), version

    async def _save_purges(self, ours: list[Purge]) -> None:
        # Each round also checks the one before it: another node may have written at the same time.
        for _ in range(10):
            theirs, version = await self._load_purges()
            merged = await asyncio.to_thread(_merged, [*theirs, *ours])
            if merged == theirs:
                return
            data = await asyncio.to_thread(_written, merged)
            try:
                await self._write(_PURGES, data, version)
            except (AlreadyExistsError, PreconditionError):
                continue
            except ERRORS:
                # Folders, and some servers that speak S3, know no conditions.
                await self._write(_PURGES, data)
        raise TierDown("store: others keep changing the purges")


def check_url(url: str) -> str:
    """``url``, if it can be a result store's or is empty. Raises ValueError with cause and remedy."""
    if not url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in {"file", "s3", "gs", "az", "memory"}:
        raise ValueError(f"{parts.scheme or url!r} is no kind of store; expected file://, s3://, gs:// or az://")
    if parts.query or parts.fragment:
        raise ValueError("a store's URL has no ? or #; settings such as regions and keys come from the environment")
    if parts.username is not None:
        raise ValueError("a store's URL has no credentials; they come from the environment")
    if parts.scheme == "file" and (parts.netloc or not parts.path.strip("/")):
        raise ValueError("expected an absolute path below /, with three slashes: file:///var/cache/imgproxy")
    if parts.scheme in {"s3", "gs", "az"} and not parts.netloc:
        raise ValueError(f"the bucket is missing: {parts.scheme}://bucket/prefix")
    return url


def connect(url: str) -> ObjectStore:
    """The object store at ``url``; a folder is created if need be. Raises ValueError with cause and remedy."""
    scheme = urlsplit(check_url(url)).scheme
    try:
        if scheme == "file":
            return from_url(url, mkdir=True, automatic_cleanup=True)
        # A cache is not worth asking twice. Time limits are the guard's and ours: given here as `client_options`, they
        # would take the place of all that the environment says of connections (AWS_ALLOW_HTTP, certificates).
        return from_url(url, retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=5)})
    except ERRORS as error:
        remedy = {
            "file": "the folder must be one that the server may create and write to",
            "az": "AZURE_STORAGE_ACCOUNT_NAME must name the account",
        }.get(scheme, "its settings come from the environment (AWS_* or GOOGLE_*)")
        raise ValueError(f"the store cannot be used ({_cause(error)}); {remedy}") from error


def _cause(error: Exception) -> str:
    """The first line of it: obstore's errors go on with a page of their insides."""
    return str(error).partition("\n")[0] or repr(error)


def _path(key: str) -> str:
    return f"{key[:2]}/{key.partition('-')[0]}/{key}"


def _instead_of(meta: ObjectMeta) -> PutMode:
    """The mode of a write that replaces this version of an object, and no other."""
    version: UpdateVersion = {}
    if meta["e_tag"] is not None:
        version["e_tag"] = meta["e_tag"]
    if meta["version"] is not None:
        version["version"] = meta["version"]
    return version or "overwrite"


def _merged(purges: Iterable[Purge]) -> list[Purge]:
    """The newest of each kind and value, without those that a purge of everything covers; in order of generation."""
    newest: dict[tuple[str, bool, str], Purge] = {}
    for purge in sorted(purges, key=_order):
        newest[purge.kind, purge.soft, purge.value] = purge
    everything = [each for each in newest.values() if each.kind == "all"]

    def is_covered(purge: Purge) -> bool:
        return any(
            each is not purge and each.generation >= purge.generation and (purge.soft or not each.soft)
            for each in everything
        )

    return [each for each in sorted(newest.values(), key=_order) if not is_covered(each)]


def _order(purge: Purge) -> tuple[int, str, str, bool]:
    return purge.generation, purge.kind, purge.value, purge.soft


def _written(purges: Iterable[Purge]) -> bytes:
    lines = (
        json.dumps([each.kind, each.value, each.soft, each.generation], ensure_ascii=False) + "\n" for each in purges
    )
    return "".join(lines).encode("utf-8", "surrogatepass")


def _parsed(data: bytes) -> list[Purge]:
    purges: list[Purge] = []
    for line in data.splitlines():
        try:
            match json.loads(line.decode("utf-8", "surrogatepass")):
                case ["tag" | "prefix" | "all" as kind, str(value), bool(soft), int(generation)]:
                    purges.append(Purge(kind, value, soft, generation))
                case _:
                    _log.warning("the result store's purges hold a line that is none")
        except (ValueError, RecursionError):
            _log.warning("the result store's purges hold a line that cannot be read")
    return purges
