"""What answers cost to read: bounded, whatever an origin sends.

Answers before the answer (1xx): a few are read over, a flood of them ends the connection. aiohttp reads over any
number, at 60 µs each: 256 KB of them, which one read of the socket brings, hold up the event loop for 0.37 s, again and
again until the time limit. Chunks of one byte take 0.17 s a read, empty lines before an answer 0.11 s: bytes that take
a hundred times as long as those of any picture end the connection as well.
"""

from __future__ import annotations

import asyncio
import time
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
_MOST_BEFORE = 1 << 18
"""Bytes of all that comes before the answer's body."""
_SLICE = 16384
"""And from then on."""
_FREE_S = 0.05
_MOST_A_SLICE_S = 0.01
"""What counts of one slice: Python's collector may run in it, which is not the origin's fault and takes longer."""
_SLOWEST = 20_000_000
"""Bytes a second of processor time that an answer must be readable at; bodies of pictures are at 500 MB/s and more."""


def bound_interim(connector: aiohttp.BaseConnector) -> None:
    """Have the connections of ``connector`` bound what comes before answers. aiohttp has no public way to do so."""
    handler = partial(AnswerHandler, loop=asyncio.get_running_loop())
    connector._factory = handler  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


class AnswerHandler(ResponseHandler):
    """aiohttp's side of a connection, with a bound on interim answers."""

    _begun = False
    _interim = 0
    _allowed_s = _FREE_S
    _before = 0

    def set_response_params(self, **named: Any) -> None:  # noqa: ANN401
        self._begun, self._interim, self._allowed_s, self._before = False, 0, _FREE_S, 0
        super().set_response_params(**named)

    def data_received(self, data: bytes) -> None:
        at = 0
        while self._is_open:
            piece = data[at : at + (_SLICE if self._begun else _PIECE)]
            # Time of this thread: that others had the processor is not the origin's fault.
            started = time.thread_time()
            super().data_received(piece)
            spent = min(time.thread_time() - started, _MOST_A_SLICE_S)
            self._allowed_s += len(piece) / _SLOWEST - spent
            self._before += 0 if self._begun else len(piece)
            if self._allowed_s < 0 or self._before > _MOST_BEFORE:
                self._hang_up("an answer that takes too long to read")
            at += len(piece)
            if at >= len(data):  # aiohttp itself calls with nothing, to go on with what it has
                return

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        interim = 100 <= data[0].code < 200 and data[0].code != 101
        self._begun = not interim
        self._interim += interim
        if self._interim <= _MOST:
            super().feed_data(data, size)
        else:
            self._hang_up("too many interim answers")

    def _hang_up(self, why: str) -> None:
        if self.transport is not None:
            self.transport.close()
            self.set_exception(aiohttp.ClientPayloadError(why))

    @property
    def _is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()
