"""Placeholders of pictures: the documents, and that they show what the other options make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pyvips

from imgproxy.errors import SourceTooLarge
from imgproxy.geometry import Size
from imgproxy.model import PIPELINE_VERSION
from imgproxy.render import placeholders
from imgproxy.render.placeholders import average, dominant, small
from tests import charts
from tests.placeholders import picture_of
from tests.render.rendering import largest, opened, render, smallest

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("lqip", "blurhash:9:6", "thumbhash")
NEAR = 8.0
"""How far apart two placeholders of the same picture may be, on average, of 255: steps of codes, and edges."""


def said(source: bytes, options: str = "", **rest: Any) -> dict[str, Any]:
    """The document, checked for what all documents have."""
    result = render(source, options, **rest)
    document = json.loads(result.body)
    assert result.format.name == "json"
    assert document.keys() == {"type", "value", "width", "height", "color"}
    assert (document["width"], document["height"], 1) == (result.width, result.height, result.frames)
    return document


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """How far two documents' pictures are apart, seen on grey, on average."""
    first, second = (_on_grey(picture_of(each)) for each in (one, other))
    return float((first - second).abs().avg())


def _on_grey(image: pyvips.Image) -> pyvips.Image:
    return image.flatten(background=[128, 128, 128]).cast("uchar")


COMPOSITIONS: dict[str, tuple[Callable[[], bytes], str]] = {
    # name: source, options
    "whole": (charts.quadrants, ""),
    "resized": (charts.quadrants, "rs:fit:300:300"),
    "cropped": (charts.quadrants, "c:300:200:soea"),
    "filled": (charts.quadrants, "rs:fill:200:300/g:we"),
    "with an offset": (charts.quadrants, "rs:fill:200:300/g:we:60"),
    "turned": (lambda: charts.oriented(6), "rot:90/fl:1"),
    "trimmed": (charts.framed, "t:10"),
    "padded": (charts.quadrants, "w:300/pd:40:10:20:60/bg:ffcc00"),
    "extended": (charts.quadrants, "rs:fit:300:300/ex:1:no:0:20/bg:ffcc00"),
    "with a mark": (charts.quadrants, "w:400/wm:1:soea:20:20:0.4"),
    "with a mark of its own size": (charts.quadrants, "w:400/wm:1:nowe"),
    "pixelated": (charts.quadrants, "pix:100"),
    "blurred": (charts.quadrants, "bl:20"),
    "transparent": (charts.alpha_disc, ""),
    "grey": (charts.grey, ""),
    "of other colours": (charts.cmyk, ""),
    "drawn": (charts.svg, "w:700"),
    "moving": (charts.counter, ""),
    "deep": (charts.deep, "ph:1"),
    "tall": (charts.quadrants, "rs:force:40:400"),
}


@pytest.mark.parametrize("name", COMPOSITIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_placeholder_is_that_of_the_picture_which_the_other_options_make(name: str, kind: str) -> None:
    source, options = COMPOSITIONS[name]
    mark = charts.mark() if "wm" in options else None
    document = said(source(), f"{options}/plh:{kind}", mark=mark)
    picture = render(source(), f"{options}/f:png", mark=mark)
    assert (document["width"], document["height"]) == (picture.width, picture.height)
    assert apart(document, said(picture.body, f"plh:{kind}")) < NEAR


@pytest.mark.parametrize("other", ["rs:fill:300:300/g:we", "rs:fill:300:300/g:ea:10/pd:20", "rs:fill:300:300/fl:1"])
def test_placeholders_of_other_compositions_are_farther_apart(other: str) -> None:
    # What the test above would miss if it let everything pass.
    for kind in KINDS:
        one, another = (said(charts.quadrants(), f"{options}/plh:{kind}") for options in ("rs:fill:300:300", other))
        assert apart(one, another | {"width": one["width"], "height": one["height"]}) > 3 * NEAR


def test_the_smallest_of_pictures() -> None:
    for kind in KINDS:
        for n, size in ((1, (1, 1)), (3, (3, 3))):
            document = said(charts.tiny(n), f"plh:{kind}")
            assert (document["width"], document["height"]) == size
    red = pyvips.Image.black(1, 1, bands=3).linear([1], [200, 30, 60]).cast("uchar").copy(interpretation="srgb")
    body: bytes = red.pngsave_buffer()
    for kind in ("blurhash", "thumbhash"):
        shades = picture_of(said(body, f"plh:{kind}"))
        for band, value in enumerate((200, 30, 60)):  # flat, and of its colour
            assert value - 8 < smallest(shades[band]) <= largest(shades[band]) < value + 8
    long = said(body, "rs:force:4000:3:1/plh:blurhash")
    assert (long["width"], long["height"], long["color"]) == (4000, 3, "#c81e3c")


def test_the_colour_is_the_average_of_light() -> None:
    half = pyvips.Image.black(10, 10).insert(pyvips.Image.black(10, 10) + 255, 10, 0, expand=True)
    document = said(half.cast("uchar").pngsave_buffer(), "plh:blurhash")
    assert document["color"] == "#bcbcbc"  # 188: half of the light
    red = said(charts.alpha_disc(), "plh:lqip")["color"]
    assert (
        red
        == said(charts.alpha_disc(), "plh:thumbhash")["color"]
        != said(charts.alpha_disc(), "bg:fff/plh:lqip")["color"]
    )


def test_what_is_transparent_all_over_has_no_colour() -> None:
    nothing = pyvips.Image.black(8, 8, bands=4).copy(interpretation="srgb")
    for kind in KINDS:
        assert said(nothing.pngsave_buffer(), f"plh:{kind}")["color"] == "#00000000"
    assert dominant(small(nothing, Size(8, 8))) == average(small(nothing, Size(8, 8))) == "#00000000"


def test_the_dominant_colour_is_of_what_there_is_most_of() -> None:
    image = pyvips.Image.black(30, 30, bands=3).linear([1], [250, 250, 250]).cast("uchar").copy(interpretation="srgb")
    image = image.draw_rect([10, 20, 200], 0, 0, 30, 12, fill=True)
    assert dominant(small(image, Size(30, 30))) == "#fafafa"
    assert average(small(image, Size(30, 30))) != "#fafafa"


def test_transparency_is_kept_where_the_format_knows_it() -> None:
    for kind, kept in (("lqip", True), ("thumbhash", True), ("blurhash", False)):
        corner = picture_of(said(charts.alpha_disc(), f"plh:{kind}")).getpoint(0, 0)
        assert (corner[3] < 60) is kept
    # BlurHash has none: on white, as in a JPEG.
    assert min(picture_of(said(charts.alpha_disc(), "plh:blurhash:9:9")).getpoint(0, 0)) > 225
    assert said(charts.alpha_disc(), "f:jpg/plh:thumbhash") == said(charts.alpha_disc(), "bg:fff/plh:thumbhash")


def test_a_lqip_is_a_tiny_webp() -> None:
    value = said(charts.quadrants(), "plh:lqip")["value"]
    assert len(value) < 500
    image = picture_of({"type": "lqip", "value": value})
    assert (image.width, image.height) == (32, 21)


def test_a_source_that_could_be_passed_through_is_not() -> None:
    source = charts.svg()
    assert said(source, "plh:blurhash/skp:svg") == said(source, "plh:blurhash")
    assert said(source, "plh:blurhash/f:svg") == said(source, "plh:blurhash")


def test_of_an_animation_only_the_first_frame_counts() -> None:
    settings = {"max_animation_frames": 10, "max_src_resolution": 0.05}
    with pytest.raises(SourceTooLarge):
        render(charts.counter(), "f:gif", **settings)
    assert said(charts.counter(), "plh:blurhash", **settings) == said(charts.counter(), "plh:blurhash")


def test_components_follow_the_shape_of_the_result() -> None:
    assert [
        len(said(charts.quadrants(), f"rs:force:{size}/plh:blurhash")["value"]) for size in ("90:90", "400:100")
    ] == [
        4 + 2 * 3 * 3,
        4 + 2 * 7 * 2,
    ]
    assert len(said(charts.quadrants(), "plh:blurhash:2:9")["value"]) == 4 + 2 * 2 * 9


def test_ordinary_pictures_are_what_they_were() -> None:
    assert PIPELINE_VERSION == 2
    assert opened(render(charts.quadrants(), "w:30/plh:lqip/plh:").body).width == 30


@pytest.mark.parametrize("kind", ["lqip", "blurhash", "thumbhash"])
def test_a_document_can_be_looked_at(kind: str) -> None:
    source = pyvips.Image.black(300, 200, bands=3).linear([1.0], [200.0, 40.0, 40.0], uchar=True)
    told = render(source.copy(interpretation="srgb").pngsave_buffer(), f"plh:{kind}").body
    shown = opened(placeholders.picture(told))
    assert (shown.width, shown.height) == (32, 21)
    assert all(abs(found - wanted) <= 12 for found, wanted in zip(shown(5, 5), (200, 40, 40), strict=False))
