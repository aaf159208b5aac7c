from __future__ import annotations

import resource

from imgproxy.web.crowd import Crowd, most_connections


class Guest:
    def __init__(self, present: set[Guest]) -> None:
        self.present = present
        present.add(self)

    def make_room(self) -> None:
        self.present.discard(self)


def test_newcomers_take_the_place_of_the_longest_idle() -> None:
    present: set[Guest] = set()
    crowd = Crowd(3)
    first, second, third = (Guest(present) for _ in range(3))
    assert all(crowd.admit(each, present) for each in (first, second, third))
    crowd.work(first)
    crowd.work(second)
    crowd.rest(first)  # after the third
    assert crowd.admit(fourth := Guest(present), present)
    assert present == {first, second, fourth}
    assert crowd.admit(fifth := Guest(present), present)
    assert present == {second, fourth, fifth}
    assert (crowd.evicted, crowd.turned_away) == (2, 0)


def test_who_is_served_is_never_sent_away() -> None:
    present: set[Guest] = set()
    crowd = Crowd(1)
    crowd.admit(busy := Guest(present), present)
    crowd.work(busy)
    assert not crowd.admit(Guest(present), present)
    assert busy in present
    assert crowd.turned_away == 1


def test_who_left_makes_room_for_nobody() -> None:
    present: set[Guest] = set()
    crowd = Crowd(1)
    crowd.admit(gone := Guest(present), present)
    crowd.leave(gone)
    assert not crowd.admit(Guest(present), present)


def test_half_of_the_descriptors() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
        assert most_connections() == before[1] // 2
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
