"""From ``IMGPROXY_REDIS_URL`` to connections: one server, one that Sentinels name, or a cluster.

Nothing here retries or waits: the limit of an operation and what follows from its failure are ``circuit.py``'s.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Connection, Redis, Sentinel
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, RedisError

from imgproxy.caches.shards import Cluster, Shard, Single
from imgproxy.circuit import Circuit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imgproxy.caches.shards import Shards

_REMEDY = (
    "; expected redis://[user:password@]host[:port][/db], redis+sentinel://host:port,host:port/service[/db] or"
    " redis+cluster://host:port,host:port (rediss for TLS)"
)
_PORTS = {"": 6379, "sentinel": 26379, "cluster": 6379}
_OPTIONS = {"ca", "cert", "key", "sentinel_user", "sentinel_password"}

_CONNECTIONS = 32
"""To each server. One serves some 5,000 operations a second, so that more would only wait in Redis instead of here."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a Redis URL says."""

    kind: str
    """Empty for one server, "sentinel" or "cluster"."""
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int
    user: str | None
    password: str | None
    options: Mapping[str, str]
    """After ``?``: ``ca``, ``cert`` and ``key`` are files for TLS; what Sentinels want to know goes by itself."""


def read(url: str) -> Address:
    """The URL's parts. ``ValueError`` says what is wrong, and never holds the password."""
    # None of the messages may quote more of the URL than the part that is known to hold no password.
    scheme, separator, rest = url.partition("://")
    family, _, kind = scheme.partition("+")
    if not separator or family not in {"redis", "rediss"} or kind not in _PORTS:
        raise ValueError(f"the scheme is not known{_REMEDY}")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    user, password, hosts = _credentials(authority)
    service, database = _path(kind, [unquote(part) for part in path.split("/") if part])
    options = dict(parse_qsl(query))
    if options.keys() - _OPTIONS:
        raise ValueError(f"an option after ? is not known; there are {', '.join(sorted(_OPTIONS))}")
    named = tuple(_host(text, _PORTS[kind]) for text in hosts.split(","))
    if not kind and len(named) > 1:
        raise ValueError(f"several hosts need redis+sentinel:// or redis+cluster://{_REMEDY}")
    return Address(kind, family == "rediss", named, service, database, user, password, options)


def _credentials(authority: str) -> tuple[str | None, str | None, str]:
    credentials, at, hosts = authority.rpartition("@")
    user, _, password = credentials.partition(":")
    if at and not password:
        raise ValueError(f"the password is missing; write :password@ or user:password@{_REMEDY}")
    return unquote(user) or None, unquote(password) or None, hosts


def _path(kind: str, parts: list[str]) -> tuple[str, int]:
    service = ""
    if kind == "sentinel":
        if not parts:
            raise ValueError(f"the name of the service is missing after the hosts{_REMEDY}")
        service = parts.pop(0)
    if len(parts) > 1 or (parts and not (parts[0].isascii() and parts[0].isdigit())):
        raise ValueError(f"the database is not one number{_REMEDY}")
    database = int(parts[0]) if parts else 0
    if kind == "cluster" and database:
        raise ValueError(f"a cluster has no databases but 0{_REMEDY}")
    return service, database


def _host(text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", parts.port or port
    except ValueError:
        host = ""
    # "@" or "/" in here is part of a password that was not percent-encoded, so that the text is not quoted.
    if not host or not set("@/#?").isdisjoint(text):
        raise ValueError(f"a host or port cannot be read; a password's special characters are written %XX{_REMEDY}")
    return host, port


def connect(
    url: str,
    *,
    timeout: float,
    slow: float | None = 0.02,
    connections: int = _CONNECTIONS,
    on_change: Callable[[Circuit], None] | None = None,
) -> Shards:
    """The servers behind ``url``, each behind a circuit of its own; connects when first asked.

    ``timeout`` and ``slow`` are the circuits'. ``ValueError`` for a URL, or a TLS file, that cannot be used.
    """
    address = read(url)
    arguments = _arguments(address)

    def shard(name: str, pool: BlockingConnectionPool) -> Shard:
        circuit = Circuit(
            name, timeout, slow=slow, errors=(RedisError, OSError), refusals=(OutOfMemoryError,), on_change=on_change
        )
        return Shard(name, Redis.from_pool(pool), circuit)

    def server(host: str, port: int) -> Shard:
        kind = _TlsConnection if address.tls else _Connection
        pool = BlockingConnectionPool(connections, timeout, kind, host=host, port=port, **arguments)
        return shard(f"redis {host}:{port}", pool)

    if address.kind == "cluster":
        return Cluster(address.hosts, server, timeout)
    if address.kind == "sentinel":
        sentinels = _sentinels(address, arguments, timeout)
        pool = _SentinelPool(
            address.service,
            sentinels,
            connection_class=_TlsSentinelConnection if address.tls else _SentinelConnection,
            max_connections=connections,
            timeout=timeout,
            **arguments,
        )
        return Single(shard(f"redis {address.service}", pool), sentinels.aclose)
    return Single(server(*address.hosts[0]))


def _arguments(address: Address) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "db": address.database,
        "username": address.user,
        "password": address.password,
        "retry": Retry(NoBackoff(), 0),
        # RESP 2 without a client name and library needs no round trip when connecting, and old servers know it.
        "protocol": 2,
        "driver_info": None,
        # Operations are ended by the circuit; here, redis-py would start a task for each write (Python 3.11).
        "socket_timeout": None,
        "socket_connect_timeout": None,
    }
    if address.tls:
        arguments["context"] = _context(address.options)
    return arguments


def _context(options: Mapping[str, str]) -> ssl.SSLContext:
    # One for all connections: to make one reads the system's certificates, 10 ms or more in which all else stands.
    try:
        context = ssl.create_default_context(cafile=options.get("ca"))
        if "cert" in options:
            context.load_cert_chain(options["cert"], options.get("key"))
    except OSError as error:
        raise ValueError(f"a file for TLS cannot be used: {error}") from error
    return context


def _sentinels(address: Address, arguments: Mapping[str, Any], timeout: float) -> Sentinel:
    # The limit for one of them lets three be asked within that of the operation, should the first ones hang.
    own: dict[str, Any] = {
        **arguments,
        "db": 0,
        "username": address.options.get("sentinel_user"),
        "password": address.options.get("sentinel_password"),
        "socket_timeout": timeout / 4,
        "socket_connect_timeout": timeout / 4,
    }
    kind = _TlsConnection if address.tls else _Connection
    sentinels = Sentinel([])
    sentinels.sentinels = [
        Redis.from_pool(BlockingConnectionPool(4, timeout, kind, host=host, port=port, **own))
        for host, port in address.hosts
    ]
    return sentinels


class _Connection(Connection):
    """A connection that is gone when it is given up."""

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        # Closing would wait, unseen, until a server that hangs has read what was written to it: megabytes each.
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(*args, **kwargs)


class _TlsConnection(_Connection):
    def __init__(self, *, context: ssl.SSLContext, **kwargs: Any) -> None:  # noqa: ANN401
        self._context = context
        super().__init__(**kwargs)  # pyright: ignore[reportUnknownMemberType]

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = super()._connection_arguments()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return {**arguments, "ssl": self._context}


class _SentinelConnection(SentinelManagedConnection, _Connection):
    pass


class _TlsSentinelConnection(SentinelManagedConnection, _TlsConnection):
    pass


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that the Sentinels name; who finds all of them in use waits for one."""
