"""A head and its body are one write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from imgproxy.web.joined import Joined


class Socket(asyncio.Transport):
    """What is written to it, each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.writes.append(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def joined() -> tuple[Joined, Socket]:
    socket = Socket()
    return Joined(socket, asyncio.get_running_loop()), socket


async def test_what_comes_in_one_turn_is_one_write() -> None:
    transport, socket = joined()
    transport.write(b"head ")
    assert socket.writes == []
    transport.write(b"body")
    assert socket.writes == [b"head body"]
    transport.write(b" more")
    await asyncio.sleep(0)
    assert socket.writes == [b"head body", b" more"]


async def test_a_head_does_not_wait_for_a_body_that_comes_later() -> None:
    transport, socket = joined()
    transport.write(b"head ")
    await asyncio.sleep(0)
    assert socket.writes == [b"head "]
    transport.write(b"body")
    assert socket.writes == [b"head ", b"body"]


async def test_an_answer_without_a_body_goes_out_when_it_is_complete() -> None:
    transport, socket = joined()
    transport.write(b"head")
    transport.flush()
    transport.flush()
    await asyncio.sleep(0)
    assert socket.writes == [b"head"]


async def test_nothing_is_lost_when_the_connection_is_closed() -> None:
    transport, socket = joined()
    transport.write(b"head")
    assert not transport.is_closing()
    transport.close()
    assert socket.writes == [b"head"]
    assert transport.is_closing()
