"""What a source may cost in a render process: judged by its header, before a pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass

_SHARE = 0.7
"""Of a process's memory, for one render. The rest: 52 MB that it has after its start, what earlier renders left
behind, and what the model misses (it is within 10 % for large pictures, and above what was measured)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one render may use."""

    memory: int = 768 << 20
    """Bytes that a render process may have resident."""
    svg_bytes: int = 512 << 10
    """The largest SVG; the other limits on SVGs grow with it."""

    @property
    def allowed(self) -> int:
        """Bytes that a render is estimated to take at most."""
        return int(_SHARE * self.memory)
