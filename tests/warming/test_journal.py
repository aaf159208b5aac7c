from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.warming.journal import BadJournal, Journal
from imgproxy.warming.places import Item, Place

PLACE = Place("http", "a", 80)
ONE, OTHER = Item("/s1gnature/a"), Item("/s1gnature/a", "image/webp")


def test_what_is_finished_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "done"
    with Journal(path, PLACE) as journal:
        assert ONE not in journal
        journal.note(ONE)
        assert ONE in journal
    with Journal(path, PLACE) as journal:
        assert (len(journal), ONE in journal, OTHER in journal) == (1, True, False)
        journal.note(OTHER)
    with Journal(path, PLACE) as journal:
        assert len(journal) == 2
    with Journal(path, Place("http", "b", 80)) as journal:
        assert ONE not in journal  # finished at another server
    assert "s1gnature" not in path.read_text()


def test_a_line_that_was_cut_off_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "done"
    with Journal(path, PLACE) as journal:
        journal.note(ONE)
        journal.note(OTHER)
    path.write_bytes(path.read_bytes()[:-5])
    with Journal(path, PLACE) as journal:
        assert (ONE in journal, OTHER in journal) == (True, False)
        journal.note(OTHER)
    with Journal(path, PLACE) as journal:
        assert OTHER in journal


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("http://a/\n")
    with pytest.raises(BadJournal, match="no file that"):
        Journal(path, PLACE)
    assert path.read_text() == "http://a/\n"
    with pytest.raises(OSError, match="directory"):
        Journal(tmp_path, PLACE)
