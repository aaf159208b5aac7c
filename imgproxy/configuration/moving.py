"""What becomes of the settings of an imgproxy that this server takes the place of, variable by variable."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from imgproxy.configuration import incumbent
from imgproxy.configuration.effective import effective
from imgproxy.settings import ENV_FILE, PREFIX, ROOMS, BadSettings, Settings, known, meant, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Verdict = Literal["same", "other default", "renamed", "not needed", "unsupported", "refused", "unknown"]
BAD: frozenset[Verdict] = frozenset({"renamed", "unsupported", "refused", "unknown"})
"""After these something has to be done, or is lost."""
_OFF = {"", "0", "f", "false", "none", "blank"}


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of one variable."""

    name: str
    verdict: Verdict
    text: str = ""

    @property
    def bad(self) -> bool:
        return self.verdict in BAD

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Moved:
    """What becomes of them all."""

    moves: tuple[Move, ...]
    defaults: tuple[Move, ...]
    """What the file leaves to its default, where ours is another: "other default", all of them."""
    mistakes: tuple[str, ...]
    """What is wrong with several variables together."""

    @property
    def good(self) -> bool:
        """Whether the server can take the place of the other one with this file as it is."""
        return not self.mistakes and not any(move.bad for move in self.moves)


def moved(theirs: Mapping[str, str]) -> Moved:
    """What becomes of imgproxy's variables, given by their whole names; others of the file are passed over."""
    asked = {name: value for name, value in theirs.items() if name.startswith(PREFIX) and value}
    ours = {name: value for name, value in asked.items() if name in known()}
    refusals, mistakes = _refused(ours)
    moves = tuple(_move(name, asked[name], refusals) for name in sorted(asked))
    return Moved(moves, tuple(_defaults(ours)), mistakes)


def _refused(ours: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What is wrong with the values, by variable, and what is wrong with no variable alone."""
    try:
        Settings.read(ours)
    except BadSettings as error:
        lines = [line.partition(": ") for line in str(error).splitlines()]
        by_name = {name: text for name, _, text in lines if name in ours}
        return by_name, tuple("".join(parts) for parts in lines if parts[0] not in ours)
    return {}, ()


def _move(name: str, value: str, refusals: Mapping[str, str]) -> Move:
    if name in refusals:
        return Move(name, "refused", refusals[name])
    if name == ENV_FILE:
        return Move(name, "same")
    if name in known():
        new = _newest(name)
        return Move(name, "same", "" if new == name else f"an old name, which is understood; the new one is {new}")
    their = incumbent.find(name.removeprefix(PREFIX))
    if their is None:
        close = meant(name)
        return Move(name, "unknown", f"did you mean {close}?" if close else "imgproxy has no such variable")
    if their.fate == "unsupported" and value.lower() in _OFF:
        return Move(name, "not needed", "switched off, and not here")
    return Move(name, their.fate, their.text)


def _newest(name: str) -> str:
    spellings = (names(field, each) for room in ROOMS.values() for field, each in room.model_fields.items())
    return next(all_names[0] for all_names in spellings if name in all_names)


def _defaults(ours: Mapping[str, str]) -> Iterator[Move]:
    for each in effective({}):
        if each.imgproxy is not None and each.name not in ours:
            text = f"{each.default or 'none'} here, {each.imgproxy} in imgproxy: {each.why}"
            yield Move(each.name, "other default", text)
