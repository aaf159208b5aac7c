from __future__ import annotations

import tomllib
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.presets.places import Path, places
from imgproxy.presets.typed import as_toml

TEXT = '''# a comment with = and [brackets]
version = 1
"quoted key" = 'literal # no comment'

[presets.tile]  # another
resize = { type = "fit", width = 320, nested = { deep = [1, { x = 2 }] } }
a.b . "c d" = """
many [lines] = "with quotes" and \\""" escaped
x = 1"""
widths = [
  160,  # small
  320,
]
path = 'C:\\'
[presets."odd.name"]
when = 2026-11-01T07:32:00Z
y = \'\'\'it''s\'\'\'
[[rows]]
z = 1
'''

EXPECTED: dict[Path, tuple[int, int]] = {
    ("version",): (2, 1),
    ("quoted key",): (3, 1),
    ("presets",): (5, 2),
    ("presets", "tile"): (5, 10),
    ("presets", "tile", "resize"): (6, 1),
    ("presets", "tile", "resize", "type"): (6, 12),
    ("presets", "tile", "resize", "width"): (6, 26),
    ("presets", "tile", "resize", "nested"): (6, 39),
    ("presets", "tile", "resize", "nested", "deep"): (6, 50),
    ("presets", "tile", "resize", "nested", "deep", 0): (6, 58),
    ("presets", "tile", "resize", "nested", "deep", 1): (6, 61),
    ("presets", "tile", "resize", "nested", "deep", 1, "x"): (6, 63),
    ("presets", "tile", "a"): (7, 1),
    ("presets", "tile", "a", "b"): (7, 3),
    ("presets", "tile", "a", "b", "c d"): (7, 7),
    ("presets", "tile", "widths"): (10, 1),
    ("presets", "tile", "widths", 0): (11, 3),
    ("presets", "tile", "widths", 1): (12, 3),
    ("presets", "tile", "path"): (14, 1),
    ("presets", "odd.name"): (15, 10),
    ("presets", "odd.name", "when"): (16, 1),
    ("presets", "odd.name", "y"): (17, 1),
    ("rows",): (18, 3),
    ("rows", "z"): (19, 1),
}


def test_a_table_stands_where_its_own_header_is() -> None:
    assert places("[a.b]\nx = 1\n[a.b.c]\ny = 1\n")["a", "b"] == (1, 4)
    assert places("[a.b.c]\ny = 1\n[a.b]\nx = 1\n")["a", "b"] == (3, 4)
    assert places("a . b = 1\na.c = 2\n") == {("a",): (1, 1), ("a", "b"): (1, 5), ("a", "c"): (2, 3)}


def test_each_key_and_each_item_has_its_place() -> None:
    tomllib.loads(TEXT)
    assert places(TEXT) == EXPECTED


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n", "a = 1", "a = 1\r\nb = 2\r\n"])
def test_small_documents(text: str) -> None:
    assert {path[0] for path in places(text)} == tomllib.loads(text).keys()


SCALARS = st.one_of(
    st.integers(-(2**40), 2**40),
    st.booleans(),
    st.floats(-1e9, 1e9, allow_nan=False),
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=8),
)
KEYS = st.text("abcXYZ019_-. \"'[]{}=#é\n\t", min_size=0, max_size=6)
VALUES = st.recursive(
    SCALARS,
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.from_regex("[a-z]{1,4}", fullmatch=True), each, max_size=3)
    ),
    max_leaves=8,
)


def paths(value: object, path: Path = ()) -> set[Path]:
    pairs: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        pairs = list(cast("dict[str | int, object]", value).items())
    elif isinstance(value, list):
        pairs = list(enumerate(cast("list[object]", value)))
    return {(*path, key) for key, _ in pairs} | {each for key, inner in pairs for each in paths(inner, (*path, key))}


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_whatever_the_document_all_its_paths_are_found_and_no_others(document: dict[str, object]) -> None:
    text = "".join(f"  {as_toml(key)} = {as_toml(value)} # {key!a}\n" for key, value in document.items())
    found = places(text)
    assert found.keys() == paths(tomllib.loads(text))
    lines = text.split("\n")
    for path, (line, column) in found.items():
        assert isinstance(path[-1], int) or lines[line - 1][column - 1 :].startswith((path[-1], as_toml(path[-1])))
