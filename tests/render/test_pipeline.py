"""What pictures cannot say of the pipeline: exact sizes and places, chosen formats, what passes unprocessed."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from imgproxy.errors import ResultTooLarge, UnsupportedFormat
from imgproxy.formats import AVIF, GIF, JPEG, PNG, SVG, WEBP
from imgproxy.geometry import Size, Turn, solve
from imgproxy.model import Limits
from imgproxy.render import pipeline
from imgproxy.render.load import read_header
from imgproxy.render.pipeline import wish
from imgproxy.render.scene import Scene
from tests import charts
from tests.render.rendering import held, largest, opened, plan, render, rendered, smallest

if TYPE_CHECKING:
    import pyvips

    from imgproxy.model import Rendition

# fmt: off
COMBINATIONS = (
    "", "w:100", "h:70", "w:1", "h:1", "w:5000", "s:120:90", "s:90:120", "s:7:200", "s:200:7", "s:1:1",
    "rs:fill:120:90", "rs:fill:90:120", "rs:fill:17:170", "rs:fill:2000:30", "rs:fill:30:2000",
    "rs:fill:700:500:1", "rs:fill:5:5/g:sm", "rs:fill:64:64/g:fp:0.2:0.9", "rs:fill:64:64/g:soea:500:500",
    "rs:fill-down:120:90", "rs:fill-down:900:300", "rs:fill-down:300:900/g:no", "rs:fill-down:50:800:1",
    "rs:force:120:33", "rs:force:0:33", "rs:force:700:33:1", "rs:auto:120:90", "rs:auto:90:120", "rs:auto:100:100",
    "s:400:50:1", "w:333/el:1", "el:1/w:777",
    "mw:250", "mh:250", "w:50/mh:90", "rs:fill:50:40/mw:80",
    "z:0.33", "z:2", "z:0.5:1.5", "rs:fill:100:80/z:0.3:0.7", "w:80/dpr:1.5", "w:80/dpr:7", "rs:fill:60:60/dpr:0.3",
    "c:50:40", "c:0.5:0.3:noea", "c:1:1:so", "c:0:30", "c:5000:20:fp:1:1", "c:40:60:sm/w:20", "c:33:47:sowe:7:9/w:99",
    "rot:90", "rot:270/w:80", "rot:-90/rs:fill:60:90/g:we", "fl:1:1/c:50:20:nowe/rot:180",
    "w:50/ex:1", "s:90:90/ex:1:no", "s:90:200:1:1:soea:3:4", "rs:fit:90:400/exar:1", "rs:fill-down:900:300/exar:1:we",
    "w:60/pd:1", "w:60/pd:3:5:7:9/dpr:1.7", "s:50:70/ex:1/pd:10/dpr:2/bg:fff", "w:60/bl:2/sh:1/pix:7", "ar:0/w:50",
)
# fmt: on
FORMATS = ("png", "jpg", "webp", "gif", "tiff", "avif", "")


@pytest.mark.parametrize("name", charts.SOURCES)
def test_results_are_as_large_as_the_geometry_says(name: str) -> None:
    source = charts.SOURCES[name]()
    for n, options in enumerate(COMBINATIONS):
        # Each chart goes through each combination, each format comes often: all with all would take minutes.
        format_ = FORMATS[(n + len(name)) % len(FORMATS)]
        asked = f"{options}/f:{format_}" if format_ else f"{options}/f:png" if name.endswith(".svg") else options
        for limit in (0, 90) if n % 5 == 0 else (0,):
            result = render(source, asked, max_result_dimension=limit)
            expected = canvas(source, asked, max_result_dimension=limit)
            image = opened(result.body)
            assert (result.width, result.height) == (expected.width, expected.height), asked
            assert (image.width, image.height) == (expected.width, expected.height), asked
            assert not limit or max(image.width, image.height) <= limit
            assert image.avg() >= 0  # all of it decodes


def canvas(source: bytes, options: str, **settings: Any) -> Size:
    asked = plan(options, **settings)
    held_source = held(source)
    picture = read_header(held_source, Limits(), auto_rotate="ar:0" not in options)
    held_source.close()
    angle = next((int(part[4:]) % 360 for part in options.split("/") if part.startswith("rot:")), 0)
    turn = Turn(picture.turn.exif_angle, angle=angle)
    return solve(turn.final(picture.size), wish(asked), vector=picture.format is SVG).canvas


def test_trim_leaves_what_it_leaves_to_the_geometry() -> None:
    assert size(render(charts.framed(), "t:10")) == (200, 120)
    assert size(render(charts.framed(), "t:10/w:100")) == (100, 60)
    assert size(render(charts.framed(), "t:10::1")) == (220, 120)
    assert size(render(charts.framed(), "t:10:000000/w:130")) == (130, 100)  # no black border
    assert size(render(charts.framed(), "t:/w:130")) == (130, 100)
    assert size(render(charts.tiny(), "t:10")) == (1, 1)
    assert size(render(charts.counter(), "t:10")) == (30, 70)  # what is left of the first frame is its number
    assert size(render(charts.quadrants(2, 9), "t:10")) == (2, 9)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_trim_cuts_transparency_in_every_kind_of_image(grey: bool, deep: bool) -> None:
    disc = opened(charts.alpha_disc())
    if grey:
        disc = disc[3:].bandjoin(disc[3]).copy(interpretation="b-w")
    if deep:
        disc = (disc * 257).cast("ushort").copy(interpretation="grey16" if grey else "rgb16")
    result = render(disc.pngsave_buffer(), "t:0:ff00ff/ph:1")
    assert 270 <= result.width == result.height <= 282


def test_trim_leaves_animations_alone() -> None:
    result = render(charts.counter(3), "t:200", max_animation_frames=3)
    assert (*size(result), result.frames) == (160, 120, 3)


def places(width: int, height: int) -> dict[str, tuple[int, int]]:
    """Where a crop of 100 x 80 lies in a picture of this size, by its gravity: left and top."""
    right, bottom = width - 100, height - 80
    x, y = right // 2, bottom // 2
    return {
        "nowe:20:10": (20, 10),
        "noea:20:10": (right - 20, 10),
        "sowe:20:10": (20, bottom - 10),
        "soea:20:10": (right - 20, bottom - 10),
        "no:14:10": (x + 14, 10),
        "so:14:10": (x + 14, bottom - 10),
        "we:20:6": (20, y + 6),
        "ea:20:6": (right - 20, y + 6),
        "ce:14:-6": (x + 14, y - 6),
        "ce:0.1:0.2": (x + width // 10, y + height // 5),
        "fp:0.25:0.75": (min(max(width // 4 - 50, 0), right), min(max(height * 3 // 4 - 40, 0), bottom)),
    }


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("flips", ["0:0", "1:0", "0:1", "1:1"])
def test_crops_are_cut_where_the_upright_turned_picture_has_them(n: int, angle: int, flips: str) -> None:
    final = turned(opened(charts.oriented(1, ".png")), angle, flips)
    for gravity, (left, top) in places(final.width, final.height).items():
        result = rendered(charts.oriented(n, ".png"), f"c:100:80:{gravity}/rot:{angle}/fl:{flips}")
        difference = largest((result - final.crop(left, top, 100, 80)).abs())
        assert difference == 0, f"{gravity} of orientation {n} turned by {angle} and flipped {flips}"


def turned(image: pyvips.Image, angle: int, flips: str) -> pyvips.Image:
    image = image.rot(f"d{angle}")
    image = image.fliphor() if flips[0] == "1" else image
    return image.flipver() if flips[2] == "1" else image


@pytest.mark.parametrize(("n", "angle"), list(product(range(1, 9), (0, 90, 180, 270))))
def test_result_crops_are_cut_from_the_turned_picture(n: int, angle: int) -> None:
    final = turned(opened(charts.oriented(1, ".png")), angle, "0:0")
    wide = final.width > final.height
    # Scaled to the source's own size, so that only the crop changes anything.
    box, left, top = ("200:200", 83, 0) if wide else ("200:200", 0, 83)
    gravity = "ea:17:0" if wide else "so:0:17"
    result = rendered(charts.oriented(n, ".png"), f"rs:fill:{box}/g:{gravity}/rot:{angle}")
    assert largest((result - final.crop(left, top, 200, 200)).abs()) == 0


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png"])
def test_crops_of_large_sources_are_not_displaced_by_shrinking_on_load(suffix: str) -> None:
    quality = {".jpg": {"Q": 90}, ".webp": {"Q": 90}}.get(suffix, {})
    source = charts.quadrants(3000, 2000, suffix, **quality)
    result = rendered(source, "c:1600:1200:nowe:310:210/w:200")
    expected = opened(charts.quadrants(3000, 2000)).crop(310, 210, 1600, 1200).resize(1 / 8)
    assert (result - expected).abs().avg() < 4
    # One pixel aside, the difference is more than twice that.
    aside = opened(charts.quadrants(3000, 2000)).crop(318, 218, 1600, 1200).resize(1 / 8)
    assert (result - aside).abs().avg() > 1.5 * (result - expected).abs().avg()


def test_alpha_leaves_no_fringes() -> None:
    for options in ("w:100", "w:37", "rs:fit:900:900:1", "w:100/bl:3", "w:100/sh:2", "w:100/pix:6"):
        image = rendered(charts.alpha_disc(), options)
        solid = image[3] > 16
        # Orange, wherever there is something to see: neither magenta (blue) nor black shines through.
        assert largest(solid.ifthenelse(image[2], 0)) < 90, options
        # Sharpening makes its own halos, as in imgproxy: it works on premultiplied colours.
        assert "sh" in options or smallest(solid.ifthenelse(image[0], 255)) > 180, options


def test_formats_follow_source_request_and_client() -> None:
    jpeg, png, webp = (charts.quadrants(100, 80, suffix) for suffix in (".jpg", ".png", ".webp"))
    assert render(jpeg).format is JPEG
    assert render(png).format is PNG
    assert render(webp).format is JPEG  # not preferred, and opaque
    assert render(charts.alpha_disc(60, ".webp")).format is PNG
    assert render(charts.alpha_disc(60, ".webp"), "bg:fff").format is JPEG
    assert render(webp, "pd:3").format is PNG
    assert render(charts.counter()).format is GIF
    assert render(charts.counter(suffix=".webp"), max_animation_frames=9).format is GIF
    assert render(jpeg, accept="image/webp", auto_webp=True).format is WEBP
    assert render(jpeg, accept="image/webp,image/avif", auto_webp=True, auto_avif=True).format is AVIF
    assert render(jpeg, "f:png", accept="image/webp", auto_webp=True).format is PNG
    assert render(jpeg, "f:png", accept="image/webp", enforce_webp=True).format is WEBP
    both = {"accept": "image/webp,image/avif", "auto_webp": True, "auto_avif": True}
    assert render(charts.counter(), **both, max_animation_frames=9).format is WEBP  # AVIF would lose the motion


def test_small_avif_becomes_png_or_jpeg() -> None:
    assert render(charts.quadrants(100, 80), "w:15/f:avif").format is JPEG
    assert render(charts.alpha_disc(100), "w:15/f:avif").format is PNG
    assert render(charts.quadrants(100, 100), "w:16/f:avif").format is AVIF
    deep = render(charts.deep(), "w:60/ph:1/f:avif")  # 60 x 15
    assert deep.format is JPEG
    assert opened(deep.body)[0].avg() == pytest.approx(128, abs=4)


@pytest.mark.parametrize(
    ("format_", "source", "expected"),
    [
        ("webp", (17000, 20), (16383, 19)),
        ("avif", (17000, 40), (16384, 38)),
        ("gif", (66000, 2), (65535, 1)),
        ("jpg", (66000, 2), (65500, 1)),
        ("png", (66000, 2), (66000, 2)),
    ],
)
def test_results_fit_into_their_format(format_: str, source: tuple[int, int], expected: tuple[int, int]) -> None:
    result = render(charts.grey(*source), f"f:{format_}")
    assert size(result) == expected
    image = opened(result.body)
    assert (image.width, image.height) == expected


def test_listed_formats_pass_as_they_are() -> None:
    gif = charts.counter(3)
    result = render(gif, "skp:gif:png/w:20")
    assert (result.body, result.format, result.frames, size(result)) == (gif, GIF, 3, (160, 120))
    assert render(gif, "skp:gif/f:gif/w:20").body == gif
    assert render(gif, "skp:gif/f:png/w:20").format is PNG
    assert render(gif, "skp:png/w:20").width == 20
    assert render(gif, "w:20", skip_processing_formats="gif").body == gif


def test_svg_stays_svg_unless_pixels_are_asked_for() -> None:
    drawing = charts.svg().replace(b"<path", b"<script>alert(1)</script><path")
    for options in ("", "w:50", "f:svg", "skp:svg"):
        result = render(drawing, options)
        assert result.format is SVG
        assert b"script" not in result.body
        assert b"<path" in result.body
    assert render(drawing, "f:png").format is PNG
    assert render(drawing, always_rasterize_svg=True).format is PNG
    assert render(drawing, "f:svg", always_rasterize_svg=True).format is SVG
    assert render(drawing, accept="image/webp", enforce_webp=True).format is SVG


def test_svg_cannot_be_made_from_pixels() -> None:
    with pytest.raises(UnsupportedFormat, match="from png"):
        render(charts.quadrants(30, 20), "f:svg")


def test_vectors_are_sharp_at_any_size() -> None:
    large = rendered(charts.svg(30, 20), "w:600")
    assert (large.width, large.height) == (600, 400)
    edge = large.crop(290, 20, 20, 1)  # from red to green within two pixels
    assert sum(edge(x, 0)[:3] not in ([214, 69, 65], [63, 160, 90]) for x in range(20)) <= 2


def test_animations_keep_delays_and_loop() -> None:
    for suffix in (".gif", ".webp"):
        source = charts.counter(4, suffix, 70, 3)
        for format_ in ("gif", "webp"):
            result = render(source, f"w:80/f:{format_}", max_animation_frames=10)
            image = opened(result.body, n=-1)
            assert result.frames == image.get("n-pages") == 4
            assert image.get("delay") == [70] * 4
            assert image.get("loop") == 3
            assert (result.width, result.height) == (80, 60) == (image.width, image.get("page-height"))


def test_delays_that_are_missing_are_40_ms() -> None:
    # libvips' own loaders always name some; others may not.
    stack = opened(charts.counter(3), n=-1).copy()
    stack.remove("delay")
    size = Size(160, 120)
    asked = plan()
    scene = Scene(asked, WEBP, Turn(), solve(size, wish(asked)), size, None)
    assert pipeline._animation(stack, scene, 3).get("delay") == [40, 40, 40]


def test_frames_beyond_the_limit_are_cut() -> None:
    assert render(charts.counter(7), "f:webp", max_animation_frames=4).frames == 4
    assert opened(render(charts.counter(7), "f:webp", max_animation_frames=4).body).get("n-pages") == 4
    assert render(charts.counter(7), "maf:2/f:gif", allow_security_options=True, max_animation_frames=4).frames == 2
    assert render(charts.counter(7), "f:gif").frames == 1
    assert render(charts.counter(7), "f:png", max_animation_frames=4).frames == 1
    still = opened(render(charts.counter(7), "f:gif").body)
    assert not still.get_typeof("delay") or still.get("n-pages") == 1


def test_smart_crop_of_an_animation_does_not_jump() -> None:
    source = charts.counter(4)
    first = rendered(source, "rs:fill:60:60/g:sm")
    result = render(source, "rs:fill:60:60/g:sm/f:gif", max_animation_frames=9)
    frame = opened(result.body, n=-1).crop(0, 0, 60, 60)[:3]
    assert (frame - first[:3]).abs().avg() < 3
    assert render(source, "c:50:50:sm/f:gif", max_animation_frames=9).frames == 4


def size(result: Rendition) -> tuple[int, int]:
    return result.width, result.height


@pytest.mark.parametrize("options", ["rs:force:60000:60000:1", "pd:100000", "z:1000:1000/el:1", "s:30000:30000:0:1"])
def test_a_result_of_too_many_pixels_is_refused_before_it_is_made(options: str) -> None:
    with pytest.raises(ResultTooLarge, match=r"pixels and takes about .* are allowed"):
        render(charts.quadrants(), options)
