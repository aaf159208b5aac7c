"""HTTP/1.1 on one connection: uvicorn's httptools protocol, made byte exact and patient only so long.

What it adds: request targets arrive as they were sent, bytes above 0x7f included (curl sends them, Go
serves them, llhttp refuses them); the head of a request has to arrive within a time and a size, which the
parser does not limit; and a client that stops reading is cut off.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

MAX_HEAD_BYTES = 64 * 1024
"""Longest request line plus headers."""

_NOT_ASCII = re.compile(rb"[\x80-\xff]")


class Protocol(HttpToolsProtocol):
    """One client connection."""

    head_seconds = 10.0
    """How long the head of a request may take from its first byte (the first one: from the connection)."""
    write_seconds = 10.0
    """How long a full send buffer may stand still."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._line: bytes | None = b""  # the request line as far as it has come; None behind it
        self._target: bytes | None = None  # as sent, where the parser gets a repaired one
        self._head_bytes: int | None = 0  # None while a body may come
        self._late: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(self.head_seconds, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._late, self._stuck):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._line is not None:
            data = self._line + data
            end = data.find(b"\n") + 1
            if not end and len(data) <= MAX_HEAD_BYTES:
                self._line = data
                self._await_head()
                return
            data = self._repaired(data[:end]) + data[end:]
            self._line = None
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes:
            self._await_head()
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("Request head too large.")

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        if self._late is not None:
            self._late.cancel()
            self._late = None
        super().on_headers_complete()
        target, self._target = self._target or self.url, None
        if target.startswith(b"/"):
            # The path is all before the first "?", a "#" included (imgproxy uses Go's RequestURI).
            self.scope["raw_path"] = target.partition(b"?")[0]

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._line, self._head_bytes = b"", 0

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: a client that offers h2c is answered in HTTP/1.1, and that is no news."""

    def _await_head(self) -> None:
        if self._late is None and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._late = self.loop.call_later(self.head_seconds, self.transport.close)

    def _repaired(self, line: bytes) -> bytes:
        """The request line with bytes above 0x7f percent-encoded, which is all that llhttp lets through."""
        method, _, rest = line.partition(b" ")
        target, _, version = rest.rpartition(b" ")
        if line.isascii() or not target:
            return line
        self._target = target
        return b" ".join((method, _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], target), version))

    def _watch_writing(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stuck = self.loop.call_later(self.write_seconds, self._check_writing, waiting)

    def _check_writing(self, before: int) -> None:
        # Nobody adds to a full buffer, so one that has not shrunk has a reader that does not read.
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._watch_writing()


def limited(head_seconds: float, write_seconds: float) -> type[Protocol]:
    """The protocol with these limits: uvicorn makes the instances and knows nothing of them."""
    return type("Limited", (Protocol,), {"head_seconds": head_seconds, "write_seconds": write_seconds})
