"""The rows of bench/chaos, shortened: faults with real parts, and twins without the defence, which must not hold.

Rows that take long, or measure how fast something is, are for ``make chaos``; with ``-m soak`` all of them run here.
"""

from __future__ import annotations

import pytest

from bench.chaos.__main__ import ROWS
from bench.chaos.row import Row, Scale

pytestmark = pytest.mark.e2e

BY_NUMBER = {row.number: row for row in ROWS}
QUICK = ("9", "19", "21", "23", "24", "28", "29", "31")
"""Rows that count what went wrong, and are over in some seconds."""
QUICK_TWINS = ("19", "28", "29")


def _row(number: str) -> Row:
    row = BY_NUMBER[number]
    if reason := row.needs():
        pytest.skip(reason)
    return row


@pytest.mark.parametrize("number", QUICK)
async def test_a_fault_is_survived(number: str) -> None:
    row = _row(number)
    figures = await row.run(Scale(short=True))
    assert row.holds(figures), f"{row.fault}: {row.limit}; seen: {figures}"


@pytest.mark.parametrize("number", QUICK_TWINS)
async def test_without_its_defence_it_is_not(number: str) -> None:
    row = _row(number)
    figures = await row.run(Scale(short=True, stripped=True))
    assert not row.holds(figures), f"{row.fault}, without {row.twin}: {figures}"


@pytest.mark.soak
@pytest.mark.parametrize("number", [number for number in BY_NUMBER if number not in QUICK])
async def test_a_fault_that_takes_longer_is_survived(number: str) -> None:
    row = _row(number)
    figures = await row.run(Scale(short=True))
    assert row.holds(figures), f"{row.fault}: {row.limit}; seen: {figures}"


@pytest.mark.soak
@pytest.mark.parametrize("number", [number for number in BY_NUMBER if number not in QUICK_TWINS])
async def test_without_its_defence_it_is_not_however_long_that_takes(number: str) -> None:
    row = _row(number)
    figures = await row.run(Scale(short=True, stripped=True))
    assert not row.holds(figures), f"{row.fault}, without {row.twin}: {figures}"


def test_every_row_has_a_number_of_its_own() -> None:
    assert len(BY_NUMBER) == len(ROWS)
