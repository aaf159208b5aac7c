from __future__ import annotations

import itertools
import random
import tracemalloc
from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from imgproxy.caches import codec
from imgproxy.caches.memory import Memory, cost
from imgproxy.model import Entry, Purge
from tests.caches.entries import URL, a_key, an_entry

MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class PlainLru:
    """What Memory is compared with: the same budget, and always the newest in."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0

    def find(self, key: str) -> Entry | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def keep(self, key: str, entry: Entry, _seconds: float) -> None:
        self._entries[key] = entry
        self._bytes += cost(key, entry)
        while self._bytes > self._budget:
            gone, entry = self._entries.popitem(last=False)
            self._bytes -= cost(gone, entry)


def ask(kept: Memory | PlainLru, key: str, entry: Entry) -> bool:
    """Whether it was there; it is kept if it was not."""
    found = kept.find(key) is not None
    if not found:
        kept.keep(key, entry, 1e9)
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock: Clock) -> Memory:
    return Memory(MIB, clock)


def test_what_is_kept_is_found_until_its_time_is_over(kept: Memory, clock: Clock) -> None:
    entry = an_entry()
    kept.keep("a", entry, 10)
    clock.now += 9.9
    assert kept.find("a") is entry
    clock.now += 0.1
    assert kept.find("a") is None
    assert kept.entries == kept.bytes == 0
    assert kept.evictions == {"size": 0, "expired": 1, "rejected": 0}


def test_a_newer_entry_takes_the_older_ones_place(kept: Memory, clock: Clock) -> None:
    kept.keep("a", an_entry(b"old" * 1000), 1)
    newer = an_entry(b"new")
    kept.keep("a", newer, 10)
    clock.now += 5
    assert kept.find("a") is newer
    assert kept.bytes == cost("a", newer)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_keeps_nothing_not_even_the_older_one(kept: Memory, seconds: float) -> None:
    kept.keep("a", an_entry(), 10)
    kept.keep("a", an_entry(), seconds)
    assert kept.find("a") is None


def test_no_budget_keeps_nothing() -> None:
    kept = Memory(0)
    kept.keep("a", an_entry(b""), 10)
    assert kept.find("a") is None
    assert kept.entries == 0


def test_one_giant_does_not_evict_everyone(kept: Memory) -> None:
    kept.keep("a", an_entry(), 10)
    for _ in range(20):
        kept.find("giant")
    kept.keep("giant", an_entry(b"x" * (MIB // 8)), 10)
    assert kept.find("giant") is None
    assert kept.find("a") is not None
    assert kept.evictions["rejected"] == 1
    kept.keep("big", an_entry(b"x" * (MIB // 8 - 3000)), 10)
    assert kept.find("big") is not None


def test_remove_says_whether_there_was_something(kept: Memory) -> None:
    kept.keep("window", an_entry(), 10)
    kept.keep("main", an_entry(b"x" * 50_000), 10)
    assert kept.remove("window")
    assert kept.remove("main")
    assert not kept.remove("main")
    assert kept.bytes == 0


def test_the_popular_stay_while_others_are_asked_for_once() -> None:
    shares = []
    for kept in (Memory(16 * MIB), PlainLru(16 * MIB)):
        hot = [a_key(number) for number in range(1200)]
        for _ in range(4):
            for key in hot:
                ask(kept, key, an_entry(b"x" * 10_000))
        for number in range(10_000):
            ask(kept, a_key(10_000 + number), an_entry(b"x" * 10_000))
        shares.append(sum(kept.find(key) is not None for key in hot) / len(hot))
    assert shares[0] >= 0.9
    assert shares[1] == 0


@pytest.mark.parametrize("sizes", [[3_000], [1_000, 3_000, 30_000]])
@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.2])
def test_it_hits_at_least_as_often_as_an_lru(exponent: float, sizes: list[int]) -> None:
    weights = list(itertools.accumulate(1 / rank**exponent for rank in range(1, 3001)))
    asked = random.Random(7).choices(range(3000), cum_weights=weights, k=20_000)
    entries = [an_entry(b"x" * size) for size in sizes]
    ours, lru = (
        sum(ask(kept, a_key(number), entries[number % len(sizes)]) for number in asked)
        for kept in (Memory(MIB), PlainLru(MIB))
    )
    assert ours > lru


def test_what_was_popular_gives_way_to_what_is() -> None:
    kept = Memory(MIB)
    entry = an_entry(b"x" * 5_000)
    for shift in range(3):
        popular = [a_key(1000 * shift + number) for number in range(120)]
        for _ in range(40):
            for key in popular:
                ask(kept, key, entry)
        assert sum(ask(kept, key, entry) for key in popular) >= 110


def test_a_large_newcomer_must_be_worth_all_that_it_drives_out() -> None:
    kept = Memory(MIB)
    small = [a_key(number) for number in range(128)]
    for _ in range(4):
        for key in small:
            ask(kept, key, an_entry(b"x" * 6_000))
    large = an_entry(b"x" * 100_000)
    for _ in range(10):
        ask(kept, "large", large)
    assert kept.find("large") is None
    assert all(kept.find(key) for key in small)


def test_the_expired_go_first_and_for_nothing(clock: Clock) -> None:
    kept = Memory(MIB, clock)
    for number in range(16):
        for _ in range(5):
            kept.find(a_key(number))
        kept.keep(a_key(number), an_entry(b"x" * 60_000), 10)
    clock.now += 20
    kept.keep("newcomer", an_entry(b"x" * 60_000), 10)
    assert kept.find("newcomer") is not None
    assert kept.evictions["expired"] == 1
    assert kept.evictions["size"] == 0


def test_purges_remove_what_they_concern(kept: Memory) -> None:
    def fill() -> None:
        kept.keep("a", an_entry(tags=("red", "round")), 10)
        kept.keep("b", an_entry(b"x" * 50_000, tags=("red",)), 10)
        kept.keep("c", an_entry(url="https://other.example.com/", tags=("blue",)), 10)

    for purge, left in (
        (Purge("tag", "red"), ["c"]),
        (Purge("tag", "re"), ["a", "b", "c"]),
        (Purge("prefix", URL[:20]), ["c"]),
        (Purge("prefix", "https://other"), ["a", "b"]),
        (Purge("all"), []),
    ):
        fill()
        concerned = 3 - len(left)
        assert kept.drop_matching(Purge(purge.kind, purge.value, soft=True)) == concerned
        assert kept.entries == 3
        assert kept.drop_matching(purge) == concerned
        assert [key for key in "abc" if kept.find(key)] == left


def test_a_late_purge_spares_what_was_made_after_it(kept: Memory) -> None:
    for generation in (1, 2, 3):
        kept.keep(str(generation), an_entry(generation=generation), 10)
    assert kept.drop_matching(Purge("all", generation=2)) == 1
    assert kept.find("1") is None
    assert kept.entries == 2


async def test_it_can_be_asked_like_the_other_tiers(kept: Memory) -> None:
    assert kept.name == "memory"
    entry = an_entry()
    assert await kept.get("a") is None
    await kept.put("a", entry, 10)
    assert await kept.get("a") is entry
    assert await kept.drop("no-such-tag") == 0
    assert await kept.drop(entry.tags[0]) == 1
    await kept.put("a", entry, 10)
    await kept.aclose()
    assert await kept.get("a") is None
    assert kept.bytes == 0


def test_the_budget_is_what_it_really_takes() -> None:
    # One entry of each decoded anew, as they arrive, so that nothing is shared.
    frame = codec.encode(an_entry(b"x" * 100))
    number = 2_000
    kept = Memory(1 << 40)
    keys = [a_key(each) for each in range(number)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for key in keys:
            entry = codec.decode(frame)
            assert entry is not None
            kept.keep("".join(list(key)), entry, 10)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    taken = (after - before) / number
    assert 0.75 * kept.bytes / number < taken <= kept.bytes / number


class Life(RuleBasedStateMachine):
    """Memory beside a dictionary that never forgets: what is found is what was kept last, and it fits."""

    keys = st.sampled_from([f"key-{number}" for number in range(40)])

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.kept = Memory(64 * 1024, self.clock)
        self.known: dict[str, tuple[Entry, float]] = {}

    @rule(key=keys, size=st.integers(0, 9_000), seconds=st.floats(-1, 20), generation=st.integers(0, 3))
    def keep(self, key: str, size: int, seconds: float, generation: int) -> None:
        entry = an_entry(b"x" * size, generation=generation, tags=(f"size-{size // 1000}",))
        self.kept.keep(key, entry, seconds)
        self.known[key] = (entry, self.clock.now + seconds)

    @rule(key=keys)
    def find(self, key: str) -> None:
        found = self.kept.find(key)
        if found is not None:
            entry, until = self.known[key]
            assert found is entry
            assert until > self.clock.now

    @rule(keys=st.lists(keys, max_size=30))
    def ask_for_many(self, keys: list[str]) -> None:
        for key in keys:
            self.find(key)

    @rule(key=keys)
    def remove(self, key: str) -> None:
        self.kept.remove(key)
        self.known.pop(key, None)
        assert self.kept.find(key) is None

    @rule(number=st.integers(0, 9), generation=st.integers(0, 3), soft=st.booleans())
    def purge(self, number: int, generation: int, *, soft: bool) -> None:
        purge = Purge("tag", f"size-{number}", soft, generation)
        before = self.kept.entries
        went = self.kept.drop_matching(purge)
        assert self.kept.entries == (before if soft else before - went)
        if soft:
            return
        for key, (entry, _) in list(self.known.items()):
            if f"size-{number}" in entry.tags and (not generation or entry.provenance.generation < generation):
                assert self.kept.find(key) is None
                del self.known[key]

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def never_above_the_budget(self) -> None:
        held = [(key, each.entry) for part in (self.kept._main, self.kept._window) for key, each in part.items()]
        assert self.kept.bytes == sum(itertools.starmap(cost, held)) <= 64 * 1024
        assert self.kept._window_bytes <= self.kept._window_budget
        assert self.kept.entries == len({key for key, _ in held}) == len(held)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
