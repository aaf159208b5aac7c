from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from imgproxy.caches.sketch import Sketch


@given(st.lists(st.sampled_from([f"key-{number}" for number in range(12)]), max_size=200), st.sampled_from([64, 4096]))
def test_an_estimate_is_never_too_low(keys: list[str], width: int) -> None:
    sketch = Sketch(width)
    for key in keys:
        sketch.add(key)
    for key, count in Counter(keys).items():
        assert sketch.estimate(key) >= min(count, 15)


def test_estimates_are_seldom_too_high() -> None:
    sketch = Sketch(1 << 14)
    for number in range(1 << 11):
        sketch.add(f"once-{number}")
    assert sketch.crowded or sketch.first_times > 1900
    assert sum(sketch.estimate(f"never-{number}") > 0 for number in range(1000)) < 100


def test_counts_end_at_fifteen_and_halve() -> None:
    sketch = Sketch(1024)
    for _ in range(100):
        sketch.add("often")
    sketch.add("once")
    estimates = []
    for _ in range(5):
        estimates.append((sketch.estimate("often"), sketch.estimate("once")))
        sketch.halve()
    assert estimates == [(15, 1), (7, 0), (3, 0), (1, 0), (0, 0)]


def test_it_tells_first_times_from_repeats() -> None:
    sketch = Sketch(1 << 20)
    for key in ("a", "b", "a", "a", "a"):
        sketch.add(key)
    assert (sketch.first_times, sketch.repeats) == (2, 3)
    sketch.halve()
    assert (sketch.first_times, sketch.repeats) == (0, 1)


def test_it_is_crowded_before_strangers_pass_for_friends_and_not_after_halving() -> None:
    sketch = Sketch(1024)
    number = 0
    while not sketch.crowded:
        sketch.add(f"key-{number}")
        number += 1
    assert 128 <= number < 256
    assert sum(sketch.estimate(f"never-{each}") > 0 for each in range(1000)) < 150
    sketch.halve()
    assert not sketch.crowded


def test_widths_have_bounds() -> None:
    for width, cells in ((0, 64), (-5, 64), (65, 128), (1 << 40, 1 << 21)):
        sketch = Sketch(width)
        assert len(sketch._cells) == cells
        sketch.add("a")
        assert sketch.estimate("a") == 1
