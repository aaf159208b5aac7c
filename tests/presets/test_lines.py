from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.errors import UnknownPreset
from imgproxy.options import Options, read_segment
from imgproxy.presets import BadPresets, Presets
from imgproxy.presets.settings import PresetSettings
from tests.options.reading import read


def presets(*lines: str) -> Presets:
    return Presets.parse((f"line {n}", line) for n, line in enumerate(lines, 1))


def expanded(known: Presets, text: str) -> Options:
    segments = (segment.split(":") for segment in text.split("/"))
    settings = [each for name, *texts in segments for each in read_segment(name, texts)]
    return Options().merge(known.expand(settings))


def test_a_preset_stands_for_its_options() -> None:
    known = presets("thumb=rs:fill:300:200/q:70", "wm = wm:0.5 ")
    assert known.names == ("thumb", "wm")
    assert expanded(known, "pr:thumb:wm") == read("rs:fill:300:200/q:70/wm:0.5")


def test_a_preset_is_applied_where_it_stands() -> None:
    known = presets("thumb=rs:fill:300:200/q:70")
    assert expanded(known, "w:100/pr:thumb") == read("rs:fill:300:200/q:70")
    assert expanded(known, "pr:thumb/w:100") == read("rs:fill:100:200/q:70")


def test_names_are_applied_in_order() -> None:
    known = presets("a=w:1/h:1", "b=w:2")
    assert expanded(known, "pr:a:b") == read("w:2/h:1")
    assert expanded(known, "pr:b:a") == read("w:1/h:1")


def test_presets_may_use_presets() -> None:
    known = presets("card=pr:thumb/q:50", "thumb=rs:fill:300:200/q:70")
    assert expanded(known, "pr:card") == read("rs:fill:300:200/q:50")


@pytest.mark.parametrize(
    ("lines", "ways"),
    [
        (("a=w:1/pr:b", "b=h:2/pr:a/q:3"), ["line 1: preset 'a' uses itself, by way of a > b > a"]),
        (("default=pr:default",), ["line 1: preset 'default' uses itself, by way of default > default"]),
        (("a=pr:b", "b=pr:c", "c=pr:b"), ["line 2: preset 'b' uses itself, by way of b > c > b"]),
        (("a=pr:a", "b=pr:a:b"), ["line 1: preset 'a' uses itself, by", "line 2: preset 'b' uses itself, by"]),
    ],
)
def test_a_preset_within_itself_is_a_mistake(lines: tuple[str, ...], ways: list[str]) -> None:
    with pytest.raises(BadPresets) as caught:
        presets(*lines)
    assert len(told := str(caught.value).splitlines()) == len(ways)
    assert all(each.startswith(way) for each, way in zip(told, ways, strict=True))


def test_the_same_preset_twice_is_no_recursion() -> None:
    assert expanded(presets("a=w:1"), "pr:a/w:2/pr:a") == read("w:1")
    assert expanded(presets("a=pr:b:c", "b=pr:c", "c=w:1", "d=pr:c"), "pr:a:d") == read("w:1")


def test_default() -> None:
    assert Options().merge(presets("default=q:50/pr:x", "x=w:5").default()) == read("q:50/w:5")
    assert list(presets("a=w:1").default()) == []
    assert list(Presets().default()) == []


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownPreset, match="'nope'"):
        expanded(presets("a=w:1"), "pr:nope")


def test_names_and_values_may_hold_any_letters() -> None:
    known = presets("größe=fn:möwe/cb:a")
    assert expanded(known, "pr:gr%C3%B6%C3%9Fe") == read("fn:m%C3%B6we/cb:a")


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(BadPresets) as caught:
        presets(
            "good=w:1",
            "nothing",
            "=w:1",
            "empty=",
            "two=w:1=2",
            "bare=w:1/raw",
            "gap=w:1//h:1",
            "bad=w:1/q:200",
            "typo=resise:fit",
            "uses=pr:nobody:good",
        )
    assert str(caught.value).splitlines() == [
        "line 2: expected \"name=option:argument/…\", got 'nothing'",
        "line 3: expected \"name=option:argument/…\", got '=w:1'",
        "line 4: expected \"name=option:argument/…\", got 'empty='",
        "line 5: expected \"name=option:argument/…\", got 'two=w:1=2'",
        "line 6: preset 'bare': option 'raw' has no arguments",
        "line 7: preset 'gap': option '' has no arguments",
        "line 8: preset 'bad': q: expected a whole number, 0 to 100, got '200'",
        "line 9: preset 'typo': unknown option 'resise', did you mean 'resize'?",
        "line 10: preset 'uses' uses 'nobody', which is not defined",
    ]


def test_another_separator() -> None:
    known = Presets.parse([("here", "a=rs,fill,300/pr,b"), ("there", "b=q,5")], ",")
    assert expanded(known, "pr:a") == read("rs:fill:300/q:5")


def test_lines_of_the_file_override_those_of_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "presets.conf"
    file.write_text("# a comment\n\n  thumb=w:2  \nnew=h:3\n", encoding="utf-8")
    settings = PresetSettings.model_validate(
        {"presets": "thumb=w:1| |card=q:5", "presets_separator": "|", "presets_path": str(file)}
    )
    known = settings.read(":")
    assert {name: known[name].place for name in known.names} == {
        "thumb": "presets.conf, line 3",
        "card": "IMGPROXY_PRESETS, preset 3",
        "new": "presets.conf, line 4",
    }
    assert expanded(known, "pr:thumb") == read("w:2")


def test_later_definitions_win() -> None:
    assert expanded(presets("a=w:1/h:1", "a=w:2"), "pr:a") == read("w:2")


def test_no_settings_no_presets() -> None:
    assert PresetSettings().read(":").names == ()
    assert PresetSettings.model_validate({"presets_path": ""}).files == ()
