"""Sizes and places: against an independent statement of the rules, by laws, and by hand where a rule has a trap."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imgproxy import geometry
from imgproxy.geometry import Anchor, Fit, Geometry, Gravity, Sides, Size, Turn, Wish, place, reduced, solve
from tests.geometry_statement import Asked, Stated, away, even, seen_box, state, turn

SEED = 20_261_122
COMPASS = [each for each in Anchor if each not in {Anchor.SMART, Anchor.FOCUS, Anchor.REPLICATE}]
FLIPS = list(product((False, True), repeat=2))


def turn_of(asked: Asked) -> Turn:
    exif = Turn.exif(asked.exif)
    return Turn(exif.exif_angle, exif.exif_flip, asked.rotate, *asked.flip)


def solved(asked: Asked) -> Geometry:
    wish = Wish(
        fit=Fit(asked.fit),
        width=asked.width,
        height=asked.height,
        enlarge=asked.enlarge,
        min_width=asked.min_width,
        min_height=asked.min_height,
        zoom_x=asked.zoom[0],
        zoom_y=asked.zoom[1],
        dpr=asked.dpr,
        crop_width=asked.crop[0],
        crop_height=asked.crop[1],
        extend=asked.extend,
        extend_ratio=asked.extend_ratio,
        padding=Sides(*asked.padding),
        max_side=asked.max_side,
    )
    return solve(turn_of(asked).final(Size(*asked.stored)), wish, vector=asked.vector)


def stored_crop(asked: Asked) -> tuple[int, int, int, int]:
    """The crop box in the stored image, by the code under test."""
    way = turn_of(asked)
    stored = Size(*asked.stored)
    crop = solved(asked).crop
    final = way.final(stored)
    box = Size(crop.width or final.width, crop.height or final.height).within(final)
    box = box.swapped if way.swaps else box
    gravity = way.stored(Gravity(Anchor(asked.gravity[0]), *asked.gravity[1:]))
    return *place(stored, box, gravity), box.width, box.height


def questions(dice: random.Random, count: int) -> list[Asked]:
    """Random questions, small and odd numbers preferred: that is where rounding goes wrong."""

    def side() -> int:
        return dice.choice((dice.randint(1, 12), dice.randint(1, 300), dice.randint(1, 9000)))

    def wish() -> int:
        return dice.choice((0, side(), side(), dice.choice((100, 200, 320, 640))))

    def factor() -> float:
        return dice.choice((1.0, 1.0, 0.5, 2.0, 3.0, 1.5, round(dice.uniform(0.05, 4), 2)))

    def cut() -> float:
        return dice.choice((0.0, 0.0, 1.0, 1.5, float(side()), round(dice.uniform(0.001, 0.999), 3)))

    def offset() -> float:
        small = dice.uniform(-1, 1)
        return dice.choice((0.0, float(dice.randint(-40, 40)), small, dice.uniform(-9, 9), 0.5, 0.25, 2.5))

    def gravity() -> tuple[str, float, float]:
        name = dice.choice((*COMPASS, Anchor.FOCUS)).value
        point = dice.choice((0.0, 1.0, 0.5, dice.random())), dice.choice((0.0, 1.0, 0.5, dice.random()))
        return (name, *point) if name == "fp" else (name, offset(), offset())

    def maybe() -> bool:
        return dice.random() < 0.35

    return [
        Asked(
            stored=(side(), side()),
            exif=dice.randint(1, 8),
            rotate=dice.choice((0, 90, 180, 270)),
            flip=(maybe(), maybe()),
            vector=dice.random() < 0.1,
            fit=dice.choice(tuple(Fit)).value,
            width=wish(),
            height=wish(),
            min_width=side() if maybe() else 0,
            min_height=side() if maybe() else 0,
            zoom=(factor(), factor()) if maybe() else (1.0, 1.0),
            dpr=factor(),
            enlarge=maybe(),
            extend=maybe(),
            extend_ratio=maybe(),
            crop=(cut(), cut()) if maybe() else (0.0, 0.0),
            gravity=gravity(),
            padding=tuple(dice.choice((0, 1, 5, 25)) for _ in range(4)) if maybe() else (0, 0, 0, 0),  # pyright: ignore[reportArgumentType]
            max_side=dice.choice((1, 50, 200, 1000)) if maybe() else 0,
        )
        for _ in range(count)
    ]


def test_sizes_and_places_are_those_of_the_statement() -> None:
    for asked in questions(random.Random(SEED), 12_000):
        found = solved(asked)
        stated = state(asked)
        assert found.crop == Size(*stated.crop), asked
        assert found.scaled == Size(*stated.scaled), asked
        assert found.result_crop == Size(*stated.result_crop), asked
        assert found.canvas == Size(*stated.canvas), asked
        assert found.dpr == stated.dpr, asked
        assert stored_crop(asked) == stated.box, asked


# ---- laws

sides = st.integers(1, 5000)
wishes = st.integers(0, 3000)
factors = st.floats(0.05, 8)
cuts = st.one_of(st.just(0.0), st.floats(0.001, 1), st.integers(1, 5000).map(float))
asks = st.builds(
    Wish,
    fit=st.sampled_from(Fit),
    width=wishes,
    height=wishes,
    enlarge=st.booleans(),
    min_width=st.one_of(st.just(0), wishes),
    min_height=st.one_of(st.just(0), wishes),
    zoom_x=factors,
    zoom_y=factors,
    dpr=factors,
    crop_width=cuts,
    crop_height=cuts,
    extend=st.booleans(),
    extend_ratio=st.booleans(),
    padding=st.builds(Sides, *[st.integers(0, 100)] * 4),
    max_side=st.one_of(st.just(0), sides),
)
sources = st.builds(Size, sides, sides)


@given(sources, asks, st.booleans())
def test_nothing_is_below_one_pixel(source: Size, wish: Wish, vector: bool) -> None:
    found = solve(source, wish, vector=vector)
    for size in (found.scaled, found.cropped, found.canvas):
        assert min(size.width, size.height) >= 1


@given(sources, asks)
def test_an_infinitesimal_or_giant_wish_is_answered_with_numbers(source: Size, wish: Wish) -> None:
    tiny = 1e-15  # the smallest number that a URL can say
    for x, y, dpr in product((tiny, 1e15), repeat=3):
        asked = Wish(zoom_x=x, zoom_y=y, dpr=dpr, enlarge=wish.enlarge, min_width=wish.min_width, width=wish.width)
        assert solve(source, asked).scaled.width >= 1


@given(sources, st.sampled_from((Fit.FIT, Fit.FILL, Fit.FILL_DOWN, Fit.AUTO, Fit.FORCE)), sides, sides, st.booleans())
def test_the_result_is_inside_the_box(source: Size, fit: Fit, width: int, height: int, enlarge: bool) -> None:
    found = solve(source, Wish(fit=fit, width=width, height=height, enlarge=enlarge))
    assert found.canvas.width <= width
    assert found.canvas.height <= height


@given(sources, sides, sides)
def test_fill_with_enlarge_and_force_with_enlarge_are_the_box(source: Size, width: int, height: int) -> None:
    for fit in (Fit.FILL, Fit.FORCE):
        assert solve(source, Wish(fit=fit, width=width, height=height, enlarge=True)).canvas == Size(width, height)


@given(sources, st.sampled_from((Fit.FIT, Fit.FILL, Fit.FILL_DOWN, Fit.AUTO)), wishes, wishes, st.booleans())
def test_scaling_keeps_the_ratio_to_a_pixel(source: Size, fit: Fit, width: int, height: int, enlarge: bool) -> None:
    scaled = solve(source, Wish(fit=fit, width=width, height=height, enlarge=enlarge)).scaled
    if scaled.width == 1 or scaled.height == 1:
        return  # "never below 1 px" goes before the ratio
    across, down = scaled.width / source.width, scaled.height / source.height
    # One factor for both sides, each rounded to half a pixel.
    assert abs(across - down) <= 0.5 / source.width + 0.5 / source.height + 1e-9


@given(sources, st.sampled_from(Fit), wishes, wishes, factors)
def test_without_enlarge_nothing_grows(source: Size, fit: Fit, width: int, height: int, dpr: float) -> None:
    scaled = solve(source, Wish(fit=fit, width=width, height=height, dpr=dpr)).scaled
    assert scaled.within(source) == scaled


@given(sources, wishes, wishes, sides, sides)
def test_min_sizes_are_reached_whatever_enlarge_says(
    source: Size, width: int, height: int, least: int, lowest: int
) -> None:
    scaled = solve(source, Wish(width=width, height=height, min_width=least, min_height=lowest)).scaled
    assert scaled.width >= least
    assert scaled.height >= lowest


@given(sources, asks)
def test_the_longest_side_is_respected(source: Size, wish: Wish) -> None:
    # The ratio of a box of a few pixels is too coarse for more than this: imgproxy scales once, and so do we.
    assume(not wish.extend_ratio)
    canvas = solve(source, wish).canvas
    # Padding is rounded on each side, and the image is not scaled below one pixel.
    assert not wish.max_side or max(canvas.width, canvas.height) <= wish.max_side + 3


@given(sources, asks)
def test_extend_reaches_the_box(source: Size, wish: Wish) -> None:
    assume(wish.extend)
    found = solve(source, wish)
    for side in ("width", "height"):
        assert getattr(found.canvas, side) >= getattr(found.extend, side)


@given(sources, asks)
def test_after_extend_the_ratio_is_already_that_of_the_box(source: Size, wish: Wish) -> None:
    assume(wish.extend)
    found = solve(source, wish)
    assert found.extend_ratio.within(found.extend) == found.extend_ratio


@given(sources, st.sampled_from(Fit), sides, sides)
def test_extend_ratio_has_the_ratio_of_the_box(source: Size, fit: Fit, width: int, height: int) -> None:
    found = solve(source, Wish(fit=fit, width=width, height=height, extend_ratio=True))
    canvas = found.canvas
    assert abs(canvas.width - canvas.height * width / height) <= max(1, width / height)
    assert found.cropped.within(canvas) == found.cropped


@given(
    sources,
    sources,
    st.sampled_from(Anchor),
    st.floats(-9000, 9000),
    st.floats(-9000, 9000),
    factors,
)
def test_places_are_inside(outer: Size, inner: Size, anchor: Anchor, x: float, y: float, dpr: float) -> None:
    inner = inner.within(outer)
    left, top = place(outer, inner, Gravity(anchor, x, y), dpr)
    assert 0 <= left <= outer.width - inner.width
    assert 0 <= top <= outer.height - inner.height


@given(sources, sources, st.sampled_from(Anchor), st.floats(-9000, 9000), st.floats(-9000, 9000))
def test_overhanging_places_leave_a_pixel_visible(outer: Size, inner: Size, anchor: Anchor, x: float, y: float) -> None:
    left, top = place(outer, inner, Gravity(anchor, x, y), overhang=True)
    assert left < outer.width
    assert top < outer.height
    assert left + inner.width > 0
    assert top + inner.height > 0


# ---- turning


@pytest.mark.parametrize("exif", range(1, 9))
def test_exif_is_undone_as_the_standard_draws_it(exif: int) -> None:
    """The turn, made with quarter turns and a mirror, puts every pixel where EXIF 2.3 says."""
    way = Turn.exif(exif)
    width, height = 4, 3
    for x, y in product(range(width), range(height)):
        seen, size = (x, y), (width, height)
        for _ in range(way.exif_angle // 90):
            seen, size = (size[1] - 1 - seen[1], seen[0]), size[::-1]
        if way.exif_flip:
            seen = size[0] - 1 - seen[0], seen[1]
        assert seen == turn(x, y, width, height, exif, 0, (False, False))
        assert way.final(Size(width, height)) == Size(*size)


@pytest.mark.parametrize("exif", [0, 9, -1])
def test_an_orientation_that_is_none_counts_as_upright(exif: int) -> None:
    assert Turn.exif(exif).nothing
    assert not Turn(angle=90).nothing


@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("exif", range(1, 9))
def test_a_turned_crop_keeps_its_meaning(exif: int, rotate: int, flip: tuple[bool, bool]) -> None:
    """Cut from the stored image, looked at in the final one: edges exact, centres to the rounding of a half pixel."""
    for anchor, x, y in product((*COMPASS, Anchor.FOCUS), (0.0, 0.1, 7.0, -3.0), (0.0, 0.2, 11.0, -5.0)):
        if anchor is Anchor.FOCUS and not (0 <= x <= 1 and 0 <= y <= 1):
            continue
        asked = Asked((90, 61), exif, rotate, flip, crop=(30.0, 20.0), gravity=(anchor.value, x, y))
        final = turn_of(asked).final(Size(*asked.stored))
        left, top, width, height = seen_box(stored_crop(asked), asked)
        meant = place(final, Size(30, 20), Gravity(anchor, x, y))
        assert (width, height) == (30, 20)
        # The middle is placed at (W - w + 1) / 2, which is one or two pixels elsewhere when looked at from behind.
        loose = 2 if anchor is Anchor.FOCUS else 0
        assert abs(left - meant[0]) <= (2 if anchor in {"ce", "no", "so"} else loose), (anchor, x, y)
        assert abs(top - meant[1]) <= (2 if anchor in {"ce", "ea", "we"} else loose), (anchor, x, y)


@given(
    st.sampled_from((*COMPASS, Anchor.FOCUS)),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
    st.booleans(),
)
def test_flips_undo_themselves(anchor: Anchor, x: float, y: float, across: bool, down: bool) -> None:
    way = Turn(flip_horizontal=across, flip_vertical=down)
    again = way.stored(way.stored(Gravity(anchor, x, y)))
    assert again.anchor is anchor
    assert (again.x, again.y) == pytest.approx((x, y))


# ---- by hand


@pytest.mark.parametrize(
    ("source", "wish", "canvas"),
    [
        ((1000, 500), {"width": 300}, (300, 150)),
        ((1000, 500), {"height": 100}, (200, 100)),
        ((1000, 500), {"width": 300, "height": 300}, (300, 150)),
        ((1000, 500), {"width": 300, "height": 300, "fit": Fit.FILL}, (300, 300)),
        ((1000, 500), {"width": 300, "height": 300, "fit": Fit.FORCE}, (300, 300)),
        ((1000, 500), {"width": 300, "fit": Fit.FORCE}, (300, 500)),
        ((1000, 500), {"width": 300, "height": 200, "fit": Fit.AUTO}, (300, 200)),  # both lie: fill
        ((1000, 500), {"width": 200, "height": 300, "fit": Fit.AUTO}, (200, 100)),  # one stands: fit
        ((500, 500), {"width": 300, "height": 200, "fit": Fit.AUTO}, (300, 200)),  # a square lies
        ((1000, 500), {"width": 2000}, (1000, 500)),
        ((1000, 500), {"width": 2000, "enlarge": True}, (2000, 1000)),
        ((1000, 500), {"width": 2000, "height": 2000, "fit": Fit.FILL}, (1000, 500)),
        ((1000, 500), {"width": 2000, "height": 2000, "fit": Fit.FILL_DOWN}, (500, 500)),
        ((1000, 500), {"width": 200, "height": 800, "fit": Fit.FILL_DOWN}, (125, 500)),
        ((1000, 500), {"width": 2000, "height": 2000, "fit": Fit.FILL_DOWN, "enlarge": True}, (2000, 2000)),
        # the minimum decides the scale, and the box is still cropped to
        ((1000, 500), {"width": 100, "min_width": 400}, (100, 200)),
        ((100, 50), {"min_height": 100}, (200, 100)),
        ((1000, 500), {"width": 100, "zoom_x": 2.0, "zoom_y": 2.0}, (200, 100)),
        ((1000, 500), {"width": 100, "dpr": 2.0, "padding": Sides(5, 10, 0, 1)}, (222, 110)),
        # dpr without enlarge shrinks silently, and padding uses what is left of it
        ((1000, 500), {"width": 800, "dpr": 2.0, "padding": Sides(0, 0, 0, 10)}, (1012, 500)),
        # with extend the composition stays as it was meant
        ((100, 50), {"width": 400, "height": 400, "dpr": 2.0, "extend": True}, (400, 400)),
        ((1000, 500), {"width": 300, "height": 300, "extend": True}, (300, 300)),
        ((100, 50), {"width": 300, "extend": True}, (300, 50)),  # an empty dimension is not extended
        ((100, 50), {"width": 400, "height": 400, "extend_ratio": True}, (100, 100)),
        ((1000, 500), {"width": 200, "height": 400, "extend_ratio": True}, (200, 400)),
        ((1000, 500), {"width": 300, "extend_ratio": True}, (300, 150)),  # needs both
        ((1000, 500), {"crop_width": 0.5, "crop_height": 100.0}, (500, 100)),
        ((1000, 500), {"crop_width": 9999.0}, (1000, 500)),  # clamped to the image
        ((1000, 500), {"crop_width": 0.0001}, (1, 500)),
        ((1000, 500), {"max_side": 100}, (100, 50)),
        ((1000, 500), {"max_side": 100, "padding": Sides(left=1000)}, (100, 25)),
        ((1000, 1), {"width": 10}, (10, 1)),
        # what rounds to nothing is still asked for
        ((10, 10), {"width": 1000, "height": 10, "fit": Fit.FILL_DOWN}, (10, 1)),
        ((10, 10), {"width": 1, "height": 10, "fit": Fit.FILL, "dpr": 0.3}, (1, 3)),
        ((1, 5000), {"width": 3000, "height": 1, "fit": Fit.FILL, "enlarge": True, "max_side": 100}, (100, 1)),
    ],
)
def test_canvas(source: tuple[int, int], wish: dict[str, object], canvas: tuple[int, int]) -> None:
    assert solve(Size(*source), Wish(**wish)).canvas == Size(*canvas)  # pyright: ignore[reportArgumentType]


def test_a_vector_image_is_always_enlarged() -> None:
    assert solve(Size(100, 50), Wish(width=400), vector=True).canvas == Size(400, 200)


@pytest.mark.parametrize(
    ("number", "rounded"),
    [
        (0.5, 1),
        (1.5, 2),
        (2.5, 3),
        (-0.5, -1),
        (-2.5, -3),
        (0.49999999999999994, 0),
        (2.4, 2),
        (0.0, 0),
        (1e20, 10**20),
    ],
)
def test_sizes_round_half_away_from_zero(number: float, rounded: int) -> None:
    assert geometry.round_half_away(number) == rounded


@given(st.floats(-1e12, 1e12))
@settings(max_examples=500)
def test_both_roundings_agree_with_decimals(number: float) -> None:
    assert geometry.round_half_away(number) == away(number)
    assert geometry.scale_to_even(number, 1) == even(number)


@pytest.mark.parametrize(
    ("gravity", "left", "top"),
    [
        (Gravity(), 2, 1),  # (9 - 6 + 1) / 2; (6 - 5 + 1) / 2
        (Gravity(x=1, y=-1), 3, 0),
        (Gravity(Anchor.NORTH_WEST, 1, 1), 1, 1),
        (Gravity(Anchor.SOUTH_EAST, 1, 1), 2, 0),  # pushed inwards
        (Gravity(Anchor.EAST, 0.12, 0), 2, 1),  # a share of 9 px
        (Gravity(Anchor.NORTH, 0, 0), 2, 0),
        (Gravity(Anchor.SOUTH, -1, 0), 1, 1),
        (Gravity(Anchor.WEST, 99, 0), 3, 1),  # kept inside
        (Gravity(Anchor.FOCUS, 0.5, 0.5), 1, 1),  # even(4.5) - 3; 3 - 2
        (Gravity(Anchor.FOCUS, 1.0, 0.0), 3, 0),
    ],
)
def test_place(gravity: Gravity, left: int, top: int) -> None:
    assert place(Size(9, 6), Size(6, 5), gravity) == (left, top)


@pytest.mark.parametrize(("spare", "start"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 4)])
def test_the_middle_is_rounded_half_to_even_after_adding_one(spare: int, start: int) -> None:
    assert place(Size(10 + spare, 10), Size(10, 10), Gravity()) == (start, 0)


def test_offsets_in_pixels_grow_with_dpr_and_shares_do_not() -> None:
    assert place(Size(100, 100), Size(10, 10), Gravity(Anchor.NORTH_WEST, 5, 0.5), 2.0) == (10, 50)
    assert geometry.offsets(Size(100, 100), Gravity(x=2.5, y=0.025)) == (2, 2)


def test_a_watermark_may_hang_over_each_edge() -> None:
    outer, inner = Size(100, 100), Size(20, 20)
    assert place(outer, inner, Gravity(Anchor.NORTH_WEST, -10, -99), overhang=True) == (-10, -19)
    assert place(outer, inner, Gravity(Anchor.SOUTH_EAST, -10, -99), overhang=True) == (90, 99)


def test_the_statement_can_say_nothing_about_a_smart_crop() -> None:
    assert isinstance(state(Asked((10, 10), crop=(5.0, 5.0), gravity=("sm", 0, 0))), Stated)
    assert state(Asked((10, 10), crop=(5.0, 5.0), gravity=("sm", 0, 0))).box is None


@given(
    st.builds(Size, st.integers(1, 4000), st.integers(1, 4000)),
    st.builds(
        Wish,
        fit=st.sampled_from(Fit),
        width=st.integers(0, 4000),
        height=st.integers(0, 4000),
        extend=st.booleans(),
        padding=st.builds(Sides, *[st.integers(0, 50)] * 4),
    ),
    st.integers(1, 300),
)
def test_reduced_is_the_same_composition_in_fewer_pixels(source: Size, wish: Wish, longest: int) -> None:
    whole = solve(source, wish)
    small = reduced(whole, longest)
    if max(whole.canvas.width, whole.canvas.height) <= longest:
        assert small is whole
        return
    factor = longest / max(whole.canvas.width, whole.canvas.height)
    assert small.crop == whole.crop
    assert small.dpr == whole.dpr * factor
    for one, other in ((small.canvas, whole.canvas), (small.scaled, whole.scaled), (small.cropped, whole.cropped)):
        assert min(one.width, one.height) >= 1
        # Each of picture and two paddings is rounded, and none of the picture's sides vanishes.
        assert abs(one.width - other.width * factor) <= 2
        assert abs(one.height - other.height * factor) <= 2
    assert (small.extend == Size(0, 0)) is (whole.extend == Size(0, 0))
