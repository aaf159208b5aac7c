from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imgproxy.errors import BadSignature
from imgproxy.reloading import PATIENCE, Broken, Reloading
from imgproxy.settings import Settings
from imgproxy.signing import Signer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PATH = "/rs:fit:30:20/plain/local:///a.png"


@dataclass
class Node:
    """What a server has to do with reloading: files, a signer, presets."""

    folder: Path
    environment: dict[str, str]
    adoptions: list[Settings] = field(default_factory=list[Settings])

    def __post_init__(self) -> None:
        started = self.read()
        self.signer = Signer.of(started.signing)
        self.presets = started.presets
        self.reloading = Reloading(started, self.files, self.adopt, read=self.read, now=lambda: 1000.0)

    def read(self) -> Settings:
        return Settings.read({f"IMGPROXY_{name.upper()}": value for name, value in self.environment.items()})

    def files(self, settings: Settings) -> Iterator[Path]:
        yield self.folder / "env"
        yield from filter(None, (settings.signing.key_path, settings.signing.salt_path, *settings.preset.files))

    def adopt(self, fresh: Settings) -> None:
        self.adoptions.append(fresh)
        self.signer, self.presets = Signer.of(fresh.signing), fresh.presets

    def write(self, name: str, text: str) -> None:
        """Put a file in the place of another at once, as deployments do."""
        (self.folder / "new").write_text(text)
        (self.folder / "new").replace(self.folder / name)

    def settle(self) -> None:
        """Look at the files until any change is taken up."""
        for _ in range(PATIENCE + 2):
            self.reloading.poll()

    def accepts(self, signature: str) -> bool:
        try:
            self.signer.verify(signature, PATH)
        except BadSignature:
            return False
        return True


@pytest.fixture
def node(tmp_path: Path) -> Node:
    for name, text in (("key", "aa\n"), ("salt", "01\n"), ("presets", "small=w:10\n"), ("env", "")):
        (tmp_path / name).write_text(text)
    environment = {"key_path": "key", "salt_path": "salt", "presets_path": "presets", "env_local_file_path": "env"}
    return Node(tmp_path, {name: str(tmp_path / file) for name, file in environment.items()})


def signed(key: str) -> str:
    """The signature by a key whose salt is 01."""
    return Signer.of(Settings.read({"IMGPROXY_KEY": key, "IMGPROXY_SALT": "01"}).signing).pairs[0].sign(PATH)


def test_a_new_key_is_good_and_a_removed_one_is_not(node: Node) -> None:
    assert node.accepts(signed("aa"))
    node.write("key", "aa\nbb\n")
    node.write("salt", "01\n01\n")
    node.settle()
    assert node.accepts(signed("aa"))
    assert node.accepts(signed("bb"))
    node.write("key", "bb\n")
    node.write("salt", "01\n")
    node.settle()
    assert not node.accepts(signed("aa"))
    assert node.accepts(signed("bb"))
    assert node.reloading.last_successful


def test_presets_change(node: Node) -> None:
    node.write("presets", "small=w:10\nlarge=w:1000\n")
    node.settle()
    assert node.presets.names == ("large", "small")


def test_a_file_that_does_not_change_is_not_read(node: Node) -> None:
    for _ in range(5):
        node.reloading.poll()
    assert node.adoptions == []


def test_a_file_that_still_changes_is_not_read(node: Node) -> None:
    for text in ("bb", "bb\ncc", "bb\ncc\ndd"):
        node.write("key", text)
        node.reloading.poll()
    assert node.adoptions == []


WRONG = [
    ("key", ""),
    ("key", "a"),
    ("key", "aa\nbb\n"),
    ("key", "no key"),
    ("salt", "\0\0\0"),
    ("presets", "small=w:10\nlarge"),
    ("presets", "small=w:ten"),
    ("presets", "small=preset:other"),
    ("presets", "large=msr:1"),
    ("env", "IMGPROXY_TIMEOUT=never"),
    ("env", "IMGPROXY_KEY=cc"),
]


@pytest.mark.parametrize(("name", "text"), WRONG)
def test_with_a_mistake_everything_stays(node: Node, name: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    node.write("presets", "large=w:9\n")
    node.write(name, text)
    node.settle()
    assert node.adoptions == []
    assert node.accepts(signed("aa"))
    assert node.presets.names == ("small",)
    assert not node.reloading.last_successful
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert getattr(record, "fields", {})["mistakes"]
    node.settle()
    assert len(caplog.records) == 1  # once, not five times a second
    for good, body in (("key", "aa\n"), ("salt", "01\n"), ("presets", "huge=w:1\n"), ("env", "")):
        node.write(good, body)
    node.settle()
    assert node.reloading.last_successful
    assert node.presets.names == ("huge",)


def test_a_mistake_in_presets_does_not_hold_up_keys(node: Node) -> None:
    """Others write presets: a key that has leaked must go whatever they do."""
    node.write("key", "bb\n")
    node.write("presets", "small=w:ten\n")
    node.settle()
    assert not node.accepts(signed("aa"))
    assert node.accepts(signed("bb"))
    assert node.presets.names == ("small",)
    assert node.reloading.mistakes == {"presets": 1, "settings": 0}
    node.write("presets", "large=w:20\n")
    node.settle()
    assert node.presets.names == ("large",)
    assert node.accepts(signed("bb"))


def test_a_file_that_is_gone_is_a_mistake(node: Node) -> None:
    (node.folder / "key").unlink()
    node.settle()
    assert not node.reloading.last_successful
    assert node.accepts(signed("aa"))


def test_keys_never_go_altogether(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    del node.environment["key_path"], node.environment["salt_path"]
    assert not node.reloading.reload()
    assert not node.accepts("unsafe")
    assert "that needs a restart" in str(getattr(caplog.records[0], "fields", {}))


def test_what_presets_depend_on_needs_a_restart(node: Node) -> None:
    node.write("env", "IMGPROXY_ALLOW_SECURITY_OPTIONS=true\n")
    node.write("presets", "large=msr:1\n")
    node.settle()
    assert node.presets.names == ("small",)
    assert not node.reloading.last_successful


def test_other_settings_are_named_once_and_without_values(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    node.write("env", "IMGPROXY_SECRET=s3cret\nIMGPROXY_TIMEOUT=3\n")
    node.settle()
    node.reloading.reload()
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert getattr(warning, "fields", {})["settings"] == ["IMGPROXY_SECRET", "IMGPROXY_TIMEOUT"]
    said = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "s3cret" not in said


def test_the_log_has_no_keys(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for text in ("deadbeef0123\n", "deadbeef0123\nnot hex", "deadbeef012\n"):
        node.write("key", text)
        node.settle()
    said = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "deadbeef" not in said
    assert "not hex" not in said


def test_other_files_are_watched_from_then_on(node: Node, tmp_path: Path) -> None:
    (tmp_path / "key2").write_text("bb\n")
    del node.environment["key_path"]
    node.write("env", f"IMGPROXY_KEY_PATH={tmp_path / 'key2'}\n")
    node.settle()
    assert node.accepts(signed("bb"))
    node.write("key2", "cc\n")
    node.settle()
    assert node.accepts(signed("cc"))


def test_whatever_breaks_the_reading_the_server_goes_on(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    def adopt(_: Settings) -> None:
        raise ZeroDivisionError("with a key in its text")

    reloading = Reloading(node.read(), node.files, adopt, read=node.read)
    assert not reloading.reload()
    assert reloading.mistakes == {"presets": 0, "settings": 1}
    assert "ZeroDivisionError" in str(getattr(caplog.records[0], "fields", {}))
    assert "with a key" not in caplog.text


SHOP = """version = 1
owner = "shop"
[presets.tile]
description = "Tile"
resize = { type = "fit", width = 320 }
[presets.zoom]
description = "Zoom"
extends = "tile"
zoom = 2
"""


@pytest.fixture
def teams(tmp_path: Path) -> Node:
    """A server whose presets are in a folder, with a file of one team."""
    (tmp_path / "presets").mkdir()
    for name, text in (("presets/shop.toml", SHOP), ("env", "")):
        (tmp_path / name).write_text(text)
    environment = {"presets_dir": "presets", "env_local_file_path": "env"}
    return Node(tmp_path, {name: str(tmp_path / file) for name, file in environment.items()})


def width(node: Node, name: str = "tile") -> int:
    (resize, *_) = node.presets[name].settings
    return dict(resize.values)["width"]


def news(width: int) -> str:
    return f'version = 1\nowner = "news"\n[presets.hero]\ndescription = "Hero"\nwidth = {width}\n'


def test_files_of_a_folder_are_edited_added_renamed_and_removed(teams: Node) -> None:
    folder = teams.folder / "presets"
    teams.write("presets/shop.toml", SHOP.replace("320", "480"))
    teams.settle()
    assert width(teams) == 480
    (folder / "news.toml").write_text(news(99))
    teams.settle()
    assert teams.presets.names == ("hero", "tile", "zoom")
    (folder / "news.toml").rename(folder / "desk.toml")
    teams.settle()
    assert teams.presets["hero"].place.startswith("desk.toml:3:")
    (folder / "desk.toml").unlink()
    teams.settle()
    assert teams.presets.names == ("tile", "zoom")
    assert len(teams.adoptions) == 4
    assert teams.reloading.last_successful


def test_a_config_map_is_turned_at_once(teams: Node) -> None:
    """Kubernetes: each file is a link into ``..data``, a link to a folder that is exchanged."""
    folder = teams.folder / "presets"

    def mount(version: str, width: int) -> None:
        (folder / f"..{version}").mkdir()
        (folder / f"..{version}" / "news.toml").write_text(news(width))
        (folder / "..data_tmp").symlink_to(f"..{version}")
        (folder / "..data_tmp").rename(folder / "..data")

    mount("one", 100)
    (folder / "news.toml").symlink_to("..data/news.toml")
    teams.settle()
    assert width(teams, "hero") == 100
    mount("two", 200)
    teams.settle()
    assert width(teams, "hero") == 200


def test_what_lies_beside_the_files_changes_nothing(teams: Node) -> None:
    folder = teams.folder / "presets"
    for name in (".shop.toml.swp", "shop.toml~", "README.md", ".#shop.toml"):
        (folder / name).write_text("no preset")
        teams.settle()
    assert teams.adoptions == []
    assert teams.reloading.last_successful


def test_the_first_half_of_a_file_takes_no_preset_away(teams: Node) -> None:
    """A file that is cut between two tables is a good file: only the time tells that it is not all."""
    file = teams.folder / "presets" / "shop.toml"
    file.write_text(SHOP[: SHOP.index("[presets.zoom]")])
    for _ in range(PATIENCE):
        teams.reloading.poll()
        assert teams.presets.names == ("tile", "zoom")
    file.write_text(SHOP.replace("320", "640"))
    teams.settle()
    assert width(teams) == 640
    assert len(teams.adoptions) == 1
    file.write_text(SHOP[: SHOP.index("[presets.zoom]")])
    teams.settle()
    assert teams.presets.names == ("tile",)


def test_every_mistake_of_every_file_is_told_with_its_place(teams: Node, caplog: pytest.LogCaptureFixture) -> None:
    teams.write("presets/shop.toml", SHOP.replace("zoom = 2", "zom = 2").replace("320", '"wide"'))
    teams.write("presets/news.toml", news(9).replace("owner", "ovner"))
    teams.settle()
    (record,) = caplog.records
    told = getattr(record, "fields", {})["mistakes"]
    assert [mistake.split(": ")[0] for mistake in told] == [
        "news.toml:1:1", "news.toml:2:1", "shop.toml:5:26", "shop.toml:9:1"
    ]  # fmt: skip
    assert "did you mean 'zoom'?" in told[-1]
    assert teams.reloading.mistakes == {"presets": 4, "settings": 0}
    assert teams.reloading.notes() == [
        "presets: the last edit is broken since 1970-01-01T00:16:40Z: 4 mistakes; "
        "the old ones stay, and the log says what is wrong"
    ]
    assert teams.presets.names == ("tile", "zoom")
    teams.write("presets/shop.toml", SHOP)
    teams.write("presets/news.toml", news(9))
    teams.settle()
    assert teams.reloading.mistakes == {"presets": 0, "settings": 0}
    assert teams.reloading.notes() == ["presets: 3"]


def test_since_when_it_is_broken_is_when_it_began(teams: Node) -> None:
    times = iter((1.0, 2.0, 3.0, 4.0))
    reloading = Reloading(teams.read(), teams.files, teams.adopt, read=teams.read, now=lambda: next(times))
    for text in ("", "version = 2"):
        teams.write("presets/shop.toml", text)
        reloading.reload()
    assert (reloading.last_success_at, reloading.broken_since) == (1.0, 2.0)
    teams.write("env", "IMGPROXY_TIMEOUT=never\n")
    reloading.reload()
    assert reloading.notes()[1].startswith("settings: the last change is broken since 1970-01-01T00:00:02Z: 1 mistake;")


def test_the_log_names_a_hundred_mistakes_and_counts_the_others() -> None:
    told = Broken(("key",), tuple(f"a.toml:{n}:1: no" for n in range(150))).told
    assert len(told) == 101
    assert told[0] == "key"
    assert told[-1] == "and 51 more"


def test_a_folder_that_cannot_be_listed_is_looked_at_again(node: Node) -> None:
    vanishing = True

    def files(settings: Settings) -> Iterator[Path]:
        if vanishing:
            raise FileNotFoundError
        return node.files(settings)

    reloading = Reloading(node.read(), files, node.adopt, read=node.read)
    reloading.poll()
    vanishing = False
    for _ in range(3):
        reloading.poll()
    assert len(node.adoptions) == 1


@asynccontextmanager
async def watched(node: Node) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(node.reloading.watch())
        await asyncio.sleep(0)
        yield
        task.cancel()


async def became(holds: Callable[[], bool], seconds: float) -> float:
    """How long it took; fails after ``seconds``."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while not holds():
        assert loop.time() - start < seconds
        await asyncio.sleep(0.005)
    return loop.time() - start


async def test_a_removed_key_is_refused_within_a_second(node: Node) -> None:
    async with watched(node):
        node.write("key", "bb\n")
        await became(lambda: not node.accepts(signed("aa")), 1.0)


async def test_a_signal_is_heeded_at_once(node: Node) -> None:
    async with watched(node):
        os.kill(os.getpid(), signal.SIGHUP)
        await became(lambda: len(node.adoptions) == 1, 0.15)


async def test_rotations_refuse_nobody(node: Node) -> None:
    """Each key is there before it is used, and goes after that: nobody sees a refusal, however files are written."""
    refused = checked = 0
    keys = [f"{number:04x}" for number in range(30)]
    node.write("key", f"{keys[0]}\n{keys[1]}\n")
    node.write("salt", "01\n01\n")
    node.reloading.reload()

    async with watched(node), asyncio.TaskGroup() as group:

        async def ask(until: asyncio.Event) -> None:
            nonlocal refused, checked
            while not until.is_set():
                checked += 1
                refused += not node.accepts(signature)
                await asyncio.sleep(0.005)

        done, signature = asyncio.Event(), signed(keys[1])
        asking = group.create_task(ask(done))
        for old, new in pairwise(keys[1:]):
            body = f"{old}\n{new}\n"
            with (node.folder / "key").open("w") as file:  # in place, in pieces
                for piece in (body[:3], body[3:7], body[7:]):
                    file.write(piece)
                    file.flush()
                    await asyncio.sleep(0.004)
            os.kill(os.getpid(), signal.SIGHUP)
            await became(lambda new=new: node.accepts(signed(new)), 2)
            signature = signed(new)
        done.set()
        await asking
    assert refused == 0
    assert checked > 20
    assert len(node.adoptions) >= len(keys) - 2
