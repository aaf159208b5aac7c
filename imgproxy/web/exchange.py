"""One request on its way to an answer: what was asked, and what has been sent."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from imgproxy.errors import ImageError, InternalError
from imgproxy.journey import Journey
from imgproxy.model import Conditions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Scope, Send

    from imgproxy.web.responses import Answer

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Exchange:
    """One request and what became of it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.start = time.monotonic()
        self.scope = scope
        self.method: str = scope["method"]
        self.headers = _headers(scope["headers"])
        # The raw target: the signature covers the bytes that were sent, not a decoded path. Every byte
        # is a character here; what is no UTF-8 shows when the percent escapes are decoded.
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        self.target = raw.partition(b"?")[0].decode("latin-1")
        given = self.headers.get("x-request-id", "")
        accepted = _REQUEST_ID.fullmatch(given)
        self.journey = Journey(given if accepted else secrets.token_urlsafe(15))
        self.started = False
        self.finished = False
        self.status = 500
        self.body_bytes = 0
        self.format = ""
        self.error: ImageError | None = None
        self._send = send

    @property
    def peer(self) -> str | None:
        """The address at the other end of the connection; None for a unix socket."""
        client = self.scope.get("client")
        return client[0] if client else None

    @property
    def conditions(self) -> Conditions:
        headers = self.headers
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

    async def send(self, answer: Answer) -> None:
        """Send an answer; for HEAD, its headers."""
        body = answer.body
        if isinstance(body, bytes):
            await self._begin(answer)
            await self._finish(b"" if self.method == "HEAD" else body)
            return
        async with aclosing(body):
            await self._begin(answer)
            if self.method == "HEAD":
                await self._finish(b"")
            else:
                await self._stream(body)

    async def _stream(self, body: AsyncGenerator[bytes, None]) -> None:
        try:
            async for chunk in body:
                # The server's send() waits while the connection's buffer is full.
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
                self.body_bytes += len(chunk)
        except ImageError as error:
            self.error = error
        except Exception as cause:  # noqa: BLE001  an origin can break in every way
            self.error = InternalError(f"the stream broke: {cause!r}")
            self.error.__cause__ = cause
        else:
            await self._finish(b"")
        # Without its last message the server closes the connection: a cut body must not look whole.

    async def _begin(self, answer: Answer) -> None:
        self.started = True
        self.status = answer.status
        headers = answer.headers
        if "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0":
            # A request body that nobody reads would keep the connection busy: it ends with this answer.
            headers = [*headers, (b"connection", b"close")]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def _finish(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self.body_bytes += len(body)
        self.finished = True


def _headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """The request headers by lower-case name; repeated ones joined (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
