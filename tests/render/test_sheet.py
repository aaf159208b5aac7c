from __future__ import annotations

import pytest
import pyvips

from imgproxy.render.sheet import Cell, Row, contact_sheet
from tests import charts

PAPER = [250, 250, 248]
LEFT, TOP = 24 + 230, 24 + 34 + 16
"""Of the first picture, where it is as high as the highest of its row."""


def drawn(*rows: Row, columns: tuple[str, ...] = ("one",)) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(contact_sheet(columns, rows), "")


def flat(colour: list[float], width: int, height: int) -> bytes:
    image = pyvips.Image.black(width, height, bands=len(colour)) + colour
    return image.cast("uchar").copy(interpretation="srgb").pngsave_buffer()


def inked(sheet: pyvips.Image, left: int, top: int, width: int, height: int) -> bool:
    """Whether anything is drawn there."""
    area: pyvips.Image = (sheet.crop(left, top, width, height) - PAPER).abs()
    return area.stats()(1, 0)[0] > 60


def test_pictures_stand_on_one_line_at_their_own_size() -> None:
    sheet = drawn(
        Row("tile", "note", [Cell(flat([255, 0, 0], 50, 100), "a"), Cell(flat([0, 0, 255], 60, 40), "b")]),
        columns=("one", "two"),
    )
    assert sheet(LEFT + 25, TOP + 50) == [255, 0, 0]
    assert sheet(LEFT + 51, TOP + 50) == PAPER
    assert sheet(LEFT + 236 + 30, TOP + 59) == PAPER
    assert sheet(LEFT + 236 + 30, TOP + 61) == [0, 0, 255]
    assert sheet(LEFT + 236 + 30, TOP + 99) == [0, 0, 255]


def test_what_is_larger_than_a_cell_is_shrunk() -> None:
    sheet = drawn(Row("tile", "", [Cell(flat([255, 0, 0], 440, 110), "")]))
    assert sheet(LEFT + 219, TOP + 27) == [255, 0, 0]
    assert sheet(LEFT + 221, TOP + 27) == PAPER
    assert sheet(LEFT + 100, TOP + 56) == PAPER


def test_names_and_captions_are_written() -> None:
    sheet = drawn(Row("tile", "what it is for", [Cell(flat([250, 250, 248], 50, 50), "50x50 png")]))
    assert inked(sheet, LEFT, 24, 200, 20), "the sample's name"
    assert inked(sheet, 24, TOP, 200, 14), "the preset's name"
    assert inked(sheet, 24, TOP + 20, 200, 20), "its note"
    assert inked(sheet, LEFT, TOP + 55, 200, 20), "the caption"


def test_markup_in_a_text_is_text() -> None:
    sheet = drawn(Row("<b>&", "<i>", [Cell(b"", "<html> & what not", failed=True)]), columns=("<x>",))
    assert inked(sheet, 24, TOP, 200, 14)
    assert inked(sheet, LEFT, TOP, 200, 14)


def test_a_long_note_makes_room_for_itself() -> None:
    short = drawn(Row("a", "b", [Cell(charts.tiny(3), "")]))
    long = drawn(Row("a", "many words " * 60, [Cell(charts.tiny(3), "")]))
    assert long.height > short.height + 100


def test_squares_shine_through_what_is_transparent() -> None:
    sheet = drawn(Row("a", "", [Cell(flat([0, 0, 0, 0], 64, 64), "")]))
    assert grey(0) == sheet(LEFT, TOP)
    assert grey(255) == [9, 9, 9]
    area = sheet.crop(LEFT, TOP, 64, 64)
    assert {area.min(), area.max()} == {232, 255}
    assert sheet(LEFT, TOP) != sheet(LEFT + 8, TOP) == sheet(LEFT, TOP + 8)


def grey(alpha: int) -> list[float]:
    """What shows of a grey picture with this alpha."""
    image = pyvips.Image.black(9, 9, bands=2).linear([1.0], [9, alpha], uchar=True).copy(interpretation="b-w")
    return drawn(Row("a", "", [Cell(image.pngsave_buffer(), "")]))(LEFT, TOP)


@pytest.mark.parametrize("body", [charts.grey(), charts.deep(), charts.palette(), charts.counter(), charts.svg()])
def test_pictures_of_every_kind(body: bytes) -> None:
    assert inked(drawn(Row("a", "", [Cell(body, "")])), LEFT, TOP, 200, 60)
