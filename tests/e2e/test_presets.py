"""Preset files change while the server runs: what is seen, what is asked anew, and that nobody loses a picture."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imgproxy.presets.settings import PresetSettings
from tests import charts
from tests.serving import Server, free_port, serving, until
from tests.visitors import Visitors

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

RELOADED_S = 2.0
"""Within which a change has to be there."""

SHOP = """version = 1
owner = "shop"

[presets.tile]
description = "Its width says which version it is"
resize = {{ type = "force", width = {version}, height = 8 }}
format = "png"

[presets.zoom]
description = "The same, further down"
resize = {{ type = "force", width = {version}, height = 16 }}
format = "png"
"""
NEWS = """version = 1
owner = "news"

[presets.hero]
description = "The other team's"
resize = {{ type = "force", width = {version}, height = 24 }}
format = "png"

[presets.lead]
alias = "hero"
deprecated = {{ since = 2020-11-01, remove = 2021-03-01, note = "use hero" }}
"""
NAMES = ("tile", "zoom", "hero", "lead")


def target(preset: str) -> str:
    return f"/x/pr:{preset}/plain/local:///photo.png"


def put(path: Path, text: str) -> None:
    """Put a file in the place of another at once, as editors do."""
    new = path.parent / f".{path.name}.new"
    new.write_text(text)
    new.replace(path)


def mount(folder: Path, version: int, text: str) -> None:
    """Turn a ConfigMap: a folder beside the one that ``..data`` leads to, and the link exchanged."""
    old = (folder / "..data").resolve() if (folder / "..data").is_symlink() else None
    own = folder / f"..{version:06d}"
    own.mkdir()
    (own / "news.toml").write_text(text)
    (folder / "..data_tmp").symlink_to(own.name)
    (folder / "..data_tmp").replace(folder / "..data")
    if old is not None:
        shutil.rmtree(old)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(charts.quadrants(120, 40))
    presets = tmp_path / "presets"
    presets.mkdir()
    (presets / "shop.toml").write_text(SHOP.format(version=10))
    mount(presets, 0, NEWS.format(version=10))
    (presets / "news.toml").symlink_to("..data/news.toml")
    return presets


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    given = {
        "presets_dir": str(folder),
        "local_filesystem_root": str(folder.parent),
        "prometheus_bind": f"127.0.0.1:{free_port()}",
        "memory_cache_size": "16MiB",
    }
    with serving(**given) as it:
        yield it


def width(server: Server, preset: str) -> int:
    return server.ask(target(preset)).picture.width


def is_hit(server: Server, target: str) -> bool:
    return "; hit" in server.ask(target).headers["cache-status"]


def reloads(server: Server) -> int:
    return server.raw_log.count("settings were read anew")


def metric(server: Server, name: str) -> float:
    return float(next(line for line in server.metrics().splitlines() if line.startswith(name)).rpartition(" ")[2])


def test_a_broken_edit_changes_nothing_and_is_told_everywhere(server: Server, folder: Path) -> None:
    assert metric(server, "config_last_reload_successful") == 1
    assert server.ask("/readyz?verbose").text.splitlines()[-1] == "presets: 4"
    put(folder / "shop.toml", SHOP.format(version=20).replace("description", "descripton").replace('"png"', '"pgn"'))
    until(lambda: metric(server, 'config_reload_mistakes{of="presets"}'), RELOADED_S)
    assert metric(server, 'config_reload_mistakes{of="settings"}') == 0
    assert metric(server, "config_last_reload_successful") == 0
    answer = server.ask("/readyz?verbose")
    assert answer.status == 200
    assert "presets: the last edit is broken since 20" in answer.text
    assert ": 6 mistakes;" in answer.text
    assert server.ask("/readyz").text == "ok"
    (line,) = [line for line in server.lines("imgproxy.settings") if line["level"] == "error"]
    assert [mistake.partition(": ")[0] for mistake in line["mistakes"]] == [
        f"shop.toml:{row}:{column}" for row, column in ((4, 10), (5, 1), (7, 1), (9, 10), (10, 1), (12, 1))
    ]
    assert [width(server, name) for name in NAMES] == [10] * 4
    put(folder / "shop.toml", SHOP.format(version=20))
    until(lambda: width(server, "tile") == 20, RELOADED_S)
    assert metric(server, 'config_reload_mistakes{of="presets"}') == 0
    assert server.ask("/readyz?verbose").text.splitlines()[-1] == "presets: 4"


def test_an_edit_renders_anew_what_it_concerns_and_nothing_else(server: Server, folder: Path) -> None:
    plain = "/x/w:12/h:12/f:png/plain/local:///photo.png"
    everything = [plain, *map(target, NAMES)]
    for each in everything:
        server.ask(each)
    assert [is_hit(server, each) for each in everything] == [True] * 5
    before = {each: server.ask(each).headers["etag"] for each in everything}
    put(folder / "shop.toml", SHOP.format(version=20).replace("20, height = 16", "10, height = 16"))
    until(lambda: width(server, "tile") == 20, RELOADED_S)
    same = [plain, *map(target, ("zoom", "hero", "lead"))]
    assert [is_hit(server, each) for each in same] == [True] * 4
    assert [each for each in everything if server.ask(each).headers["etag"] != before[each]] == [target("tile")]
    # What is said about a preset shapes no picture, and neither does another way to write it.
    written = SHOP.format(version=20).replace("20, height = 16", "10, height = 16").replace("further down", "below")
    put(folder / "store.toml", written.replace('format = "png"', 'format = "png"  # and nothing else'))
    (folder / "shop.toml").unlink()
    read = reloads(server)
    until(lambda: reloads(server) > read, RELOADED_S)
    assert all(is_hit(server, each) for each in everything)
    # Back to what it was: the pictures of then are there still.
    put(folder / "store.toml", SHOP.format(version=10))
    until(lambda: width(server, "tile") == 10, RELOADED_S)
    assert is_hit(server, target("tile"))
    assert server.ask(target("tile")).headers["etag"] == before[target("tile")]


def test_what_is_deprecated_is_counted_and_told(server: Server) -> None:
    for name in ("lead", "lead", "hero"):
        server.ask(target(name))
    assert metric(server, 'deprecated_preset_requests_total{preset="lead"}') == 2
    assert metric(server, 'preset_requests_total{preset="hero"}') == 3
    assert metric(server, 'preset_requests_total{preset="tile"}') == 0
    messages = Counter(line["message"] for line in server.lines("imgproxy.presets"))
    assert messages == {"a preset was to be removed by now": 1, "a deprecated preset is used": 1}


class Readers(Visitors):
    """Ask for all presets, a hundred times a second and more, and note which version each answer is of."""

    def __init__(self, server: Server) -> None:
        super().__init__((partial(self._ask, name) for name in NAMES), pause=0.025)
        self.good = {10}
        """The versions that an answer may be of."""
        self.answers = 0
        self.wrong: list[str] = []
        self._server = server

    def _ask(self, name: str) -> None:
        begun = self.good
        answer = self._server.ask(target(name))
        # What was good when it was asked, or has become so before the answer was there.
        good = begun | self.good
        self.answers += 1
        if answer.status != 200:
            self.wrong.append(f"{name}: {answer.status} {answer.text}")
        elif (seen := answer.picture.width) not in good:
            self.wrong.append(f"{name}: version {seen}, expected one of {sorted(good)}")


BROKEN: tuple[Callable[[str, random.Random], str], ...] = (
    lambda _text, _chance: "",
    lambda text, _chance: text.replace("resize", "risize"),
    lambda text, _chance: text.replace("width = ", "width = -"),
    lambda text, _chance: text.replace("version = 1", "version = 2"),
    lambda text, _chance: text.replace("[presets.", "[preset.", 1),
    lambda text, _chance: text + '[presets.loop]\ndescription = "x"\nextends = "loop"\n',
    lambda text, _chance: text + '[presets.tile]\ndescription = "again"\n',
    lambda text, _chance: text + "\0",
    lambda text, chance: text[: chance.randrange(len(text))],
    lambda text, chance: "".join(char for char in text if chance.random() > 0.02),
    lambda text, chance: text.replace(chance.choice('"={}[]'), chance.choice("@#'\n"), 1),
)


def broken(text: str, folder: Path, file: str, chance: random.Random) -> str:
    """The text with something wrong in it: really wrong, in the judgement of who reads it."""
    while True:
        worse = chance.choice(BROKEN)(text, chance)
        shadow = folder.parent / "shadow"
        shutil.rmtree(shadow, ignore_errors=True)
        shutil.copytree(folder, shadow, symlinks=False, ignore=shutil.ignore_patterns("..*", file))
        (shadow / file).write_text(worse)
        try:
            PresetSettings(presets_dir=shadow).read(":")
        except ValueError:
            return worse


class Editor:
    """Does to a folder of presets what people and tools do. A good version is there when ``publish`` returns."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.edits = 0
        self._folder = folder
        self._chance = random.Random(seed)
        self._version = 10
        self._mounts = 0
        self._shop = folder / "shop.toml"

    def disturb(self) -> None:
        """An edit that nobody should see anything of: broken, in pieces, or a name."""
        self.edits += 1
        chance = self._chance
        good = SHOP.format(version=self._version)
        match chance.randrange(6):
            case 0:
                put(self._shop, broken(good, self._folder, self._shop.name, chance))
            case 1:
                self._shop.write_text(broken(good, self._folder, self._shop.name, chance))
            case 2:  # in place and in pieces, with a rest between them
                cut = chance.choice((good.index("[presets.zoom]"), chance.randrange(len(good))))
                with self._shop.open("w") as file:
                    for piece in (good[:cut], good[cut:]):
                        file.write(piece)
                        file.flush()
                        time.sleep(chance.choice((0, 0.05, 0.5)))
            case 3:  # another name, or away for a moment
                new = self._folder / f"shop{self.edits}.toml"
                self._shop.rename(self._folder.parent / "away" if chance.random() < 0.5 else new)
                if not new.exists():
                    time.sleep(chance.choice((0, 0.1, 0.4)))
                    (self._folder.parent / "away").rename(new)
                self._shop = new
            case 4:
                self._mount(broken(NEWS.format(version=self._version), self._folder, "news.toml", chance))
            case _:  # an editor's droppings
                (self._folder / f".{self._shop.name}.swp").write_text("b0VIM")
                (self._folder / f"{self._shop.name}~").write_text(good[:50])

    def publish(self) -> int:
        """A good edit of both files; the version."""
        self.edits += 2
        self._version += 1
        self._mount(NEWS.format(version=self._version))
        text = SHOP.format(version=self._version)
        if self._chance.random() < 0.5:
            put(self._shop, text)
        else:
            self._shop.write_text(text)
        return self._version

    def _mount(self, text: str) -> None:
        self._mounts += 1
        mount(self._folder, self._mounts, text)


@pytest.mark.parametrize("count", [80, pytest.param(1000, marks=pytest.mark.soak)])
def test_nobody_loses_a_picture_however_presets_are_edited(server: Server, folder: Path, count: int) -> None:
    """Each answer is of the last good version or the one before, whatever stands in the files meanwhile."""
    editor, start = Editor(folder, seed=count), time.monotonic()
    with Readers(server) as visitors:
        while editor.edits < count:
            for _ in range(14):
                editor.disturb()
            visitors.good |= {max(visitors.good) + 1}
            version = editor.publish()
            until(lambda version=version: all(width(server, name) == version for name in NAMES), RELOADED_S)
            visitors.good = {version}
    spent = time.monotonic() - start
    assert visitors.wrong == []
    # The short form shares its processor with the rest of the suite.
    assert visitors.answers / spent > (100 if count == 1000 else 50)
