"""T7: ten times as much as a node can do; ``bench/overload.py`` as a part of a run."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench import overload
from tests.serving import KEY, SALT, serving

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 5.0


def measure(folder: Path, seconds: float, warm_up: float) -> dict[str, Any]:
    """The figures of ``overload.Figures`` and the ratio of goodput to peak."""
    settings = {"local_filesystem_root": str(folder), "key": KEY, "salt": SALT, "workers": "0"}
    with serving(**settings, timeout=str(DEADLINE_S)) as server:
        measured = overload.measure(server, "roses-full.jpg", 512, 10, seconds, DEADLINE_S, warm_up, after=seconds / 2)
        figures = asyncio.run(measured)
    return asdict(figures) | {"ratio": round(figures.ratio, 3), "deadline": DEADLINE_S}
