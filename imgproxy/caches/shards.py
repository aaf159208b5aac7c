"""The servers behind a Redis URL: one, or the primaries of a cluster, each behind a circuit of its own.

The cluster client is ours. redis-py's reads the map of slots anew inside the caller's operation after any failure,
while all other callers wait, and throws its connections away when that caller runs out of time. Here one primary that
is gone costs its own keys only, and the map is read in the background. Only operations on single keys are needed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from redis.crc import key_slot
from redis.exceptions import AskError, InvalidResponse, MovedError, RedisError

from imgproxy.caches.base import TierDown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from redis.asyncio import Redis

    from imgproxy.circuit import Circuit

    Operation = Callable[[Redis], Awaitable["T"]]

T = TypeVar("T")

_GARBLED = (ValueError, TypeError, LookupError, AttributeError)
"""What redis-py makes of a reply with a wrong bit: a length that is no number, a shape that is not the command's."""

_REFRESH_EVERY = 0.25
"""Seconds between two looks at a cluster in trouble. A look is one small command, a failover takes seconds."""


async def ask(client: Redis, *command: str | bytes | float) -> object:
    """The answer to a command. For those whose methods in redis-py have types that are not known."""
    execute = cast("Callable[..., Awaitable[object]]", client.execute_command)  # pyright: ignore[reportUnknownMemberType]
    return await execute(*command)


class Shard:
    """One Redis server, and the circuit before it."""

    def __init__(self, name: str, client: Redis, circuit: Circuit) -> None:
        self.name = name
        self.client = client
        self.circuit = circuit

    async def call(self, operation: Operation[T]) -> T:
        """The operation's result. Raises ``TierDown`` as circuits do."""

        async def attempt() -> T:
            try:
                return await operation(self.client)
            except _GARBLED as error:
                raise InvalidResponse(f"a garbled reply: {error}") from error

        return await self.circuit.call(attempt)

    async def aclose(self) -> None:
        # A server that is gone has nothing to say to this.
        with suppress(OSError, RedisError):
            await self.client.aclose()


class Shards(Protocol):
    """Where keys live."""

    async def call(self, key: str, operation: Operation[T]) -> T:
        """The result of an operation at the server that has ``key``. Raises ``TierDown``."""
        ...

    def batches(self, keys: Sequence[str]) -> Iterable[Sequence[str]]:
        """The keys, parted into such as one operation may name together."""
        ...

    async def all(self) -> Sequence[Shard]:
        """Every server that has keys. Raises ``TierDown`` if they are not known."""
        ...

    @property
    def circuits(self) -> Sequence[Circuit]: ...

    async def aclose(self) -> None: ...


class Single:
    """One server, or the one that Sentinels name."""

    def __init__(self, shard: Shard, close: Callable[[], Awaitable[None]] | None = None) -> None:
        self._shard = shard
        self._close = close

    async def call(self, key: str, operation: Operation[T]) -> T:  # noqa: ARG002
        return await self._shard.call(operation)

    def batches(self, keys: Sequence[str]) -> Iterable[Sequence[str]]:
        return (keys,) if keys else ()

    async def all(self) -> Sequence[Shard]:
        return (self._shard,)

    @property
    def circuits(self) -> Sequence[Circuit]:
        return (self._shard.circuit,)

    async def aclose(self) -> None:
        await self._shard.aclose()
        if self._close is not None:
            with suppress(OSError, RedisError):
                await self._close()


class Cluster:
    """The primaries of a Redis Cluster, and which of its 16,384 slots each has."""

    def __init__(self, seeds: Sequence[tuple[str, int]], server: Callable[[str, int], Shard], timeout: float) -> None:
        self._seeds = [server(*seed) for seed in seeds]
        self._server = server
        self._timeout = timeout
        self._shards: dict[tuple[str, int], Shard] = {}
        self._slots: dict[int, Shard] = {}
        self._retired: list[Shard] = []
        self._refresh: asyncio.Task[None] | None = None
        self._refresh_at = 0.0

    async def call(self, key: str, operation: Operation[T]) -> T:
        await self._known()
        slot = key_slot(key.encode())
        shard = self._slots.get(slot)
        if shard is None:
            self._look_again()
            raise TierDown(f"no server of the cluster has slot {slot}")
        result = await self._attempt(shard, operation)
        if isinstance(result, MovedError):
            shard = self._slots[slot] = self._at(cast("str", result.host) or _host_of(shard), result.port)
            result = await self._attempt(shard, operation)
        if isinstance(result, AskError):
            # Moving just now: some keys are here, some are there. Back in a moment.
            raise TierDown(f"slot {slot} is on the move")
        return result

    async def _attempt(self, shard: Shard, operation: Operation[T]) -> T | AskError:
        """The result, or the redirection (``MovedError`` is an ``AskError`` in redis-py): that is no failure."""

        async def attempt(client: Redis) -> T | AskError:
            try:
                return await operation(client)
            except AskError as error:
                return error

        try:
            result = await shard.call(attempt)
        except TierDown:
            self._look_again()
            raise
        if isinstance(result, AskError):
            self._look_again()
        return result

    def batches(self, keys: Sequence[str]) -> Iterable[Sequence[str]]:
        return ((key,) for key in keys)

    async def all(self) -> Sequence[Shard]:
        await self._known()
        return tuple(self._shards.values())

    @property
    def circuits(self) -> Sequence[Circuit]:
        return tuple(shard.circuit for shard in self._shards.values())

    async def aclose(self) -> None:
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait([self._refresh])
        for shard in (*self._seeds, *self._shards.values(), *self._retired):
            await shard.aclose()

    async def _known(self) -> None:
        """Wait for the first map of slots, as long as an operation may take."""
        if self._slots:
            return
        self._look_again()
        if self._refresh is not None:
            await asyncio.wait([self._refresh], timeout=self._timeout)
        if not self._slots:
            raise TierDown("no server of the cluster answers")

    def _look_again(self) -> None:
        """Have the map of slots read in the background, unless that is under way or was just done."""
        if (self._refresh is None or self._refresh.done()) and time.monotonic() >= self._refresh_at:
            self._refresh_at = time.monotonic() + _REFRESH_EVERY
            self._refresh = asyncio.get_running_loop().create_task(self._read_map())

    async def _read_map(self) -> None:
        for shard in self._retired:
            await shard.aclose()
        self._retired.clear()
        # Those that were well when last heard of come first; a seed may be a replica, which knows as much.
        known = sorted(self._shards.values(), key=lambda shard: shard.circuit.state != "closed")
        for shard in (*known, *self._seeds):
            with suppress(TierDown):
                reply = await shard.call(lambda client: ask(client, "CLUSTER", "SLOTS"))
                self._take(cast("list[list[Any]]", reply), _host_of(shard))
                return

    def _take(self, reply: list[list[Any]], host: str) -> None:
        """Note the reply of ``CLUSTER SLOTS``: first slot, last slot, primary (host, port, id), replicas."""
        slots: dict[int, Shard] = {}
        try:
            for first, last, (address, port, *_), *_ in reply:
                shard = self._at((address or b"").decode() or host, int(port))
                slots.update(dict.fromkeys(range(int(first), int(last) + 1), shard))
        except _GARBLED:
            return
        if not slots:
            return
        self._slots = slots
        used = set(slots.values())
        for place, shard in tuple(self._shards.items()):
            if shard not in used:
                # Operations that are under way there may end; closed at the next look.
                self._retired.append(self._shards.pop(place))

    def _at(self, host: str, port: int) -> Shard:
        if (host, port) not in self._shards:
            self._shards[host, port] = self._server(host, port)
        return self._shards[host, port]


def _host_of(shard: Shard) -> str:
    return cast("str", shard.client.get_connection_kwargs()["host"])
