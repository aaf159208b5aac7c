from __future__ import annotations

import pytest

from imgproxy.options import Options
from imgproxy.presets import Presets
from imgproxy.presets.canaries import settled, taken
from imgproxy.presets.changes import Change, Difference, changes
from tests.presets.test_files import asked, presets, tile

CANARY = "[presets.tile.canary]\nshare = 0.5\nquality = 40\n"


def between(old: str, new: str) -> list[Change]:
    return [*changes(presets(old), presets(new))]


def test_the_same_is_no_change() -> None:
    text = tile('width = 5\nallow = ["dpr"]\nwidths = [5]') + CANARY
    assert between(text, text) == []
    assert between(tile('options = "w:5"'), tile("width = 5")) == []


@pytest.mark.parametrize(
    ("old", "new", "difference", "shows"),
    [
        ("width = 5", "width = 6", ("resize", "rs:fit:5", "rs:fit:6"), True),
        ("width = 5", "width = 5\nquality = 7", ("quality", "", "q:7"), True),
        ("width = 5\nquality = 7", "width = 5", ("quality", "q:7", ""), True),
        ("quality = 7", "quality = 0", ("quality", "q:7", "the default"), True),
        ("width = 5", "width = 5\nwidths = [5, 6]", ("widths", "", "5, 6"), False),
        ("width = 5", "width = 5\nallow = []", ("allow", "", "none"), False),
        ("width = 5\nallow = ['dpr']", "width = 5", ("allow", "dpr", ""), False),
        ("width = 5\ntags = ['a']", "width = 5\ntags = ['b']", ("cache_tags", "ct:a", "ct:b"), False),
        ("width = 5", "width = 5\ndeprecated = true", ("deprecated", "", "true"), False),
        ("width = 5", f"width = 5\n{CANARY}", ("canary", "", "share 0.5: q:40"), True),
    ],
)
def test_what_is_different(old: str, new: str, difference: tuple[str, str, str], shows: bool) -> None:
    (change,) = between(tile(old), tile(new))
    assert change == Change("tile", "changed", (Difference(*difference),))
    assert change.shows == shows


def test_a_change_reaches_what_stands_on_the_preset() -> None:
    zoom = tile('extends = "tile"', "zoom")
    found = between(tile("width = 5") + zoom, tile("width = 6") + zoom)
    assert [(each.name, each.kind) for each in found] == [("tile", "changed"), ("zoom", "changed")]


def test_presets_come_and_go() -> None:
    (gone, come) = between(tile("width = 5", "a"), tile("width = 5", "b"))
    assert (gone.name, gone.kind, come.name, come.kind) == ("a", "removed", "b", "added")
    assert Difference("resize", "", "rs:fit:5") in come.differences
    assert Difference("owner", "team", "") in gone.differences
    assert come.shows


def test_canaries_out_of_the_way_and_taken() -> None:
    known = presets(tile("quality = 80") + CANARY + tile("quality = 70", "plain"))

    def quality(of: Presets, name: str) -> str:
        return str(Options().merge(of.expand(asked(f"pr:{name}"))))

    assert quality(settled(known), "tile") == "q:80"
    assert quality(taken(known, "tile"), "tile") == "q:40"
    assert quality(taken(known, "plain"), "tile") == "q:80"
    assert quality(taken(known, "plain"), "plain") == "q:70"
