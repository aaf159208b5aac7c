"""How often keys were asked for lately: approximate, in fixed memory, for the memory tier's choice of what to keep.

A count-min sketch as in TinyLFU (Einziger, Friedman, Manes: https://arxiv.org/abs/1512.00727): a key has three cells,
counts up the lowest of them, and its estimate is the lowest. Others that share cells can only raise it. Counts end at
15, and ``halve`` lets the past fade. Python seeds its hash per process, so nobody outside can choose keys that collide.
"""

from __future__ import annotations

_MOST = 15
_HALVES = bytes(count // 2 for count in range(256))
_SHIFT = 21
"""Bits of a hash for each cell: three times 21 of 64."""
_WIDEST = 1 << _SHIFT


class Sketch:
    """Counts of up to 15 for any number of keys, in ``width`` bytes or a little more (64 to 2 Mi)."""

    __slots__ = ("_cells", "_mask", "first_times", "repeats")

    def __init__(self, width: int) -> None:
        width = 1 << (min(max(width, 64), _WIDEST) - 1).bit_length()
        self._cells = bytearray(width)
        self._mask = width - 1
        self.first_times = 0
        """How many were counted that seemed new, since the last ``halve``: what fills the cells."""
        self.repeats = 0
        """How many others were counted, halved with the counts."""

    @property
    def crowded(self) -> bool:
        """Whether so many keys share the cells (a third are taken) that new ones are about to pass for known ones."""
        return self.first_times * 8 > len(self._cells)

    def add(self, key: str) -> None:
        """Count ``key`` once more."""
        cells, mask, digest = self._cells, self._mask, hash(key)
        first, second, third = digest & mask, (digest >> _SHIFT) & mask, (digest >> 2 * _SHIFT) & mask
        # In full, because every request comes by here: min() and loops took twice as long.
        lowest = a = cells[first]
        if (b := cells[second]) < lowest:
            lowest = b
        if (c := cells[third]) < lowest:
            lowest = c
        if lowest:
            self.repeats += 1
            if lowest == _MOST:
                return
        else:
            self.first_times += 1
        if a == lowest:
            cells[first] = lowest + 1
        if b == lowest:
            cells[second] = lowest + 1
        if c == lowest:
            cells[third] = lowest + 1

    def estimate(self, key: str) -> int:
        """How often ``key`` was added, 0 to 15: never less than it was (but for ``halve``), seldom more."""
        cells, mask, digest = self._cells, self._mask, hash(key)
        return min(cells[digest & mask], cells[(digest >> _SHIFT) & mask], cells[(digest >> 2 * _SHIFT) & mask])

    def halve(self) -> None:
        """Let all counts fade by half, so that what was popular yesterday gives way."""
        self._cells[:] = self._cells.translate(_HALVES)
        self.repeats //= 2
        self.first_times = 0
