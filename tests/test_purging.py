"""What operators may ask to be purged."""

from __future__ import annotations

import pytest

from imgproxy.caches.purges import source_tag
from imgproxy.model import Purge
from imgproxy.presets import Presets
from imgproxy.purging import BadPurge, changed, selected

URL = "https://example.com/a.jpg"


@pytest.mark.parametrize(
    ("asked", "purge"),
    [
        ({"source": URL}, Purge("tag", source_tag(URL))),
        ({"source": URL, "soft": True}, Purge("tag", source_tag(URL), soft=True)),
        ({"prefix": "https://example.com/"}, Purge("prefix", "https://example.com/")),
        ({"tag": "summer", "soft": False}, Purge("tag", "summer")),
        ({"preset": "thumb nail"}, Purge("tag", "preset-thumb%20nail")),
        ({"all": True}, Purge("all")),
        ({"all": True, "soft": True}, Purge("all", soft=True)),
    ],
)
def test_what_can_be_asked_for(asked: dict[str, object], purge: Purge) -> None:
    assert selected(asked) == purge


def test_sources_are_rewritten_as_those_of_urls_are() -> None:
    def rewrite(url: str) -> str:
        return f"https://base/{url}"

    assert selected({"source": "a.jpg"}, rewrite) == selected({"source": "https://base/a.jpg"})
    assert selected({"prefix": "a"}, rewrite) == Purge("prefix", "https://base/a")
    assert selected({"tag": "a"}, rewrite) == Purge("tag", "a")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "exactly one"),
        ({"soft": True}, "exactly one"),
        ({"source": URL, "tag": "a"}, "exactly one"),
        ({"sauce": URL}, "unknown: sauce"),
        ({"all": False}, "all: expected true"),
        ({"all": 1}, "all: expected true"),
        ({"all": True, "soft": "yes"}, "soft: expected true or false"),
        ({"source": ""}, "source: expected a text"),
        ({"source": None}, "source: expected a text"),
        ({"tag": ["a"]}, "tag: expected a text"),
        ({"prefix": "x" * 8193}, "prefix: expected a text"),
    ],
)
def test_what_cannot(asked: dict[str, object], said: str) -> None:
    with pytest.raises(BadPurge, match=said):
        selected(asked)


def lines(*lines: str) -> Presets:
    return Presets.parse((f"preset {n}", line) for n, line in enumerate(lines))


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        (["a=w:1", "b=w:2"], ["b=w:2", "a=w:1"], ()),
        (["a=w:1", "b=w:2"], ["a=width:1", "b=w:3"], ("b",)),
        (["a=w:1"], ["a=w:1", "b=w:1"], ("b",)),
        (["a=w:1", "b=w:1"], ["b=w:1"], ("a",)),
        # Edges are told of those that use others by announce.expand.
        (["a=w:1", "b=pr:a"], ["a=w:2", "b=pr:a"], ("a",)),
        (["a=w:1", "default=q:1"], ["a=w:2", "default=q:2"], ("default",)),
        (["a=w:1"], ["a=w:1", "default=q:2"], ("default",)),
        (["a=w:1", "default=q:2"], ["a=w:1"], ("default",)),
    ],
)
def test_which_presets_a_change_concerns(old: list[str], new: list[str], names: tuple[str, ...]) -> None:
    assert changed(lines(*old), lines(*new)) == names
