"""What renders look like: each example of each option, and what options alone do not show. See tests/golden.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgproxy.options import (
    OPTIONS,
    AutoRotate,
    Background,
    Blur,
    Placeholder,
    StripColorProfile,
    Trim,
    Watermark,
)
from tests import charts
from tests.golden import GOLDENS, path_of
from tests.placeholders import shown
from tests.render.rendering import opened, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgproxy.options.base import Option
    from tests.golden import Golden

CHARTS: dict[type[Option], Callable[[], bytes]] = {
    Trim: charts.framed,
    AutoRotate: lambda: charts.oriented(6, ".png"),
    Background: charts.alpha_disc,
    Blur: charts.alpha_disc,
    StripColorProfile: charts.wide,
}
"""What an option's examples are rendered from; the quadrants where nothing is said."""

EXAMPLES = [(option, segment) for option in OPTIONS if option.effect == "pixels" for segment in option.examples]


def folder(option: type[Option]) -> str:
    return option.spellings[0].names[0]


@pytest.mark.parametrize(("option", "segment"), EXAMPLES, ids=[segment for _, segment in EXAMPLES])
def test_example_looks_like_its_golden(option: type[Option], segment: str, golden: Golden) -> None:
    source = CHARTS.get(option, charts.quadrants)()
    result = render(source, f"{segment}/f:png", mark=charts.mark() if option is Watermark else None)
    assert golden.matches(segment, shown(result.body) if option is Placeholder else result.body, folder(option))


@pytest.mark.parametrize("fmt", [".jpg", ".png"])
@pytest.mark.parametrize("n", range(1, 9))
def test_every_orientation_comes_upright(n: int, fmt: str, golden: Golden) -> None:
    # One golden for all: whatever the tag was, the picture is the same. JPEG blocks that were turned round
    # differently at the edges of letters, so only what is lossless is compared with the golden's pixels.
    result = opened(render(charts.oriented(n, fmt), "f:png").body)
    if fmt == ".jpg":
        upright = opened(charts.oriented(1, ".png"))
        assert (result.width, result.height) == (300, 200)
        assert (result - upright).abs().avg() < 2
    else:
        assert golden.matches("upright", result.pngsave_buffer(), "orientation")


SIGHTS: dict[str, tuple[Callable[[], bytes], str]] = {
    # name: source, options
    "cmyk-to-srgb": (charts.cmyk, "w:300"),
    "p3-to-srgb": (lambda: charts.p3(".png"), "w:300"),
    "p3-jpeg-to-srgb": (charts.p3, "w:300"),
    "grey": (charts.grey, "rs:fill:150:150"),
    "grey-on-a-colour": (charts.grey, "w:150/pd:10/bg:ffcc00"),
    "16-bit": (charts.deep, "w:256"),
    "16-bit-kept": (charts.deep, "w:256/ph:1"),
    "16-bit-grey-kept": (lambda: charts.deep(1), "w:256/ph:1"),
    "16-bit-padded": (charts.deep, "w:256/ph:1/pd:10/bg:ff8000"),
    "palette": (charts.palette, "w:300"),
    "palette-resized": (charts.palette, "w:120"),
    "first-frame-of-a-gif": (charts.counter, "w:160"),
    "svg": (charts.svg, "w:300"),
    "svg-enlarged": (charts.svg, "w:700"),
    "svg-cropped": (charts.svg, "c:100:100:nowe/rs:fit:200:200"),
    "alpha-resized": (charts.alpha_disc, "rs:fit:100:100"),
    "alpha-enlarged": (lambda: charts.alpha_disc(60), "rs:fit:240:240:1"),
    "alpha-on-white": (charts.alpha_disc, "rs:fit:100:100/bg:fff"),
    "alpha-on-black": (charts.alpha_disc, "rs:fit:100:100/bg:000"),
    "alpha-sharpened": (charts.alpha_disc, "rs:fit:100:100/sh:2"),
    "alpha-pixelated": (charts.alpha_disc, "rs:fit:100:100/pix:10"),
    "alpha-extended": (charts.alpha_disc, "rs:fit:100:100/ex:1:no/w:140/h:140"),
    "dpr-padding-extend": (charts.quadrants, "rs:fit:200:200/ex:1:so:0:10/dpr:2/pd:10:20:30:40/bg:ffcc00"),
    "dpr-beyond-the-source": (lambda: charts.quadrants(300, 200), "rs:fit:200:200/dpr:3/pd:20/bg:ffcc00"),
    "dpr-beyond-the-source-extended": (
        lambda: charts.quadrants(300, 200),
        "rs:fit:200:200/ex:1/dpr:3/pd:20/bg:ffcc00",
    ),
    "crop-of-one-who-lies-on-his-side": (lambda: charts.oriented(6, ".png"), "c:150:100:soea"),
    "crop-offset-turned": (lambda: charts.oriented(6, ".png"), "c:100:100:nowe:20:10/rot:90/fl:1"),
    "fill-of-one-who-lies-on-his-side": (lambda: charts.oriented(8, ".png"), "rs:fill:100:150/g:we"),
    "trim-equal": (charts.framed, "t:10::1:1/w:180"),
    "trim-transparency": (charts.alpha_disc, "t:10:ff00ff"),
    "min-size-of-a-crop": (charts.quadrants, "c:100:100:nowe/mw:250"),
    "fill-down-offset": (charts.quadrants, "rs:fill-down:800:300/g:noea:10:10"),
    "one-pixel-enlarged": (charts.tiny, "rs:fill:40:30:1"),
    "three-pixels-enlarged": (lambda: charts.tiny(3), "rs:force:60:60:1"),
    "everything": (
        lambda: charts.oriented(5, ".png"),
        "c:260:180:ce/rs:fill:200:120/g:noea:5:5/rot:270/fl:0:1/bl:0.6/pd:8/bg:123456",
    ),
}
"""What options alone do not show: kinds of sources, and options together."""


@pytest.mark.parametrize("name", SIGHTS)
def test_sight_looks_like_its_golden(name: str, golden: Golden) -> None:
    source, options = SIGHTS[name]
    assert golden.matches(name, render(source(), f"{options}/f:png").body, "sights")


MARKS = {
    # name: source, options
    "natural-size": (charts.quadrants, "w:300/wm:1"),
    "half": (charts.quadrants, "w:300/wm:0.5"),
    "share": (charts.quadrants, "w:300/wm:1:ce:0:0:0.5"),
    "share-above-one": (charts.quadrants, "w:100/wm:1:ce:0:0:1.5"),
    "offset-in-shares": (charts.quadrants, "w:300/wm:1:soea:0.1:0.1:0.3"),
    "overhang": (charts.quadrants, "w:300/wm:1:nowe:-60:-24"),
    "offset-times-dpr": (charts.quadrants, "w:150/dpr:2/wm:1:nowe:20:10:0.3"),
    "tiles": (charts.quadrants, "w:300/wm:1:re:0:0:0.25"),
    "tiles-with-gaps": (charts.quadrants, "w:300/wm:1:re:30:10:0.25"),
    "on-transparency": (charts.alpha_disc, "w:200/wm:1"),
    "on-padding": (charts.quadrants, "w:200/pd:30/bg:ffcc00/wm:1:soea"),
    "on-grey": (charts.grey, "w:200/wm:1"),
    "on-16-bit": (charts.deep, "w:256/ph:1/wm:1"),
}


@pytest.mark.parametrize("name", MARKS)
def test_watermark_looks_like_its_golden(name: str, golden: Golden) -> None:
    source, options = MARKS[name]
    assert golden.matches(name, render(source(), f"{options}/f:png", mark=charts.mark()).body, "watermarks")


@pytest.mark.parametrize("source", [".gif", ".webp"])
def test_animation_looks_like_its_goldens_frame_by_frame(source: str, golden: Golden) -> None:
    options = "rs:fill:80:80/rot:90/pd:4/bg:ffcc00/wm:1:soea:0:0:0.5/f:webp/q:100"
    chart = charts.counter(3, source)
    result = render(chart, options, mark=charts.mark(), max_animation_frames=10)
    stills = [
        render(page(chart, n), options.replace("webp", "png"), mark=charts.mark()).body for n in range(result.frames)
    ]
    assert result.frames == 3
    animation = opened(result.body, n=-1)
    for n, still in enumerate(stills):
        assert golden.matches(f"frame-{n + 1}", still, "animation")
        frame = animation.crop(0, n * result.height, result.width, result.height)
        # WebP loses a little; another frame, or none, is far away.
        distances = [(frame[:3] - opened(each)[:3]).abs().avg() for each in stills]
        assert distances[n] < 8
        assert all(distance > 15 for distance in distances if distance != distances[n])


def page(animation: bytes, n: int) -> bytes:
    """One frame as a picture of its own."""
    body: bytes = opened(animation, page=n).pngsave_buffer(keep=0)
    return body


def test_animation_as_gif_is_the_same_picture_frame_by_frame() -> None:
    chart = charts.counter(4)
    result = render(chart, "w:80/f:gif", max_animation_frames=10)
    assert (result.frames, result.width, result.height) == (4, 80, 60)
    animation = opened(result.body, n=-1)
    for n in range(4):
        still = opened(render(page(chart, n), "w:80/f:png").body)
        assert (animation.crop(0, n * 60, 80, 60)[:3] - still[:3]).abs().avg() < 3


def test_no_golden_is_left_over() -> None:
    known = {path_of(folder(option), segment) for option, segment in EXAMPLES}
    known |= {path_of("sights", name) for name in SIGHTS} | {path_of("watermarks", name) for name in MARKS}
    known |= {path_of("animation", f"frame-{n}") for n in (1, 2, 3)} | {path_of("orientation", "upright")}
    assert {path.relative_to(GOLDENS) for path in GOLDENS.glob("*/*.png")} == known
