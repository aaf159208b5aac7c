"""HTTP/1.1 on one connection: uvicorn's httptools protocol, made byte exact, strict, and patient only so long.

What it adds: request targets arrive as they were sent, bytes above 0x7f included (curl sends them, Go
serves them, llhttp refuses them). A head has to be unambiguous (``heads.py``), and to arrive within a time and a size.
One request is read at a time: what follows it waits, unread, until it is answered, and is never looked at if
there was something wrong with it. Bodies, which no image needs, are neither parsed nor kept: such a connection ends
with its answer. A client that stops reading is cut off, and where there are too many connections, the
one that has been idle for longest makes room.

What needs no waiting is answered here and now, without the parser, a task or the application: twice as fast.
"""

from __future__ import annotations

import logging
import re
import typing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from imgproxy.web.exchange import BEGUN, Exchange
from imgproxy.web.heads import BadHead, Head, check_beginning, read
from imgproxy.web.joined import Joined

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from imgproxy.web.crowd import Crowd
    from imgproxy.web.responses import Answer

_log = logging.getLogger("imgproxy.connection")

MAX_HEAD_BYTES = 64 * 1024
"""Longest request line plus headers."""

_LINGER_S = 1.0
"""How long a refused client is still listened to. Closing at once would reset the connection while it sends, and take
the answer with it."""

_REFUSAL = b"content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\nconnection: close\r\n"

_NOT_ASCII = re.compile(rb"[\x80-\xff]")


class Prompt(typing.Protocol):
    """An application that has some answers at hand."""

    def at_once(self, exchange: Exchange) -> Answer | None:
        """The answer that needs no waiting; None for the others, which go through the application."""
        ...

    def account(self, exchange: Exchange) -> None:
        """An answer that was given at once is on its way."""
        ...


class Protocol(HttpToolsProtocol):
    """One client connection."""

    head_seconds = 10.0
    """How long the head of a request may take from its first byte (the first one: from the connection)."""
    write_seconds = 10.0
    """How long a full send buffer may stand still."""
    bodies = False
    """Whether requests may have bodies: of a stated length, never in chunks."""
    crowd: Crowd
    prompt: Prompt | None = None
    """Who may have answers at once."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._unread = bytearray()
        self._searched = 0  # so far there is no end of a head in what is unread
        self._target = b""
        self._body = 0  # bytes of a body that are still to come
        self._deaf = False  # whatever still comes is dropped
        self._begun: Exchange | None = None  # the request under way
        self._joined: Joined | None = None  # what the application's answer is written to
        self._rested = 0.0  # when the last answer was complete
        self._late: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(self.head_seconds, self.transport.close)
        if not self.crowd.admit(self, self.connections):
            self._refuse(503, "Too many connections.", b"retry-after: 1\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.leave(self)
        for timer in (self._late, self._stuck):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def make_room(self) -> None:
        """End, for others: nothing is under way here."""
        self._deaf = True
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unread += data
        if self._body:
            piece = bytes(self._unread[: self._body])
            del self._unread[: len(piece)]
            self._body -= len(piece)
            super().data_received(piece)
        self._proceed()

    def on_response_complete(self) -> None:
        if self._joined is not None:
            self._joined.flush()  # before what is answered next
        super().on_response_complete()
        self._rested = self.loop.time()
        if not self.transport.is_closing() and not self._deaf:
            self.crowd.rest(self)
            self._proceed()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._joined = self.cycle.transport = Joined(self.transport, self.loop)  # type: ignore[assignment]
        self.scope.setdefault("state", {})[BEGUN] = self._begun
        # The path is all before the first "?", a "#" included (imgproxy uses Go's RequestURI).
        self.scope["raw_path"] = self._target.partition(b"?")[0]

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses behind the gate."""
        self._refuse(400, msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: a client that offers h2c is answered in HTTP/1.1, and that is no news."""

    @property
    def _busy(self) -> bool:
        return self._body > 0 or (self.cycle is not None and not self.cycle.response_complete)  # pyright: ignore[reportUnnecessaryComparison]

    def _proceed(self) -> None:
        """Read the heads that are there, as far as it is their turn."""
        while self._unread and not self._deaf:
            if self._busy:
                if len(self._unread) > MAX_HEAD_BYTES:
                    self.flow.pause_reading()  # until the answer is complete
                return
            end = self._unread.find(b"\r\n\r\n", self._searched) + len(b"\r\n\r\n")
            try:
                if max(end, len(self._unread) if end < len(b"\r\n\r\n") else 0) > MAX_HEAD_BYTES:
                    raise BadHead("Request head too large.")  # noqa: TRY301 - one place answers all of them
                if end < len(b"\r\n\r\n"):
                    check_beginning(self._unread, self._searched)
                    self._searched = max(0, len(self._unread) - 3)
                    self._await_head()
                    return
                head = read(bytes(self._unread[:end]))
            except BadHead as bad:
                self._refuse(400, str(bad))
                return
            del self._unread[:end]
            self._searched = 0
            self._begin(head)

    def _begin(self, head: Head) -> None:
        """Answer a head, or have the parser read it, which starts the application."""
        if head.body is None and self.bodies:
            self._refuse(400, "Send the body with Content-Length.")
            return
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self.crowd.work(self)
        if self._answered(head):
            return
        self._target = head.target
        super().data_received(_readable(head.text))
        if self._deaf or head.body == 0:
            return
        if self.bodies and head.body:
            self._body = head.body
            self.data_received(b"")
            return
        self._deaf = True
        self._unread.clear()
        self.cycle.keep_alive = self.cycle.waiting_for_100_continue = False

    def _answered(self, head: Head) -> bool:
        """Whether the answer had not to be waited for; then it is on its way."""
        self._begun = None
        prompt = self.prompt
        if prompt is None or head.body != 0 or head.minor != b"1" or self.flow.write_paused:
            return False
        if head.headers.get("connection", "keep-alive").lower() != "keep-alive":
            return False
        peer = self.client[0] if self.client else None
        exchange = Exchange(head.method.decode("ascii"), head.target.partition(b"?")[0], head.headers, peer)
        answer = prompt.at_once(exchange)
        if answer is None or not isinstance(answer.body, bytes):
            self._begun = exchange
            return False
        body = b"" if head.method == b"HEAD" else answer.body
        self.transport.writelines([_head_of(answer, self.server_state.default_headers), body])
        exchange.sent(answer, body)
        prompt.account(exchange)
        self.server_state.total_requests += 1
        self._rested = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_idleness(self.timeout_keep_alive)
        self.crowd.rest(self)
        return True

    def _watch_idleness(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        # One timer for many answers: setting one for each takes longer than looking at the clock at its end.
        left = self._rested + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._watch_idleness(left)
        else:
            super().timeout_keep_alive_handler()

    def _await_head(self) -> None:
        if self._late is None and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._late = self.loop.call_later(self.head_seconds, self.transport.close)

    def _refuse(self, status: int, text: str, fields: bytes = b"") -> None:
        """Answer without the application, and hang up."""
        self._deaf = True
        self._unread.clear()
        self._unset_keepalive_if_required()
        if self._late is not None:
            self._late.cancel()
        peer = self.client[0] if self.client else None
        _log.info("refused a connection", extra={"fields": {"status": status, "reason": text, "client_ip": peer}})
        if self.transport.is_closing():
            return
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-length: {len(text)}\r\n".encode()
        date = b"".join(b"%s: %s\r\n" % pair for pair in self.server_state.default_headers)
        self.transport.write(head + _REFUSAL + date + fields + b"\r\n" + text.encode())
        self.transport.write_eof()
        self._late = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _watch_writing(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stuck = self.loop.call_later(self.write_seconds, self._check_writing, waiting)

    def _check_writing(self, before: int) -> None:
        # Nobody adds to a full buffer, so one that has not shrunk has a reader that does not read.
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._watch_writing()


def _head_of(answer: Answer, default: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [STATUS_LINE[answer.status]]
    for name, value in (*default, *answer.headers):
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def _readable(head: bytes) -> bytes:
    """The head with bytes above 0x7f in its request line percent-encoded, which is all that llhttp lets through."""
    if head.isascii():
        return head
    line, end, fields = head.partition(b"\r\n")
    return _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line) + end + fields


def limited(
    crowd: Crowd, head_seconds: float, write_seconds: float, *, bodies: bool = False, prompt: Prompt | None = None
) -> type[Protocol]:
    """The protocol with these limits: uvicorn makes the instances and knows nothing of them."""
    own = {
        "crowd": crowd,
        "head_seconds": head_seconds,
        "write_seconds": write_seconds,
        "bodies": bodies,
        "prompt": prompt,
    }
    return type("Limited", (Protocol,), own)
