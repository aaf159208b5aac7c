"""What a source is found to be."""

from __future__ import annotations

import struct

import pytest
import pyvips

from imgproxy.errors import BrokenImage, UnknownImageType
from imgproxy.model import Client, ImageRequest, Job, SourceRef
from imgproxy.options import read_segment
from imgproxy.planning import Planner
from imgproxy.render import facts
from imgproxy.render.facts import Facts, readable
from imgproxy.render.headers.profile import description
from imgproxy.render.worker import perform
from tests import charts
from tests.render.rendering import held, opened


def found(body: bytes) -> Facts:
    asked = ImageRequest(SourceRef("x"), read_segment("placeholder", ["blurhash"]))
    source = held(body)
    try:
        return perform(facts.read, Job(Planner().plan(asked, Client()), source))
    finally:
        source.close()


def test_a_photograph() -> None:
    image = opened(charts.oriented(6)).copy()
    for ifd, name, text in (
        (0, "Make", "Zoe & Sons"),
        (2, "ExposureTime", "1/125"),
        (3, "GPSLatitude", "52/1 31/1 0/1"),
    ):
        image.set_type(pyvips.GValue.gstr_type, f"exif-ifd{ifd}-{name}", text)
    body: bytes = image.jpegsave_buffer(Q=90)
    it = found(body)
    assert (it.format.name, it.bytes) == ("jpeg", len(body))
    assert (it.width, it.height, it.orientation) == (300, 200, 6)
    assert (it.frames, it.pages, it.alpha, it.bits, it.space, it.profile) == (1, 1, False, 8, "srgb", "")
    exif = dict(it.exif)
    assert exif["Make"] == "Zoe & Sons"
    assert exif["ExposureTime"] == "1/125 sec."
    assert exif["GPSLatitude"].startswith("52")
    assert exif["Orientation"] == "6"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (charts.counter(), {"format": "gif", "frames": 5, "pages": 1, "bits": 8}),
        (charts.alpha_disc(), {"alpha": True}),
        (charts.deep(), {"bits": 16, "space": "rgb16"}),
        (charts.grey(), {"space": "b-w"}),
        (charts.cmyk(), {"space": "cmyk"}),
        (charts.p3(), {"profile": "sP3C"}),
        (charts.palette(), {"bits": 8}),
        (charts.svg(), {"format": "svg", "width": 300, "height": 200}),
    ],
    ids=lambda each: "" if isinstance(each, bytes) else ",".join(each),
)
def test_kinds_of_pictures(body: bytes, expected: dict[str, object]) -> None:
    it = found(body)
    known = {name: getattr(it, name) for name in expected} | (
        {"format": it.format.name} if "format" in expected else {}
    )
    assert known == expected


def test_pages_of_a_document() -> None:
    pages = pyvips.Image.arrayjoin([opened(charts.quadrants(60, 40))] * 3, across=1).copy()
    pages.set_type(pyvips.GValue.gint_type, "page-height", 40)
    it = found(pages.tiffsave_buffer())
    assert (it.pages, it.frames, it.width, it.height) == (3, 1, 60, 40)


def test_colours_and_hashes_are_those_of_the_picture() -> None:
    flat = pyvips.Image.black(40, 30, bands=3).linear([1], [200, 30, 60]).cast("uchar").copy(interpretation="srgb")
    it = found(flat.pngsave_buffer())
    assert (it.average, it.dominant) == ("#c81e3c", "#c81e3c")
    assert it.blurhash.startswith("L")
    assert len(it.thumbhash) == 28


def test_what_is_no_picture() -> None:
    with pytest.raises(UnknownImageType):
        found(b"<html>")
    with pytest.raises(BrokenImage):
        found(charts.quadrants()[:2000])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1/125 (1/125 sec., Rational, 1 components, 8 bytes)", "1/125 sec."),
        ("Canon (Canon, ASCII, 6 components, 6 bytes)", "Canon"),
        ("a (b) (a (b), ASCII, 6 components, 6 bytes)", "a (b)"),
        ("6 (Internal error (unknown value 6), Short, 1 components, 2 bytes)", "6"),
        (" (, ASCII, 1 components, 1 bytes)", ""),
        ("what one wrote", "what one wrote"),
    ],
)
def test_readable(value: str, text: str) -> None:
    assert readable(value) == text


def _named(tag: bytes, at: int = 144) -> bytes:
    """A profile with one tag, its name."""
    return bytes(128) + struct.pack(">I4sII", 1, b"desc", at, len(tag)) + tag


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (b"", ""),
        (b"no profile", ""),
        (_named(b"desc" + bytes(4) + struct.pack(">I", 6) + b"Adobe\0" + b"rest"), "Adobe"),
        (_named(b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, 4, 28) + "P3".encode("utf-16-be")), "P3"),
        (_named(b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0, 0, 2**32 - 1, 2**31)), ""),
        (_named(b"desc" + bytes(4) + struct.pack(">I", 2**32 - 1) + b"x" * 1000), "x" * 200),
        (_named(b"text" + bytes(20)), ""),
        (_named(b"desc", at=2**31), ""),
        (bytes(128) + struct.pack(">I", 2**32 - 1), ""),
    ],
)
def test_what_a_profile_calls_itself(block: bytes, name: str) -> None:
    assert description(block) == name
