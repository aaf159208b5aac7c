from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.errors import BadOption
from imgproxy.options import OPTIONS, Options, Preset, read_segment
from imgproxy.options.base import Setting
from imgproxy.presets import Presets
from imgproxy.presets.definition import Canary, Definition, Deprecation, Mistakes
from imgproxy.presets.files import read_files
from imgproxy.presets.lines import read_lines
from imgproxy.presets.typed import read_typed
from imgproxy.presets.writing import UNDESCRIBED, line_of, said_of, segment_of, segments_of, table_of, toml_of

EXAMPLES = sorted({each for option in OPTIONS for text in option.examples for each in text.split("/")})
ODD = [
    "rs:fit:320:320", "rs::300", "rs:", "s:", "s::5:1", "w:0", "el:0", "el:", "rs:fill:1:2:1:1:no:5", "g:sm",
    "g:fp:0:0", "g:no::4", "c:0.5", "c::300:sm", "c:1:2:fp:0.5:0.25", "ex:0", "ex::no", "pd:1", "pd:1::3", "bg:",
    "bg:1:2:3", "t:", "t::fff", "t:10::1", "wm:0.5:re:::0.2", "f:", "q:0", "fq:jpg:70:webp:0", "skp:", "skp:gif:svg",
    "cb:", "cb:a%2Fb%3D", "fn:m%C3%B6we%20%22", "ct:", "ct:a:b", "z:2", "z::3", "rot:-90", "fl::1", "msr:1.5",
    "maf:2", "scp:0", "exp:1", "qp:best", "mw:5", "w:5/w:6", "pr:a", "pr:a:b",
]  # fmt: skip


def settings(text: str) -> tuple[Setting, ...]:
    pairs = (segment.split(":") for segment in text.split("/"))
    return tuple(each for name, *texts in pairs for each in read_segment(name, texts))


def from_toml(text: str, separator: str = ":") -> dict[str, Definition]:
    mistakes: Mistakes = []
    found = read_files([("a.toml", text)], separator, mistakes)
    assert not mistakes, text
    return found


def from_lines(*lines: str, separator: str = ":") -> dict[str, Definition]:
    mistakes: Mistakes = []
    found = read_lines([("line", each) for each in lines], separator, mistakes)
    assert not mistakes, lines
    return found


@pytest.mark.parametrize("text", [*EXAMPLES, *ODD])
def test_a_segment_reads_as_its_setting(text: str) -> None:
    given_ = settings(text)
    assert settings(segments_of(given_)) == given_


def test_separators_that_stand_in_a_value() -> None:
    (name,) = read_segment("filename", ["my_photo"])
    assert segment_of(name) == "fn:my_photo"
    with pytest.raises(BadOption, match="no segment"):
        segment_of(name, "_")
    with pytest.raises(BadOption, match="no segment"):
        segment_of(read_segment("filename", ["my_first_photo"])[0], "_")


def test_what_no_url_says_is_said_as_in_a_file() -> None:
    assert said_of(read_typed("format", "auto")[0]) == 'format = "auto"'
    assert said_of(read_typed("width", 5)[0]) == "w:5"
    with pytest.raises(BadOption, match="no segment"):
        segment_of(read_typed("format", "auto")[0])


PRESET = Definition("a-b", settings("pr:base/rs:fill:320:200/g:fp:0.5:0.3/fq:avif:50/bg:fff/ct:x:y"))
FULL = """\
[presets.a-b]
description = "tile \\"one\\""
extends = "base"
resize = { type = "fill", width = 320, height = 200 }
gravity = { type = "focus", x = 0.5, y = 0.3 }
quality = { avif = 50 }
background = "#ffffff"
widths = [160, 320]
allow = ["width"]
tags = ["x", "y"]
deprecated = { since = 2026-11-01, remove = 2027-03-01, note = "use c" }

[presets.a-b.canary]
share = 0.5
quality = 40
"""


def test_a_preset_as_a_table() -> None:
    full = Definition(
        "a-b",
        PRESET.settings,
        (160, 320),
        ("width",),
        Canary(0.5, settings("q:40")),
        Deprecation(date(2026, 11, 1), date(2027, 3, 1), "use c"),
        'tile "one"',
        "team",
    )
    text = toml_of([full], "team")
    assert text == f'version = 1\nowner = "team"\n\n{FULL}'
    assert from_toml(text) == {"a-b": full}


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        (Definition("lead", settings("pr:hero")), '[presets.lead]\nalias = "hero"\n'),
        (Definition("lead", settings("pr:hero"), deprecated=Deprecation()),
         '[presets.lead]\nalias = "hero"\ndeprecated = true\n'),
        (Definition("x", settings("pr:hero"), description="d"), '[presets.x]\ndescription = "d"\nextends = "hero"\n'),
        (Definition("x", settings("pr:a:b"), description="d"),
         '[presets.x]\ndescription = "d"\nextends = ["a", "b"]\n'),
        (Definition("a.b", settings("w:5")), f'[presets."a.b"]\ndescription = "{UNDESCRIBED}"\nwidth = 5\n'),
        (Definition("default", settings("w:5")), "[defaults]\nwidth = 5\n"),
        (Definition("x", settings("w:5/w:6"), description="d"),
         '[presets.x]\ndescription = "d"\noptions = "w:5/w:6"\n'),
        (Definition("x", settings("w:5/pr:a"), description="d"),
         '[presets.x]\ndescription = "d"\noptions = "w:5/pr:a"\n'),
        (Definition("x", settings("q:5/fq:avif:5"), description="d"),
         '[presets.x]\ndescription = "d"\nquality = 5\nformat_quality = { avif = 5 }\n'),
        (Definition("x", settings("ct:"), description="d"), '[presets.x]\ndescription = "d"\noptions = "ct:"\n'),
        (Definition("x", (), allow=(), description="d"), '[presets.x]\ndescription = "d"\nallow = []\n'),
        (Definition("x", settings("g:sm/ex:1"), description="d"),
         '[presets.x]\ndescription = "d"\ngravity = "smart"\nextend = true\n'),
    ],
)  # fmt: skip
def test_tables(definition: Definition, text: str) -> None:
    assert table_of(definition) == text
    (found,) = from_toml(toml_of([definition], "").replace('owner = ""', 'owner = "o"')).values()
    assert (found.settings, found.allow, found.deprecated) == (
        definition.settings,
        definition.allow,
        definition.deprecated,
    )


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(BadOption, match="'a b': in files, names are of letters"):
        table_of(Definition("a b", settings("w:5")))


def test_a_preset_as_a_line() -> None:
    full = Definition(
        "x",
        (*settings("w:5/ct:t"), *read_typed("format", "auto")),
        (5,),
        (),
        Canary(0.5, settings("q:5")),
        Deprecation(),
    )
    assert line_of(full) == ("x=w:5/ct:t", ('format = "auto"', "widths", "allow", "canary", "deprecated"))
    assert line_of(Definition("x", settings("rs:fit:3"))) == ("x=rs:fit:3", ())
    assert line_of(Definition("x", settings("w:3")), "_") == ("x=w_3", ())


def test_a_preset_without_options_is_a_line_that_does_nothing() -> None:
    line, _ = line_of(Definition("x", ()))
    (found,) = from_lines(line).values()
    assert Options().merge(found.settings) == Options()


SEGMENT = st.sampled_from([each for each in [*EXAMPLES, *ODD] if "pr:" not in each])
LINE = st.lists(st.one_of(SEGMENT, SEGMENT, st.sampled_from(["pr:one", "pr:two:one"])), min_size=1, max_size=5).map(
    "/".join
)


@given(st.lists(SEGMENT, min_size=1, max_size=4).map("/".join), SEGMENT, st.lists(LINE, max_size=3))
def test_lines_become_files_and_lines_again_and_mean_the_same(one: str, two: str, others: list[str]) -> None:
    lines = [f"one={one}", f"two={two}", "default=q:33", *(f"x{n}={each}" for n, each in enumerate(others))]
    known = from_lines(*lines)
    files = from_toml(toml_of(known.values(), "team"))
    assert {name: each.settings for name, each in files.items()} == {
        name: each.settings for name, each in known.items()
    }
    again = from_lines(*(line_of(each)[0] for each in files.values()))
    first, last = Presets.checked(known), Presets.checked(again)
    for name in first.names:
        asked = (Setting(Preset, (("names", (name,)),)),)
        assert Options().merge(first.expand(asked)) == Options().merge(last.expand(asked))
