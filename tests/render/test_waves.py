"""Cosines, and how much of each is in a plane."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.render.waves import shares, waves


def test_waves_are_half_periods_over_the_length() -> None:
    assert waves(3, 2, 0) == [[1, 1], [1, pytest.approx(0)], [1, pytest.approx(-1)]]
    assert waves(2, 2, 0.5)[1] == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5)])


planes = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
    lambda size: st.lists(
        st.lists(st.floats(-1, 1), min_size=size[0], max_size=size[0]), min_size=size[1], max_size=size[1]
    )
)


@given(planes, st.integers(1, 4), st.integers(1, 4), st.sampled_from([0, 0.5]))
def test_shares_are_means_of_products(plane: list[list[float]], across: int, down: int, phase: float) -> None:
    width, height = len(plane[0]), len(plane)
    horizontal, vertical = waves(across, width, phase), waves(down, height, phase)
    found = shares(plane, horizontal, vertical)
    for j in range(down):
        for i in range(across):
            products = [plane[y][x] * horizontal[i][x] * vertical[j][y] for y in range(height) for x in range(width)]
            assert found[j][i] == pytest.approx(sum(products) / (width * height), abs=1e-12)
