"""How many connections a listener has at once, and who makes room for whom."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sized


class Guest(Protocol):
    """A connection, as the crowd sees it."""

    def make_room(self) -> None: ...


class Crowd:
    """The connections of one listener, at most ``most``.

    A newcomer beyond that takes the place of the one that has been idle for longest: whose request has not
    arrived yet, or which waits for its next one. So those who drip their heads drive out one another. Only when every
    connection has a request under way is the newcomer itself sent away.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.evicted = 0
        self.turned_away = 0
        self._idle: dict[Guest, None] = {}  # in the order of their last answers

    def admit(self, guest: Guest, present: Sized) -> bool:
        """Whether a newcomer, who is already ``present``, may stay."""
        if len(present) > self.most:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                self.turned_away += 1
                return False
            self.leave(oldest)
            self.evicted += 1
            oldest.make_room()
        self.rest(guest)
        return True

    def work(self, guest: Guest) -> None:
        """A request of this guest is under way."""
        self._idle.pop(guest, None)

    def rest(self, guest: Guest) -> None:
        """Its answer is complete, or it has just come."""
        self._idle[guest] = None

    def leave(self, guest: Guest) -> None:
        self._idle.pop(guest, None)


def most_connections() -> int:
    """Half of the descriptors that this process may have: the others are for originals, origins and render processes.

    The soft limit is raised to the hard one first, as Go programs do; it is low for the sake of select(), which
    nobody uses here.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(1, hard // 2)
