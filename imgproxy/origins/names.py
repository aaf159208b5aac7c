"""Names of origins and their addresses: asked in threads, remembered briefly, and longer while the resolver is down.

The addresses are advice. Whether one may be contacted is decided when it is (``guard.py``), each time: an old answer
is no more dangerous than a new one.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from threading import Thread
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S = 1.0
"""How long anybody waits for an answer. A resolver that is well has it in 0.1 s."""
THREADS = 32
"""How many questions are asked at once: each holds a thread until the C library gives up, 5 to 30 s."""
_LAST_RESORT_S = 600.0
"""How long an answer serves if there is no newer one to be had."""
_WITH_SPARE_S = 0.2
"""How long anybody waits for an answer who has an old one."""
_FAILURE_S = 2.0
"""How long a failure is remembered: what a burst of requests for a name that is none costs is one question."""
_MOST_NAMES = 10_000
_MOST_ADDRESSES = 16
"""Of one name. More cannot be tried in the time for a connection, and an answer may hold a thousand."""
# The name server says that there is nothing; whatever else is wrong may pass.
_ABSENT = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


@dataclass(slots=True)
class _Name:
    """What is known of a name."""

    addresses: tuple[str, ...] = ()
    found_at: float = 0.0
    error: OSError | None = None
    failed_at: float = 0.0


@dataclass(slots=True)
class _Question:
    """A name that is being asked for. ``done`` has no result; what came out is in the table."""

    host: str
    done: asyncio.Future[None]
    asked_at: float


class Names(AbstractResolver):
    """The addresses of names. ``ttl``: seconds that an answer is taken for new.

    Belongs to the event loop that first asks. ``getaddrinfo`` tells no times to live: all answers have the same.
    """

    def __init__(self, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl = ttl
        self._clock = clock
        self._names: OrderedDict[str, _Name] = OrderedDict()
        self._questions: dict[str, _Question] = {}
        self._waiting: deque[_Question] = deque()
        self._threads = 0

    async def lookup(self, host: str) -> tuple[str, ...]:
        """The addresses of a name, in the order of preference; never empty. Of an address, that one.

        Raises TimeoutError after ``LIMIT_S``, and OSError (``socket.gaierror``) for a name that has none.
        """
        if _is_address(host):
            return (host,)
        known = self._names.get(host) or _Name()
        now = self._clock()
        spare = known.addresses if now - known.found_at < _LAST_RESORT_S else ()
        if spare and now - known.found_at < self._ttl:
            return spare
        if known.error is not None and now - known.failed_at < _FAILURE_S:
            if spare:
                return spare
            raise type(known.error)(*known.error.args)
        question = self._questions.get(host) or self._ask(host)
        patience = (_WITH_SPARE_S if spare else LIMIT_S) - (now - question.asked_at)
        if patience > 0:
            await asyncio.wait([question.done], timeout=patience)
        return self._answer(host, spare, question)

    def _answer(self, host: str, spare: tuple[str, ...], question: _Question) -> tuple[str, ...]:
        if not question.done.done():
            if spare:
                return spare
            raise TimeoutError("the name server does not answer")
        known = self._names.get(host) or _Name()
        if known.error is None and known.addresses:
            return known.addresses
        if spare and known.addresses:  # kept by _note: the failure may pass
            return spare
        error = known.error or socket.gaierror(socket.EAI_AGAIN, "the name cannot be looked up now")
        raise type(error)(*error.args)

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp never asks for one
    ) -> list[ResolveResult]:
        """The same for aiohttp."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self.lookup(host)
        ]

    async def close(self) -> None:
        """Leave the threads to themselves: they end when the C library has given up, or with the process."""
        self._waiting.clear()

    def _ask(self, host: str) -> _Question:
        loop = asyncio.get_running_loop()
        question = self._questions[host] = _Question(host, loop.create_future(), self._clock())
        if self._threads < THREADS:
            self._begin(question)
        else:
            # Questions that nobody waits for any more are dropped before they are asked.
            while self._waiting and self._clock() - self._waiting[0].asked_at > LIMIT_S:
                self._give_up(self._waiting.popleft())
            self._waiting.append(question)
        return question

    def _begin(self, question: _Question) -> None:
        self._threads += 1
        loop = asyncio.get_running_loop()

        def ask() -> None:
            found = _getaddrinfo(question.host)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._end, question, found)

        # Daemons, and no executor, whose threads a stopping process waits for.
        Thread(target=ask, name="resolver", daemon=True).start()

    def _end(self, question: _Question, found: tuple[str, ...] | OSError) -> None:
        self._threads -= 1
        self._note(question.host, found)
        self._give_up(question)
        while self._waiting and self._threads < THREADS:
            following = self._waiting.popleft()
            if self._clock() - following.asked_at > LIMIT_S:
                self._give_up(following)
            else:
                self._begin(following)

    def _give_up(self, question: _Question) -> None:
        self._questions.pop(question.host, None)
        if not question.done.done():
            question.done.set_result(None)

    def _note(self, host: str, found: tuple[str, ...] | OSError) -> None:
        name = self._names.setdefault(host, _Name())
        self._names.move_to_end(host)
        if isinstance(found, OSError):
            if found.errno in _ABSENT:
                name.addresses = ()
            name.error, name.failed_at = found, self._clock()
        else:
            name.addresses, name.found_at, name.error = found, self._clock(), None
        if len(self._names) > _MOST_NAMES:
            self._names.popitem(last=False)


def _getaddrinfo(host: str) -> tuple[str, ...] | OSError:
    """The addresses of a name, each once, or what went wrong; in a thread."""
    try:
        found = socket.getaddrinfo(host, 0, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except OSError as error:
        return error
    except ValueError:  # a label that is too long for the codec "idna"
        return socket.gaierror(socket.EAI_NONAME, "no name that could exist")
    addresses = dict.fromkeys(str(address[0]) for *_, address in found)
    return tuple(addresses)[:_MOST_ADDRESSES] or socket.gaierror(socket.EAI_NONAME, "the name has no address")


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False
