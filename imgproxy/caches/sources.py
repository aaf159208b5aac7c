"""Originals, and what their origins said of them: one download for all sizes, one question for all of them too."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

from imgproxy.caches.base import SKEW_S, source_id
from imgproxy.caches.refusals import Refusals, may_pass
from imgproxy.errors import ImageError, SourceRefused, SourceTooLarge
from imgproxy.flight import Flights
from imgproxy.model import Caching, Provenance, Source, StillGood, Validators

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from imgproxy.model import Deadline, Lifetime, SourceRef

_MOST_RECORDS = 10_000
_LONGEST_URL = 4_096
"""Of what is remembered without its bytes; URLs can have 32 KiB."""
_MOST_BODIES = 2_048
"""Each body is a descriptor: no more than a quarter of what the process may have."""
_TRIES = 3


class Fetching(Protocol):
    """The origins, as far as they are needed here."""

    async def fetch(
        self, ref: SourceRef, *, max_bytes: int, deadline: Deadline, validators: Validators = ...
    ) -> Source | StillGood: ...

    def turn(self, ref: SourceRef, deadline: Deadline) -> AbstractAsyncContextManager[Turn]: ...

    def turn_at_once(self, ref: SourceRef) -> Turn | None: ...


class Turn(Protocol):
    """A turn at an origin, over when ``leave`` is called, or with its block."""

    def begin(self) -> None: ...

    def leave(self) -> None: ...


class _NoTurn:
    def begin(self) -> None:
        """Nothing begins."""

    def leave(self) -> None:
        """Nothing was taken."""


class _Body:
    """Bytes in a memfd that live as long as somebody refers to this."""

    __slots__ = ("fd", "size")

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size

    def __del__(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class _Record:
    """What is known of one original; with its bytes, or without."""

    provenance: Provenance
    media_type: str | None = None
    body: _Body | None = None

    def answers(self, known: Provenance | None) -> bool:
        """Whether nothing more has to be fetched for somebody who has the version ``known``."""
        return self.body is not None or self.is_still(known)

    def is_still(self, known: Provenance | None) -> bool:
        return known is not None and self.provenance.is_version_of(known)


class Sources:
    """Fetches originals: from memory where it can, and otherwise once for all who ask at the same time.

    ``size``: bytes of originals that are kept. ``lifetime``: how long an origin's answer may be used. ``now``: Unix
    seconds. ``newest``: the newest purge that is known.
    """

    def __init__(
        self,
        origins: Fetching,
        size: int,
        *,
        lifetime: Callable[[Caching], Lifetime],
        newest: Callable[[], int],
        refusals: Refusals,
        now: Callable[[], float],
    ) -> None:
        self._origins = origins
        self._size = size
        self._most_bodies = min(_MOST_BODIES, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 4)
        self._lifetime = lifetime
        self._newest = newest
        self._refusals = refusals
        self._now = now
        # Both in order of use: what is known of originals, and those of them whose bytes are here.
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._bodies: OrderedDict[str, int] = OrderedDict()
        self._flights = Flights[_Record]()
        self.bytes = 0
        """Bytes of originals that are kept."""
        self.found: Counter[str] = Counter()
        """How often bytes were wanted, by whether they were here: "hit" or "miss"."""

    @property
    def entries(self) -> int:
        """How many originals are kept with their bytes."""
        return len(self._bodies)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what is under way and let go of all bytes."""
        await self._flights.aclose()
        self._records.clear()
        self._bodies.clear()
        self.bytes = 0

    def turn_at_once(
        self, ref: SourceRef, max_bytes: int, known: Provenance | None = None, purged: int = 0
    ) -> Turn | None:
        """A turn at the origin of a source, to be had before ``fetch``; None if it has to be waited for.

        Where its origin need not be asked, nothing has to be waited for.
        """
        record = self._fresh(ref.url, purged)
        if (record is not None and record.answers(known)) or (ref.url, max_bytes, purged) in self._flights:
            return _NoTurn()
        return self._origins.turn_at_once(ref)

    def turn(self, ref: SourceRef, deadline: Deadline) -> AbstractAsyncContextManager[Turn]:
        """A turn at the origin of a source, waited for. Raises as ``Origins.turn`` does."""
        return self._origins.turn(ref, deadline)

    def shrink(self) -> None:
        """Let half of the bytes go: the machine needs the memory."""
        self._tidy(self.bytes // 2)

    async def fetch(
        self, ref: SourceRef, *, max_bytes: int, deadline: Deadline, known: Provenance | None = None, purged: int = 0
    ) -> tuple[Provenance, Source | None]:
        """What is known of the source now, and the source itself; None in its place if ``known`` is still its version.

        ``purged``: the newest purge that concerns it; what was known before that does not count. The caller closes
        the source. Raises as ``Origins.fetch`` does, or what the origin refused a moment ago.
        """
        record = self._fresh(ref.url, purged)
        self.found["hit"] += record is not None and record.body is not None
        for _ in range(_TRIES):
            if record is not None and record.answers(known):
                break
            if error := self._refusals.find(source_id(ref.url), purged):
                raise error
            record, _ = await self._flights.join(
                (ref.url, max_bytes, purged), lambda: self._ask(ref, max_bytes, deadline, known, purged), deadline
            )
        else:
            # Others asked for the versions that they know, again and again.
            record = await self._ask(ref, max_bytes, deadline, None, purged)
        if record.is_still(known):
            return record.provenance, None
        if max_bytes and record.provenance.size > max_bytes:
            raise SourceTooLarge(f"the source has {record.provenance.size} bytes, {max_bytes} are allowed")
        return record.provenance, _opened(record)

    def _fresh(self, url: str, purged: int) -> _Record | None:
        """What is known of an original, as long as its origin need not be asked."""
        record = self._records.get(url)
        if record is None or record.provenance.generation < purged:
            return None
        told = record.provenance
        # The clock may have been set back: what was asked for in the future is not fresh until then.
        if not -SKEW_S <= self._now() - told.checked_at < self._lifetime(told.caching).fresh:
            return None
        self._records.move_to_end(url)
        if record.body is not None:
            self._bodies.move_to_end(url)
        return record

    async def _ask(
        self, ref: SourceRef, max_bytes: int, deadline: Deadline, known: Provenance | None, purged: int
    ) -> _Record:
        """What the origin says now. Asked by the validators of what is here, else of what the caller has."""
        # Both taken before the question: what happens meanwhile is later.
        generation, asked_at = self._newest(), self._now()
        kept = self._records.get(ref.url)
        if kept is not None and kept.provenance.generation < purged:
            kept = None
        if kept is None or kept.body is None:
            kept = _Record(known) if known is not None and known.generation >= purged else None
        try:
            answer = await self._origins.fetch(
                ref, max_bytes=max_bytes, deadline=deadline, validators=_validators(kept)
            )
        except ImageError as error:
            # What the origin itself said, to all who ask. That it sent too much for this one is this one's business.
            if isinstance(error, SourceRefused):
                self._refusals.note(source_id(ref.url), error, generation)
                if not may_pass(error):
                    self._drop(ref.url)
            raise
        if isinstance(answer, StillGood):
            assert kept is not None  # noqa: S101 - only a conditional request is answered so
            record = replace(kept, provenance=_renewed(kept.provenance, answer, asked_at, generation))
        else:
            self.found["miss"] += 1
            record = await _landed(answer, asked_at, generation)
        self._refusals.forget(source_id(ref.url))
        self._keep(record)
        return record

    def _keep(self, record: _Record) -> None:
        url = record.provenance.url
        self._drop(url)
        if not self._lifetime(record.provenance.caching).storable or len(url) > _LONGEST_URL:
            return
        # A quarter at most: one huge original must not empty the whole.
        if record.body is not None and record.body.size > self._size // 4:
            record = replace(record, body=None)
        self._records[url] = record
        if record.body is not None:
            self._bodies[url] = record.body.size
            self.bytes += record.body.size
        self._tidy(self._size)
        if len(self._records) > _MOST_RECORDS:
            self._drop(next(iter(self._records)))

    def _tidy(self, size: int) -> None:
        """Let go of the bytes that were used least recently, until what is left fits."""
        while self.bytes > size or len(self._bodies) > self._most_bodies:
            oldest = next(iter(self._bodies))
            self._records[oldest] = replace(self._records[oldest], body=None)
            self.bytes -= self._bodies.pop(oldest)

    def _drop(self, url: str) -> None:
        self._records.pop(url, None)
        self.bytes -= self._bodies.pop(url, 0)


async def _landed(source: Source, asked_at: float, generation: int) -> _Record:
    body = _Body(source.fd, source.size)
    told = source.validators
    # In a thread: a large original takes longer than others on the loop should wait.
    digest = "" if told.etag or told.last_modified else await asyncio.to_thread(_digest, source.fd)
    told = Provenance(
        source.url, source.size, source.validators, source.caching, digest, checked_at=asked_at, generation=generation
    )
    return _Record(told, source.media_type, body)


def _renewed(known: Provenance, answer: StillGood, asked_at: float, generation: int) -> Provenance:
    """What was known, after the origin's 304. RFC 9111 §3.2: what it says now goes before what it said then."""
    validators = Validators(
        answer.validators.etag or known.validators.etag,
        answer.validators.last_modified or known.validators.last_modified,
    )
    new, old = answer.caching, known.caching
    caching = Caching(new.cache_control or old.cache_control, new.expires or old.expires, new.age, new.date or old.date)
    return replace(known, validators=validators, caching=caching, checked_at=asked_at, generation=generation)


def _opened(record: _Record) -> Source:
    # Opened anew, not duplicated: duplicates share one position, and render processes would disturb each other.
    assert record.body is not None  # noqa: S101 - `answers` said so
    fd = os.open(f"/proc/self/fd/{record.body.fd}", os.O_RDONLY | os.O_CLOEXEC)
    told = record.provenance
    return Source(fd, told.size, told.url, record.media_type, told.validators, told.caching)


def _validators(record: _Record | None) -> Validators:
    return record.provenance.validators if record is not None else Validators()


def _digest(fd: int) -> str:
    with os.fdopen(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
