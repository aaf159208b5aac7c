"""Addresses as imgproxy spells them (``:8080``, ``host:port``, ``unix:/path``), and the sockets there."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

BACKLOG = 2048

_REMEDIES = {
    errno.EADDRINUSE: "stop what listens there, or choose another port",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address: write one that has, or none, as in :8080",
    errno.EACCES: "ports below 1024 and other users' directories need privileges: choose a higher port, or a path",
    errno.ENOENT: "make the directory of the socket first",
}


class CannotListen(OSError):
    """An address that cannot be had: what it is, why, and what to do."""

    def __init__(self, variable: str, bind: str, cause: OSError) -> None:
        reason, remedy = cause.strerror or str(cause), _REMEDIES.get(cause.errno or 0)
        if isinstance(cause, socket.gaierror):
            remedy = "write an address, or a name that can be looked up"
        elif cause.errno:
            reason = os.strerror(cause.errno)  # socket puts the address into theirs
        said = f"{variable}: cannot listen at {bind}: {reason}"
        super().__init__(f"{said}; {remedy}" if remedy else said)


_INET = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a host ("" for all) and a port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises ``ValueError`` with an example of what is right."""
        if text.startswith("unix:"):
            return cls(path=text.removeprefix("unix:").removeprefix("//"))
        match = _INET.fullmatch(text)
        if match is None or int(match["port"]) > 65535:
            raise ValueError(f"expected :8080, 127.0.0.1:8080 or unix:/run/imgproxy.sock, got {text!r}")
        return cls(match["v6"] or match["host"] or "", int(match["port"]))


@contextmanager
def listening(text: str, variable: str) -> Generator[socket.socket]:
    """A socket that listens at an address, closed at the end. Raises ``CannotListen``; ``variable`` says where."""
    try:
        address = Address.parse(text)
        listener = listen(address)
    except ValueError as error:
        raise CannotListen(variable, text, OSError(str(error))) from None
    except OSError as error:
        raise CannotListen(variable, text, error) from error
    with listener:
        try:
            yield listener
        finally:
            if address.path:
                Path(address.path).unlink(missing_ok=True)


def listen(address: Address) -> socket.socket:
    """A listening socket. Raises ``OSError`` where the address is taken or not ours."""
    if address.path:
        return _listen_unix(Path(address.path))
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    if address.host:
        info = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name with both kinds of address (localhost): IPv4, which is what health checks are written for.
        family, _, _, _, place = min(info, key=lambda each: each[0] != socket.AF_INET)
        return socket.create_server(place[:2], family=family, backlog=BACKLOG)
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("", address.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
        except OSError as cause:  # a kernel that knows IPv6 on a host that has switched it off
            if cause.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server(("", address.port), backlog=BACKLOG)


def _listen_unix(path: Path) -> socket.socket:
    # What a killed server left behind; never a file that is something else.
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o666)  # nginx runs as another user; the directory says who may come near
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
