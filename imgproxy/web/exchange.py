"""One request on its way to an answer: what was asked, and what has been sent."""

from __future__ import annotations

import math
import random
import re
import time
from contextlib import aclosing
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from imgproxy.errors import ImageError, InternalError
from imgproxy.journey import Journey
from imgproxy.model import Conditions, Deadline
from imgproxy.web.heads import joined

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Scope, Send

    from imgproxy.service import Pending
    from imgproxy.web.responses import Answer

BEGUN = "exchange"
"""Where a connection leaves the exchange that it began, in the scope's state."""

_CONDITIONAL = ("if-none-match", "if-modified-since", "range")
_NO_CONDITIONS = Conditions()

_random = random.Random()  # noqa: S311 - to tell requests apart, no secret
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Exchange:
    """One request and what became of it. ``headers`` by lower-case name; ``path`` as it was sent, without the query."""

    def __init__(self, method: str, path: bytes, headers: dict[str, str], peer: str | None) -> None:
        self.start = time.monotonic()
        self.method = method
        self.headers = headers
        self.peer = peer
        """The address at the other end of the connection; None for a unix socket."""
        # The signature covers the bytes that were sent, not a decoded path. Every byte is a character here; what is
        # no UTF-8 shows when the percent escapes are decoded.
        self.target = path.decode("latin-1")
        given = headers.get("x-request-id", "")
        accepted = given and _REQUEST_ID.fullmatch(given)
        self.journey = Journey(given if accepted else f"{_random.getrandbits(80):020x}")
        self.deadline = Deadline(math.inf)
        self.pending: Pending | None = None
        """What has to be waited for, once that is known."""
        self.started = False
        self.finished = False
        self.status = 500
        self.body_bytes = 0
        self.format = ""
        self.error: ImageError | None = None

    @classmethod
    def of(cls, scope: Scope) -> Exchange:
        """The exchange of an ASGI request: the one that the connection began, or a new one."""
        begun = scope.get("state", {}).get(BEGUN)
        if isinstance(begun, Exchange):
            return begun
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        client = scope.get("client")
        headers = joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        return cls(scope["method"], raw.partition(b"?")[0], headers, client[0] if client else None)

    @cached_property
    def conditions(self) -> Conditions:
        headers = self.headers
        if headers.keys().isdisjoint(_CONDITIONAL):
            return _NO_CONDITIONS
        # RFC 9110 §14.2: a range means something to GET only.
        wanted = headers.get("range") if self.method == "GET" else None
        return Conditions(
            headers.get("if-none-match"), headers.get("if-modified-since"), wanted, wanted and headers.get("if-range")
        )

    @property
    def conditions_for_origin(self) -> Conditions:
        """The conditions as an origin may be asked them: of a version that may have changed, for no part.

        Its validators are not ours, and the whole is always a right answer (RFC 9110 §13.1.5).
        """
        conditions = self.conditions
        return replace(conditions, range=None, if_range=None) if conditions.if_range is not None else conditions

    def sent(self, answer: Answer, body: bytes) -> None:
        """Note that an answer is on its way as a whole."""
        self.started = self.finished = True
        self.status = answer.status
        self.body_bytes = len(body)

    async def send(self, answer: Answer, send: Send) -> None:
        """Send an answer; for HEAD, its headers."""
        body = answer.body
        if isinstance(body, bytes):
            await self._begin(answer, send)
            await self._finish(b"" if self.method == "HEAD" else body, send)
            return
        async with aclosing(body):
            await self._begin(answer, send)
            if self.method == "HEAD":
                await self._finish(b"", send)
            else:
                await self._stream(body, send)

    async def _stream(self, body: AsyncGenerator[bytes, None], send: Send) -> None:
        try:
            async for chunk in body:
                # The server's send() waits while the connection's buffer is full.
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                self.body_bytes += len(chunk)
        except ImageError as error:
            self.error = error
        except Exception as cause:  # noqa: BLE001  an origin can break in every way
            self.error = InternalError(f"the stream broke: {cause!r}")
            self.error.__cause__ = cause
        else:
            await self._finish(b"", send)
        # Without its last message the server closes the connection: a cut body must not look whole.

    async def _begin(self, answer: Answer, send: Send) -> None:
        self.started = True
        self.status = answer.status
        headers = answer.headers
        if "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0":
            # A request body that nobody reads would keep the connection busy: it ends with this answer.
            headers = [*headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def _finish(self, body: bytes, send: Send) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": False})
        self.body_bytes += len(body)
        self.finished = True
