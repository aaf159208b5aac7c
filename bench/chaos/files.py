"""Settings that change while a node runs: keys (row 21) and presets that are wrong (row 29)."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.chaos.load import becomes, during
from bench.chaos.node import node, until_numbers
from bench.chaos.row import Figures, Row, Scale, failed, statuses
from bench.chaos.site import site
from imgproxy.signing import KeyPair, Signer, path_of
from tests.serving import signed

if TYPE_CHECKING:
    from tests.serving import Server

# Two lines of equal length, so that each can be cut off in the same place.
_GOOD = "thumb=rs:fill:50:50/q:70\nother=rs:fill:60:60/q:70\n"
_METRIC = "config_last_reload_successful"


class Keys:
    """Two files with keys and salts, and those that are in them."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.salts = folder / "keys", folder / "salts"
        self.pairs = [_new_pair()]
        self.used = 0
        """Which of them URLs are signed with."""
        self.write()

    @property
    def signer(self) -> Signer:
        return Signer([self.pairs[self.used]])

    def write(self, tell: Server | None = None) -> None:
        """Write both, and tell a node. Each file is exchanged at once; both together cannot be."""
        for path, parts in ((self.keys, [p.key for p in self.pairs]), (self.salts, [p.salt for p in self.pairs])):
            fresh = path.with_suffix(".new")
            fresh.write_text("".join(f"{part.hex()}\n" for part in parts))
            fresh.rename(path)
        if tell is not None:
            tell.process.send_signal(signal.SIGHUP)


async def rotation(scale: Scale) -> Figures:
    """New keys are added and old ones removed, under 200 requests a second."""
    rounds = int(scale.pick(5, 100))
    with tempfile.TemporaryDirectory() as folder:
        files = Keys(Path(folder))
        async with site() as origin:
            path = path_of(f"{origin.url}/key.png", ("rs:fit:50:50",))
            settings = {"key": "", "salt": "", "key_path": str(files.keys), "salt_path": str(files.salts)}
            with node(settings, without=scale.without("reload")) as server:
                targets = (("key", files.signer.sign(path)) for _ in itertools.count())
                refused: list[float] = []
                shots = await during(_rotate(server, files, path, rounds, refused), server.bind, targets, 200)
    return {
        "rotations": len(refused),
        "of": rounds,
        "requests": len(shots),
        "failed": failed(shots),
        "statuses": statuses(shots),
        "removed_key_refused_after_s": round(max(refused, default=9.9), 2),
    }


async def _rotate(server: Server, files: Keys, path: str, rounds: int, refused: list[float]) -> None:
    """Ends early if a new key is not known after some seconds."""
    for number in range(rounds):
        # Half of the time nobody says so, and the change of the files has to be noticed.
        told = number % 2 == 0
        old = files.signer.sign(path)
        files.pairs.append(_new_pair())
        files.write(server if told else None)
        if await becomes(server.bind, Signer(files.pairs[-1:]).sign(path), 200) is None:
            return
        files.used = 1
        # What was signed with the old one has to arrive before that is taken away.
        await asyncio.sleep(0.3)
        files.pairs.pop(0)
        files.used = 0
        files.write(server if told else None)
        refused.append(await becomes(server.bind, old, 403) or 9.9)


def _new_pair() -> KeyPair:
    return KeyPair(secrets.token_bytes(32), secrets.token_bytes(16))


async def bad_presets(scale: Scale) -> Figures:
    """The file of presets is written over and over, mostly with nonsense, under requests that use one."""
    rounds = int(scale.pick(40, 1000))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "presets"
        file.write_text(_GOOD)
        async with site() as origin:
            with node({"presets_path": str(file)}, without=scale.without("checking")) as server:
                targets = itertools.cycle(
                    ("preset", signed(f"{origin.url}/{n}.png", f"pr:{name}"))
                    for n in range(5)
                    for name in ("thumb", "other")
                )
                shots = await during(_edit(server, file, rounds), server.bind, targets, 50)
                file.write_text("thumb=nonsense:1\n")
                server.process.send_signal(signal.SIGHUP)
                told = await until_numbers(server, lambda scrape: not scrape.get(_METRIC, 1), 2)
                file.write_text(f"{_GOOD}late=rs:fit:20:20\n")
                adopted = await becomes(server.bind, signed(f"{origin.url}/1.png", "pr:late"), 200)
    return {
        "edits": rounds,
        "requests": len(shots),
        "failed": failed(shots),
        "statuses": statuses(shots),
        "metric_of_bad_settings": told is not None,
        "good_file_adopted_after_s": adopted and round(adopted, 2),
    }


async def _edit(server: Server, file: Path, rounds: int) -> None:
    chance = random.Random(5)
    for number in range(rounds):
        await asyncio.to_thread(file.write_text, _nonsense(chance))
        if number % 4:
            server.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.02)


def _nonsense(chance: random.Random) -> str:
    """A file as a bad editor, a broken pipe or a person leaves it. None of them takes a preset away in good order."""
    kind = chance.randrange(4)
    if kind == 0:
        return _GOOD[: chance.choice((0, len(_GOOD) // 2)) + chance.randrange(1, len("thumb=r") + 1)]
    if kind == 1:
        return _GOOD.replace("rs", "".join(chance.choices("abcxyz", k=3)))
    if kind == 2:
        return _GOOD + "".join(chance.choices("=:/\x01", k=9))
    return f"{_GOOD}more{chance.randrange(99)}=q:{chance.randrange(101, 999)}\n"


ROWS = (
    Row(
        number="21",
        fault="signing keys are rotated under 200 requests/s, with a signal and without",
        limit="no valid URL is refused; a removed key is, after 1 s at most",
        run=rotation,
        holds=lambda f: f["rotations"] == f["of"] and f["failed"] == 0 and f["removed_key_refused_after_s"] <= 1,
        twin="reading the files again",
    ),
    Row(
        number="29",
        fault="the file of presets is overwritten with nonsense again and again",
        limit="no request fails, a metric tells, and a good file is adopted",
        run=bad_presets,
        holds=lambda f: f["failed"] == 0 and f["metric_of_bad_settings"] and f["good_file_adopted_after_s"] is not None,
        twin="the check before new settings are taken",
    ),
)
