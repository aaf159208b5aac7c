from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from imgproxy.warming.asking import Asker
from imgproxy.warming.journal import Journal
from imgproxy.warming.places import Item, Place
from imgproxy.warming.running import Tally, warm
from tests.warming.answering import Time, answering, said

MISSING = said("404 Not Found", b"Source is unreachable")


async def test_all_are_asked_for_and_counted(tmp_path: Path) -> None:
    items = [Item(f"/{n}") for n in range(20)]
    changes: list[int] = []
    tally = Tally(total=20)
    async with answering() as server, Asker(server.place) as asker:
        server.answers |= {f"/{n}": [MISSING] for n in range(15, 20)}
        server.answers["/0"] = [said("200 OK", b"x", Cache_Status="imgproxy; hit")]
        with Journal(tmp_path / "done", server.place) as journal:
            on_change = lambda: changes.append(tally.gone_through)  # noqa: E731
            await warm(items, asker, tally, concurrency=4, journal=journal, on_change=on_change)
        assert sorted(server.asked) == sorted(item.target for item in items)
        assert (tally.done, tally.hits, tally.failed, tally.size) == (15, 1, 5, 57)
        assert changes == [*range(1, 21)]
        (kind,) = tally.kinds()
        assert kind[:3] == (5, 404, "Source is unreachable")
        assert len(kind[3]) == 3
        again = Tally(total=20)
        with Journal(tmp_path / "done", server.place) as journal:
            await warm(items, asker, again, concurrency=4, journal=journal)
        assert len(server.asked) == 25  # those that failed, and no other
    told = tally.as_dict()
    assert (told["done"], told["failed"], told["not_asked"]) == (15, 5, 0)
    assert told["failures"][0]["count"] == 5


async def test_who_is_cancelled_has_lost_nothing(tmp_path: Path) -> None:
    tally = Tally(total=100)
    async with answering() as server, Asker(server.place) as asker:
        with Journal(tmp_path / "done", server.place) as journal:
            items = [Item(f"/{n}") for n in range(100)]
            task = asyncio.get_running_loop().create_task(
                warm(items, asker, tally, concurrency=2, journal=journal, on_change=lambda: cancel_after(10))
            )

            def cancel_after(count: int) -> None:
                if tally.done == count:
                    task.cancel()

            with pytest.raises(asyncio.CancelledError):
                await task
        with Journal(tmp_path / "done", server.place) as journal:
            assert len(journal) == tally.done
    assert 10 <= tally.done < 100


async def test_a_server_that_is_gone_is_left_alone() -> None:
    async with answering() as server:
        place = server.place
    time, tally = Time(), Tally(total=100)
    async with Asker(place, sleep=time.sleep, clock=time) as asker:
        await warm((Item(f"/{n}") for n in range(100)), asker, tally, concurrency=2)
    assert tally.gave_up
    assert tally.failed < 12
    assert tally.as_dict()["not_asked"] > 80


async def test_a_journal_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    class Full(Journal):
        def note(self, item: Item) -> None:
            raise OSError(28, f"No space left on device for {item.target}")

    async with answering() as server, Asker(server.place) as asker:
        with Full(tmp_path / "done", Place("http", "a", 80)) as journal, pytest.raises(OSError, match="No space"):
            await warm((Item(f"/{n}") for n in range(100)), asker, Tally(), concurrency=2, journal=journal)
        assert len(server.asked) < 10


def test_what_a_server_says_does_nothing_to_a_terminal() -> None:
    tally = Tally()
    tally.fail("/a\x1b[2J", 404, "no\x1b]0;title\x07")
    assert list(tally.kinds()) == [(1, 404, "no�]0;title�", ["/a�[2J"])]


def test_the_same_url_is_an_example_once() -> None:
    tally = Tally()
    for _ in range(3):
        tally.fail("/a", 0, "no")
    assert list(tally.kinds()) == [(3, 0, "no", ["/a"])]
