"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["good", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. Whatever is not good says what to do about it."""

    name: str
    text: str
    level: Level = "good"
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "level": self.level, "text": self.text, "remedy": self.remedy}


def warning(name: str, text: str, remedy: str) -> Finding:
    """A finding that a server can live with."""
    return Finding(name, text, "warning", remedy)


def bad(name: str, text: str, remedy: str) -> Finding:
    """A finding that it cannot, or should not, live with."""
    return Finding(name, text, "bad", remedy)
