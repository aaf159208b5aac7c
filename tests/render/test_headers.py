"""What a file's structure asks for beside pixels: refused before a decoder sees it, and its harmless twin is not."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from imgproxy.errors import BrokenImage, SourceTooExpensive
from imgproxy.model import Limits
from imgproxy.render.load import read_header
from tests import avifs, profiles
from tests.bombs import tiff_of_jpeg, tiff_of_values
from tests.render.rendering import held, render

if TYPE_CHECKING:
    from collections.abc import Callable

SUFFIXES = (".jpg", ".png", ".webp", ".tiff", ".avif")


def refused(body: bytes, said: str) -> None:
    """The header alone is enough."""
    source = held(body)
    try:
        with pytest.raises(SourceTooExpensive, match=said):
            read_header(source, Limits())
    finally:
        source.close()


def coloured(count: int, suffix: str, tags: int = 0) -> bytes:
    more = {b"t%03d" % n: b"text\0\0\0\0x\0\0\0" for n in range(tags)}
    ways = {name: profiles.steps(count) for name in (b"D2B0", b"D2B1")}
    return profiles.carried(profiles.profile(ways | more), suffix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_colour_profile_of_thousands_of_steps_is_refused(suffix: str) -> None:
    assert render(coloured(5, suffix), "f:png").width > 0
    # 3.5 s of Little CMS: for 482 bytes of PNG.
    refused(coloured(7000, suffix), "a colour profile of 7000 steps")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_profile_of_more_tags_than_any_has_is_left_out(suffix: str) -> None:
    # Whatever else it asks for: Little CMS does not take it.
    assert render(coloured(7000, suffix, 90), "f:png").width > 0


def test_a_profile_with_two_parts_of_a_number_is_read_both_ways() -> None:
    short, costly = coloured(1, ".jpg"), coloured(7000, ".jpg")
    for one, other in ((short, costly), (costly, short)):
        length = 2 + int.from_bytes(other[4:6], "big")
        refused(one[:2] + other[2 : 2 + length] + one[2:], "steps")


AVIFS: dict[str, tuple[Callable[[], avifs.Avif], Callable[[], avifs.Avif], str]] = {
    "tiles": (
        lambda: avifs.grid(2, 2, 500, 500, 256),
        lambda: avifs.grid(16, 16, 64, 64, 1024),
        "an AVIF of 256 tiles",
    ),
    "grids of grids": (lambda: avifs.nested(1, 9), lambda: avifs.nested(4, 16), "an AVIF of 65536 tiles"),
    "deep grids": (lambda: avifs.nested(1, 1), lambda: avifs.nested(9, 1), "derived from what is derived"),
    "overlays": (lambda: avifs.nested(1, 2, b"iovl"), lambda: avifs.nested(4, 16, b"iovl"), "an AVIF of 65536 tiles"),
    "samples": (
        lambda: avifs.still(film=avifs.film(30)),
        lambda: avifs.still(film=avifs.film(10**7)),
        "10000000 frames",
    ),
    "nesting": (
        lambda: avifs.still(more=avifs.deep(b"free", 3)),
        lambda: avifs.still(more=avifs.deep(b"iprp", 3000)),
        "nested",
    ),
    "items in each other": (
        lambda: avifs.still(media=bytes(900), extents={2: [(0, 900)]}),
        lambda: avifs.still(media=bytes(900), extents={1: [(0, 900)] * 30}),
        "lie in each other",
    ),
    "parts": (
        avifs.still,
        lambda: avifs.still(media=bytes(9), extents={1: [(0, 1)] * 5000}),
        "in more than",
    ),
}


@pytest.mark.parametrize("name", AVIFS)
def test_what_an_avif_is_put_together_from_is_counted(name: str) -> None:
    harmless, bomb, said = AVIFS[name]
    assert render(bytes(harmless()), "f:png").width > 0
    refused(bytes(bomb()), said)


def test_an_avif_made_from_itself_is_refused() -> None:
    picture = avifs.nested(2, 1)
    picture.made_from = {1: [2], 2: [1]}
    refused(bytes(picture), "derived from what is derived")


@pytest.mark.parametrize("where", ["in parts", "behind padding", "in a second unit", "in a configuration"])
def test_a_large_picture_in_an_avif_is_found_wherever_its_size_stands(where: str) -> None:
    config, large = avifs.coded(6144, 5120)
    picture = avifs.still()
    padding = b"\x7a\xac\x02" + bytes(299) + b"\x80"
    if where == "in parts":
        picture = avifs.still(media=large[2:] + large[:2], extents={1: [(len(large) - 2, 2), (0, len(large) - 2)]})
    elif where == "behind padding":
        picture.items = [(b"av01", large[:2] + padding + large[2:])]
    elif where == "in a second unit":
        picture.items = [(b"av01", avifs.coded(64, 64)[1] + large)]
    else:
        head = large[2 : 4 + large[3]]  # the sequence header, behind a delimiter
        picture.config = avifs.box(b"av1C", config[8:12] + head)
    source = held(bytes(picture))
    try:
        held_bytes = read_header(source, Limits()).layout.held
    except BrokenImage:  # libheif has opened it, and compared
        pytest.fail("not judged")
    finally:
        source.close()
    assert held_bytes == 20 * 6144 * 5120


def test_values_of_a_tiff_that_lie_in_each_other_are_refused() -> None:
    assert render(tiff_of_values(40, 900), "f:png").width > 0
    refused(tiff_of_values(3000, 40_000), "entries, which hold")


def test_scans_of_jpegs_in_a_tiff_are_counted() -> None:
    assert render(tiff_of_jpeg(600, 20), "f:png").width > 0
    refused(tiff_of_jpeg(600, 2000), "JPEGs of 101 scans")
    refused(tiff_of_jpeg(6000, 60), "JPEGs of 61 scans")


def test_entries_of_all_directories_of_a_tiff_are_counted() -> None:
    entry = struct.pack("<HHII", 40000, 1, 1, 0) * 100
    size = 2 + len(entry) + 4
    pages = b"".join(struct.pack("<H", 100) + entry + struct.pack("<I", 8 + size * (n + 1)) for n in range(500))
    refused(b"II*\0\x08\0\0\0" + pages, "a TIFF with 401")
