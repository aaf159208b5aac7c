"""The comparison with goldens lets equal pictures pass and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pyvips

from tests import charts
from tests.golden import Golden, path_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FAILURE = pytest.fail.Exception


@pytest.fixture
def shelf(tmp_path: Path) -> Golden:
    """Goldens in a temporary folder that hold one picture, "blur:2"."""
    Golden(tmp_path / "goldens", tmp_path / "out", write=True).matches("blur:2", charts.quadrants())
    return Golden(tmp_path / "goldens", tmp_path / "out", write=False)


def altered(change: pyvips.Image) -> bytes:
    return change.cast("uchar").copy(interpretation="srgb").pngsave_buffer()


def image() -> pyvips.Image:
    return pyvips.Image.new_from_buffer(charts.quadrants(), "")


def test_the_same_pixels_match_whatever_the_encoding(shelf: Golden) -> None:
    assert shelf.matches("blur:2", image().pngsave_buffer(compression=1, interlace=True))


def test_differences_nobody_sees_match(shelf: Golden) -> None:
    dot = pyvips.Image.black(600, 400).copy_memory().draw_rect([4.0], 5, 5, 10, 10, fill=True)
    assert shelf.matches("blur:2", altered(image() + dot))


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (lambda: altered(image() + 1), "on average"),
        (lambda: altered(image().draw_rect([9, 9, 9], 50, 50, 2, 2)), "differ by up to"),
        (lambda: charts.quadrants(600, 399), "600 x 399"),
        (lambda: charts.grey(600, 400), "1 bands"),
        (lambda: altered(image().addalpha()), "with alpha"),
        (lambda: (image() * 257).cast("ushort").pngsave_buffer(), "16 bits"),
    ],
    ids=["brighter", "spot", "size", "bands", "alpha", "depth"],
)
def test_visible_differences_fail(shelf: Golden, result: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(FAILURE, match=reason):
        shelf.matches("blur:2", result())


def test_a_missing_golden_fails(shelf: Golden) -> None:
    with pytest.raises(FAILURE, match="make golden"):
        shelf.matches("blur:3", charts.quadrants())


def test_colours_under_transparent_pixels_do_not_count(shelf: Golden, tmp_path: Path) -> None:
    Golden(tmp_path / "goldens", tmp_path / "out", write=True).matches("pd:1", charts.alpha_disc())
    disc = pyvips.Image.new_from_buffer(charts.alpha_disc(), "")
    hidden = disc[3].relational_const("equal", [0.0]).ifthenelse([0, 0, 0, 0], disc)
    assert shelf.matches("pd:1", altered(hidden))


def test_a_failure_leaves_evidence_that_success_removes(shelf: Golden, tmp_path: Path) -> None:
    index = tmp_path / "out" / "index.html"
    with pytest.raises(FAILURE):
        shelf.matches("blur:2", altered(image().invert()))
    assert "blur:2" in index.read_text()
    kinds = ("actual.png", "difference.png", "expected.png", "note.json")
    assert sorted(file.name for file in (tmp_path / "out" / "blur").iterdir()) == [f"blur=2.{kind}" for kind in kinds]
    assert shelf.matches("blur:2", charts.quadrants())
    assert "blur:2" not in index.read_text()


def test_writing_keeps_goldens_that_still_match(tmp_path: Path) -> None:
    goldens = Golden(tmp_path / "goldens", tmp_path / "out", write=True)
    goldens.matches("q:80", charts.quadrants(), option="quality")
    file = tmp_path / "goldens" / "quality" / "q=80.png"
    written = file.read_bytes()
    goldens.matches("q:80", altered(image().draw_rect([214, 69, 66], 11, 11, 2, 2)), "quality")
    assert file.read_bytes() == written
    goldens.matches("q:80", altered(image().invert()), "quality")
    assert file.read_bytes() != written


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("resize:fit:30:0", "resize=fit=30=0"),
        ("blur:4/dpr:2", "blur=4+dpr=2"),
        ("a=b+c%", "a%3Db%2Bc%25"),
    ],
)
def test_names_of_goldens_are_safe_and_distinct(segment: str, name: str) -> None:
    assert path_of("option", segment).as_posix() == f"option/{name}.png"


def test_long_names_are_cut_and_stay_distinct() -> None:
    one, other = path_of("style", "st:" + "a" * 300), path_of("style", "st:" + "a" * 301)
    assert one != other
    assert len(one.name) <= 110
