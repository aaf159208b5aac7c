"""Reading sources: what is refused, what the limits count, how much is shrunk while it is decoded."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pyvips

from imgproxy.errors import BrokenImage, SourceTooExpensive, SourceTooLarge, UnknownImageType
from imgproxy.formats import FORMATS
from imgproxy.geometry import Size
from imgproxy.model import Limits
from imgproxy.render.load import MOST_ROWS, Picture, read_header
from imgproxy.render.profiles import BALANCED, BEST, FAST, Rules
from tests import charts
from tests.render.rendering import held, opened, render, rendered

THUMBNAIL = (Path(__file__).parents[1] / "data" / "thumbnail.avif").read_bytes()


@contextmanager
def header(source: bytes, **limits: int) -> Generator[Picture]:
    body = held(source)
    try:
        yield read_header(body, Limits(**limits))
    finally:
        body.close()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".tiff", ".avif"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_half_a_picture_is_an_error(suffix: str, share: float) -> None:
    source = charts.gradient(512, 256, suffix)
    with pytest.raises(BrokenImage):
        render(source[: int(len(source) * share)], "w:100/f:png")


@pytest.mark.parametrize(
    "source",
    [b"", b"hello", b"<html></html>", b"\x89PN", b"RIFF....WAVE", b"\0" * 100, b"%PDF-1.7", b"8BPS\0\1"],
)
def test_what_is_no_image_is_refused(source: bytes) -> None:
    with pytest.raises(UnknownImageType):
        render(source)


@pytest.mark.parametrize(
    "source",
    [b"\0\0\1\0" + bytes(60), b"BM" + bytes(60), b"\xff\x0a" + bytes(60), b"\0\0\0\x18ftypheic\0\0\0\0heicmif1"],
    ids=["ico", "bmp", "jxl", "heic"],
)
def test_what_libvips_cannot_read_here_is_refused(source: bytes) -> None:
    with pytest.raises(BrokenImage, match="cannot be read here"):
        render(source)


@pytest.mark.parametrize("format_", [each for each in FORMATS if each.readable], ids=lambda each: each.name)
def test_magic_and_then_rubbish_is_a_broken_image(format_: object) -> None:
    name = format_.name  # type: ignore[attr-defined]
    source = charts.svg() if name == "svg" else charts.quadrants(60, 40, f".{name}")
    with pytest.raises(BrokenImage):
        render(source[:24] + b"\xff\x00rubbish" * 40, "w:10/f:png")


def test_a_descriptor_may_stand_anywhere() -> None:
    # Rendering twice from one descriptor, as a pool does after a worker was lost.
    for _ in range(2):
        assert render(charts.quadrants(60, 40)).width == 60


def test_sources_beyond_the_resolution_are_refused() -> None:
    assert render(charts.quadrants(300, 200), "w:30", max_src_resolution=0.06).width == 30
    with pytest.raises(SourceTooLarge, match="60000 pixels, the limit is 59000"):
        render(charts.quadrants(300, 200), "w:30", max_src_resolution=0.059)
    assert render(charts.quadrants(300, 200), "w:30", max_src_resolution=0).width == 30
    assert (
        render(charts.quadrants(300, 200), "msr:1", max_src_resolution=0.01, allow_security_options=True).width == 300
    )


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sources_of_a_great_many_rows_are_refused(suffix: str) -> None:
    low, high = (pyvips.Image.black(1, rows).write_to_buffer(suffix) for rows in (MOST_ROWS, MOST_ROWS + 1))
    assert rendered(low, "rs:force:1:1").width == 1
    with pytest.raises(SourceTooExpensive, match="a picture of 1x1000001, 1000000 rows are allowed"):
        render(high, "rs:fit:100:100")


def test_unprocessed_sources_keep_the_limit_too() -> None:
    with pytest.raises(SourceTooLarge):
        render(charts.quadrants(300, 200), "skp:png", max_src_resolution=0.059)


def test_the_frames_that_are_kept_count_together() -> None:
    five = charts.counter(5)  # 5 x 19,200 pixels
    assert render(five, max_animation_frames=5, max_src_resolution=0.096).frames == 5
    with pytest.raises(SourceTooLarge):
        render(five, max_animation_frames=5, max_src_resolution=0.095)
    assert render(five, max_animation_frames=2, max_src_resolution=0.04).frames == 2
    assert render(five, max_animation_frames=1, max_src_resolution=0.02).frames == 1


def test_a_limit_on_frames_replaces_the_limit_on_their_sum() -> None:
    five = charts.counter(5)
    settings = {"max_animation_frames": 5, "max_src_resolution": 0.03}
    assert render(five, **settings, max_animation_frame_resolution=0.02).frames == 5
    with pytest.raises(SourceTooLarge, match="a frame of 160x120"):
        render(five, **settings, max_animation_frame_resolution=0.019)


def test_a_drawing_is_rasterised_down_to_the_limit() -> None:
    result = render(charts.svg(3000, 2000), "f:png", max_src_resolution=0.06)
    assert (result.width, result.height) == (300, 200)
    # A box is another matter: a vector fills it whatever it was rasterised to.
    assert render(charts.svg(3000, 2000), "w:600/f:png", max_src_resolution=0.06).width == 600


def test_a_drawing_with_a_trap_is_refused() -> None:
    trap = b"<!DOCTYPE svg [<!ENTITY a 'b'><!ENTITY c '&a;&a;'>]>"
    with pytest.raises(BrokenImage, match="entity"):
        render(trap + charts.svg(), "f:png")


@pytest.mark.parametrize(("needed", "width"), [(1, 3000), (3.3, 3000), (3.4, 1500), (6.8, 750), (13.6, 375), (99, 375)])
def test_large_jpegs_are_shrunk_while_they_are_decoded(needed: float, width: int) -> None:
    with header(charts.quadrants(3000, 2000, ".jpg", Q=90)) as picture:
        assert picture.load_at_least(needed).width == width


@pytest.mark.parametrize(("rules", "widths"), [(FAST, (300, 150, 75)), (BALANCED, (600, 600, 600))])
@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_the_fast_profile_leaves_the_resampler_next_to_nothing(
    suffix: str, rules: Rules, widths: tuple[int, ...]
) -> None:
    with header(charts.quadrants(600, 400, suffix)) as picture:
        assert tuple(picture.load_at_least(needed, rules).width for needed in (2, 4, 8)) == widths


def test_the_best_profile_leaves_the_resampler_twice_as_much() -> None:
    with header(charts.quadrants(3000, 2000, ".jpg", Q=90)) as picture:
        assert [picture.load_at_least(needed, BEST).width for needed in (6.7, 6.8, 13.6)] == [3000, 1500, 750]


def test_small_sources_are_decoded_whole() -> None:
    for suffix in (".jpg", ".webp"):
        with header(charts.quadrants(600, 400, suffix)) as picture:
            assert picture.load_at_least(20).width == 600


def test_large_webps_are_shrunk_while_they_are_decoded() -> None:
    with header(charts.quadrants(3000, 2000, ".webp", Q=90)) as picture:
        assert [picture.load_at_least(needed).width for needed in (1.5, 3.4, 6.8)] == [3000, 1500, 750]


def test_drawings_are_rasterised_at_the_size_that_is_needed() -> None:
    with header(charts.svg(300, 200)) as picture:
        assert [picture.load_at_least(needed).width for needed in (0.5, 1, 3)] == [600, 300, 100]


def test_an_embedded_thumbnail_is_taken_when_it_is_large_enough() -> None:
    with header(THUMBNAIL) as picture:
        assert picture.size == Size(300, 200)
        assert [picture.load_at_least(needed).width for needed in (1, 2.9, 3, 8)] == [300, 300, 100, 100]


def test_an_embedded_thumbnail_can_be_enforced() -> None:
    result = render(THUMBNAIL, "eth:1/f:png")
    assert (result.width, result.height) == (100, 66)
    assert (result.source_width, result.source_height) == (100, 66)
    assert render(THUMBNAIL, enforce_thumbnail=True).width == 100
    assert render(THUMBNAIL, "f:png").width == 300


def test_a_thumbnail_that_is_not_there_is_the_image() -> None:
    # libvips gives the main image where there is no thumbnail.
    assert render(charts.quadrants(300, 200, ".avif"), "eth:1").width == 300
    assert render(charts.quadrants(300, 200), "eth:1").width == 300


def test_a_thumbnail_shows_what_the_image_shows() -> None:
    small = rendered(THUMBNAIL, "w:90")  # from the thumbnail
    expected = opened(charts.quadrants(300, 200)).thumbnail_image(90, height=60, size="force")
    # heif-enc scales by the nearest neighbour: close enough, and far from any other picture.
    assert (small[:3] - expected).abs().avg() < 20 < 60 < (small[:3].fliphor() - expected).abs().avg()


def test_the_orientation_of_broken_tags_is_upright() -> None:
    image = opened(charts.quadrants(30, 20)).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 9)
    assert render(image.jpegsave_buffer()).width == 30
