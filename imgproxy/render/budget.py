"""What a source may cost in a render process: judged by its header, before a pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """What one render may use."""

    memory: int = 768 << 20
    """Bytes that a render process may have resident."""
    svg_bytes: int = 512 << 10
    """The largest SVG; the other limits on SVGs grow with it."""
