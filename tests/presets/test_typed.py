from __future__ import annotations

import tomllib

import pytest

from imgproxy.errors import BadOption
from imgproxy.options import OPTIONS, Options, Preset, Resize, read_segment
from imgproxy.options.base import Setting
from imgproxy.presets.typed import as_toml, read_typed, write_typed
from tests.options.reading import read


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ('resize = { type = "fit", width = 320, height = 200, enlarge = false }', "rs:fit:320:200:0"),
        ('resize = ["fill", 320]', "rs:fill:320"),
        ("resize = { height = 200 }", "h:200"),
        ("width = 320", "w:320"),
        ('resizing_type = "fill-down"', "rt:fill-down"),
        ('extend = { enabled = true, gravity = "center" }', "ex:1"),
        ("extend = true", "ex:1"),
        ('extend = { enabled = true, gravity = "north", y = 10 }', "ex:1:no:0:10"),
        ('background = "#ffcc00"', "bg:ffcc00"),
        ('background = "fc0"', "bg:ffcc00"),
        ("background = [20, 120, 220]", "bg:20:120:220"),
        ('background = ""', "bg:"),
        ("quality = 75", "q:75"),
        ("quality = { avif = 55, webp = 74 }", "fq:avif:55:webp:74"),
        ("format_quality = { jpeg = 70 }", "fq:jpeg:70"),
        ('format = "webp"', "f:webp"),
        ("sharpen = 0.4", "sh:0.4"),
        ("sharpen = 2", "sh:2"),
        ('placeholder = "blurhash"', "plh:blurhash"),
        ('placeholder = { type = "blurhash", x = 4, y = 3 }', "plh:blurhash:4:3"),
        ("padding = [10, 20]", "pd:10:20"),
        ('gravity = "smart"', "g:sm"),
        ('gravity = "sm"', "g:sm"),
        ('gravity = { type = "focus", x = 0.5, y = 0.35 }', "g:fp:0.5:0.35"),
        ('gravity = { type = "south-east", x = 5 }', "g:soea:5"),
        ('crop = { width = 0.5, height = 300, gravity = "west" }', "c:0.5:300:we"),
        ('watermark = { opacity = 0.5, position = "replicate", scale = 0.2 }', "wm:0.5:re:::0.2"),
        ('trim = { threshold = 10, color = "#fff", equal_vertical = true }', "t:10:ffffff::1"),
        ("rotate = 90", "rot:90"),
        ("zoom = { x = 0.5, y = 1.2 }", "z:0.5:1.2"),
        ('filename = "möwe 50%"', "fn:m%C3%B6we%2050%25"),
        ('skip_processing = ["gif", "svg"]', "skp:gif:svg"),
        ('skip_processing = "gif"', "skp:gif"),
        ('min-width = 300', "mw:300"),
    ],
)  # fmt: skip
def test_values_are_options(text: str, segments: str) -> None:
    ((name, value),) = tomllib.loads(text).items()
    assert Options().merge(read_typed(name, value)) == read(segments)


def test_auto_is_no_format() -> None:
    settings = (*read_segment("format", ["webp"]), *read_typed("format", "auto"))
    assert Options().merge(settings) == Options()
    assert write_typed(*read_typed("format", "auto")) == ("format", "auto")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("backgroud = 1", "unknown option 'backgroud', did you mean 'background'?"),
        ("w = 100", "w: write 'width', the option's long name"),
        ('preset = "x"', 'preset: presets are used by "extends"'),
        ('width = "320"', 'width: expected a whole number, 0 or more px, got "320"'),
        ("width = 3.5", "width: expected a whole number, 0 or more px, got 3.5"),
        ("width = true", "width: expected a whole number, 0 or more px, got true"),
        ("enlarge = 1", "enlarge: expected true or false, got 1"),
        ("resize = { typ = 'fit' }", "resize.typ: resize has no 'typ', did you mean 'type'?"),
        ("resize = { zz = 1 }", "resize.zz: resize has no 'zz'; it has type, width, height, enlarge"),
        ("resize = {}", "resize: the table is empty"),
        ("resize = []", "resize: the list is empty"),
        ("width = [1, 2]", "width: expected a whole number, 0 or more px, got [1, 2]"),
        ("resize = ['fit', 1, 2, true, 5]", "resize: expected at most 4 values, got 5"),
        ("resize = { width = -1 }", "resize.width: expected a whole number, 0 or more px, got '-1'"),
        ("resize = { type = 'fitt' }", "resize.type: expected one of fit, fill, fill-down, force, auto, got 'fitt', "
         "did you mean 'fit'?"),
        ("gravity = 'nrth'", "gravity: expected one of ce, no, so, ea, we, noea, nowe, soea, sowe, sm, fp, got 'nrth', "
         "did you mean 'north'?"),
        ("gravity = { type = 'focus', x = 0.5 }", "gravity: fp needs two coordinates, fp:x:y, each 0 to 1"),
        ("quality = { avif = 101 }", "quality.avif: expected a whole number, 0 to 100, got '101'"),
        ("quality = { avi = 50 }", "quality.avi: expected one of jpeg, "),
        ("quality = 101", "quality: expected a whole number, 0 to 100, got '101'"),
        ("format = 'wepb'", "format: expected one of "),
        ("background = 'white'", "background: expected 3 or 6 hexadecimal digits, got 'white'"),
        ("background = 255", "background: expected 3 or 6 hexadecimal digits, got 255"),
        ("background = [255]", "background: expected 3 values, got 1"),
        ("background = [1, 2, 3, 4]", "background: expected at most 3 values, got 4"),
        ("background = [1, 2, 256]", "background: expected a whole number, 0 to 255, got '256'"),
        ("trim = { threshold = 10, color = '' }", "trim.color: expected 3 or 6 hexadecimal digits, got ''"),
        ("filename = ['YQ', '1']", 'filename: expected text, got ["YQ", "1"]'),
        ("background = true", "background: expected 3 or 6 hexadecimal digits, got true"),
        ("blur = 2026-01-01", 'blur: expected a number, 0 or more px, got "2026-01-01"'),
        ("cachebuster = { a = 1 }", "cachebuster.a: cachebuster has no 'a'"),
    ],
)  # fmt: skip
def test_mistakes_say_what_was_meant(text: str, message: str) -> None:
    ((name, value),) = tomllib.loads(text).items()
    with pytest.raises(BadOption) as caught:
        read_typed(name, value)
    assert str(caught.value).startswith(message)


def examples() -> list[Setting]:
    segments = [
        each for option in OPTIONS if option is not Preset for text in option.examples for each in text.split("/")
    ]
    pairs = (segment.split(":") for segment in segments)
    return [setting for name, *texts in pairs for setting in read_segment(name, texts)]


@pytest.mark.parametrize("setting", examples(), ids=str)
def test_every_option_can_be_written_and_read_back(setting: Setting) -> None:
    name, value = write_typed(setting)
    ((read_name, read_value),) = tomllib.loads(f"{name} = {as_toml(value)}").items()
    assert read_typed(read_name, read_value) == (setting,)


def test_no_colour_is_an_empty_text() -> None:
    assert write_typed(*read_segment("background", [""])) == ("background", "")
    assert read_typed("background", "") == read_segment("background", [""])


def test_what_no_key_says_has_no_typed_form() -> None:
    with pytest.raises(BadOption, match="no typed form"):
        write_typed(Setting(Resize, (("width", 1), ("dpr", 2))))


def test_what_no_key_says_in_this_order_has_no_typed_form() -> None:
    with pytest.raises(BadOption, match="no typed form"):
        write_typed(Setting(Resize, (("height", 1), ("width", 2))))


def test_presets_have_no_typed_form() -> None:
    with pytest.raises(BadOption, match="no typed form"):
        write_typed(*read_segment("pr", ["x"]))
