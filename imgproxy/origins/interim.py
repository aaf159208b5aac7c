"""Answers before the answer (1xx): a few are read over, a flood of them ends the connection.

aiohttp reads over any number, at 60 µs each: 256 KB of them, which one read of the socket brings, hold up the event
loop for 0.37 s, again and again until the time limit.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader

_MOST = 8
_PIECE = 4096
"""Bytes that are parsed at a time until the answer itself has begun: 90 interim ones at most, 5 ms."""


def bound_interim(connector: aiohttp.BaseConnector) -> None:
    """Have the connections of ``connector`` bound what comes before answers. aiohttp has no public way to do so."""
    handler = partial(AnswerHandler, loop=asyncio.get_running_loop())
    connector._factory = handler  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


class AnswerHandler(ResponseHandler):
    """aiohttp's side of a connection, with a bound on interim answers."""

    _begun = False
    _interim = 0

    def set_response_params(self, **named: Any) -> None:  # noqa: ANN401
        self._begun, self._interim = False, 0
        super().set_response_params(**named)

    def data_received(self, data: bytes) -> None:
        while len(data) > _PIECE and not self._begun and self._is_open:
            super().data_received(data[:_PIECE])
            data = data[_PIECE:]
        if self._is_open:
            super().data_received(data)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        interim = 100 <= data[0].code < 200 and data[0].code != 101
        self._begun = not interim
        self._interim += interim
        if self._interim <= _MOST:
            super().feed_data(data, size)
        elif self.transport is not None:
            self.transport.close()
            self.set_exception(aiohttp.ClientPayloadError("too many interim answers"))

    @property
    def _is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()
