"""The form's table is complete, and what it says comes back as it was."""

from __future__ import annotations

from typing import Any, cast

import pytest

from imgproxy.errors import BadOption
from imgproxy.options import OPTIONS, Options, Preset, read_segment
from imgproxy.options.base import Setting
from imgproxy.web.playground.controls import (
    CONTROLS,
    GROUPS,
    segments_of,
    settings_of,
    table,
    told,
    untouched,
    values_of,
)


def read(segments: str) -> tuple[Setting, ...]:
    return tuple(
        setting
        for segment in filter(None, segments.split("/"))
        for setting in read_segment(segment.partition(":")[0], segment.split(":")[1:])
    )


def meant(settings: tuple[Setting, ...]) -> Options:
    return Options().merge(settings)


def test_every_field_of_every_option_has_one_control() -> None:
    fields = [(control.option, field) for control in CONTROLS for field in control.spelling.fields]
    assert sorted(map(str, fields)) == sorted(str((option, name)) for option in OPTIONS for name in option.arguments())


def test_the_table_has_what_a_form_needs() -> None:
    rows = cast("list[dict[str, Any]]", table())
    assert len(rows) == len(CONTROLS) - 1
    assert [row["group"] for row in rows] == sorted((row["group"] for row in rows), key=GROUPS.index)
    assert {row["group"] for row in rows} == {*GROUPS}
    for row in rows:
        assert row["help"]
        for field in row["fields"]:
            assert field["kind"] in {"bool", "number", "choice", "color", "text"}
            assert field["meaning"].endswith(".")
            assert "choices" in field or field["kind"] != "choice"
    resize = rows[0]
    assert (resize["name"], resize["short"], resize["lone"]) == ("resize", "rs", False)
    assert resize["fields"][0] == {
        "key": "type",
        "meaning": "How the image goes into the box.",
        "default": "fit",
        "pairs": False,
        "list": False,
        "kind": "choice",
        "choices": [["fit", "fit"], ["fill", "fill"], ["fill-down", "fill down"], ["force", "force"], ["auto", "auto"]],
    }
    assert resize["fields"][1]["reach"] == 1800


def test_sliders_reach_as_far_as_the_range_or_twice_the_examples() -> None:
    reach = {
        (row["name"], field["key"]): field.get("reach")
        for row in cast("list[dict[str, Any]]", table())
        for field in row["fields"]
    }
    assert reach["quality", "percent"] == 100
    assert reach["blur", "sigma"] == 20
    assert reach["padding", "left"] == reach["padding", "right"] == 80
    assert reach["gravity", "x"] is reach["expires", "at"] is reach["max_bytes", "limit"] is None


@pytest.mark.parametrize("example", [example for option in OPTIONS for example in option.examples])
def test_every_example_goes_through_the_form_and_back(example: str) -> None:
    settings = read(example)
    values = values_of(settings)
    assert meant(settings_of(values)) == meant(settings)
    assert meant(read("/".join(segments_of(settings_of(values))))) == meant(settings)
    for segment in example.split("/"):
        assert told(segment)


@pytest.mark.parametrize(
    ("segments", "values"),
    [
        ("rs:fill:300:200/q:75", {"resize": {"type": "fill", "width": 300, "height": 200}, "quality": 75}),
        ("w:300", {"resize": {"width": 300}}),
        ("g:fp:0.25:1", {"gravity": {"type": "fp", "x": 0.25, "y": 1}}),
        ("bg:fc0/bg:", {}),
        ("bg:fc0", {"background": "#ffcc00"}),
        ("fq:avif:50/fq:webp:70", {"format_quality": {"avif": 50, "webp": 70}}),
        ("ct:a:b/ct:b:c", {"cache_tags": ["a", "b", "c"]}),
        ("pr:hero:thumb/f:webp", {"preset": ["hero", "thumb"], "format": "webp"}),
        ("t:10:fff/t:5", {"trim": {"threshold": 5}}),
        ("mw:5/mh:6", {"min-width": 5, "min-height": 6}),
        ("pd:20", {"padding": {"top": 20}}),
    ],
)
def test_a_url_in_the_form(segments: str, values: dict[str, object]) -> None:
    assert values_of(read(segments)) == values


def test_only_what_is_asked_for_is_written() -> None:
    # So that a preset's other fields stay what they are.
    assert list(segments_of(settings_of({"resize": {"width": 300}}))) == ["w:300"]
    assert list(segments_of(settings_of({"resize": {"width": 3, "height": 2}, "blur": 0}))) == ["s:3:2", "bl:0"]
    assert list(segments_of(settings_of({"quality": 5, "preset": ["a b", "c"]}))) == ["pr:a%20b:c", "q:5"]
    assert list(segments_of(settings_of({"preset": [], "format": None, "blur": None}))) == []


@pytest.mark.parametrize(
    ("values", "segments"),
    [
        ({"gravity": {"type": "sm", "x": 5, "y": 5}}, "g:sm"),
        ({"gravity": {"type": "fp"}}, "g:fp:0.5:0.5"),
        ({"gravity": {"x": 5}}, "g:ce:5"),
        ({"crop": {"width": 10, "x": 3}}, "c:10::ce:3"),
        ({"crop": {"width": 10, "gravity": None}}, "c:10"),
        ({"watermark": {"opacity": 1, "scale": None}}, "wm:1"),
        ({"preset": "thumb"}, "pr:thumb"),
    ],
)
def test_offsets_fit_their_gravity(values: dict[str, object], segments: str) -> None:
    assert "/".join(segments_of(settings_of(values))) == segments


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"quality": 300}, "quality: expected a whole number, 0 to 100, got '300'"),
        ({"qualty": 3}, "unknown option 'qualty', did you mean 'quality'?"),
        ({"resize": {"kind": "fit"}}, "resize.kind: resize has no 'kind'; it has type, width, height, enlarge"),
        ({"blur": "much"}, 'blur: expected a number, 0 or more px, got "much"'),
    ],
)
def test_what_is_wrong_names_its_control(values: dict[str, object], reason: str) -> None:
    with pytest.raises(BadOption) as caught:
        settings_of(values)
    assert str(caught.value) == reason


def test_what_a_result_is_laid_over() -> None:
    options = meant(read("c:0.5:0.5/rs:fill:300:200/rot:90/pd:5/bl:3/bg:fff/wm:1/q:5/f:webp/fn:a"))
    assert str(untouched(options)) == "c:0.5:0.5/rs:fill:300:200/rot:90/pd:5:5:5:5"
    assert Preset not in {type(each) for each in untouched(options).asked}


def test_segments_in_words() -> None:
    assert told("rs:fill:300") == "type fill · width 300 px"
    assert told("g:sm") == "type smart"
    assert told("fl:1:0") == "horizontal on · vertical off"
    assert told("bg:fc0") == "color #ffcc00"
    assert told("fq:avif:50") == "qualities avif, 50"
