from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from imgproxy.errors import OptionForbidden, UnknownPreset
from imgproxy.options import Options, Resize, read_segment
from imgproxy.options.base import Setting
from imgproxy.presets import BadPresets, Presets
from imgproxy.presets.definition import Deprecation, Mistakes
from imgproxy.presets.files import read_files
from imgproxy.presets.settings import PresetSettings
from tests.options.reading import read

HEAD = 'version = 1\nowner = "team"\n'
EXAMPLES = Path(__file__).parents[2] / "presets"


def presets(*texts: str, head: str = HEAD) -> Presets:
    mistakes: Mistakes = []
    files = [(f"{'abc'[n]}.toml", head + text) for n, text in enumerate(texts)]
    return Presets.checked(read_files(files, ":", mistakes), mistakes)


def tile(text: str, name: str = "tile") -> str:
    return f'[presets.{name}]\ndescription = "d"\n{text}\n'


def asked(text: str) -> list[Setting]:
    pairs = (segment.split(":") for segment in text.split("/"))
    return [each for name, *texts in pairs for each in read_segment(name, texts)]


def resolved(known: Presets, text: str, source: str = "") -> Options:
    found = known.resolve(asked(text), source)
    return Options().merge(found.default).merge(found.asked)


def test_options_as_keys_and_as_one_string_are_the_same() -> None:
    typed = presets(tile('resize = { type = "fill", width = 320, height = 200 }\nquality = 75'))
    string = presets(tile('options = "rs:fill:320:200/q:75"'))
    assert resolved(typed, "pr:tile") == resolved(string, "pr:tile") == read("rs:fill:320:200/q:75")


def test_what_a_preset_says_of_itself() -> None:
    known = presets(
        tile('width = 5\ndeprecated = { since = 2026-11-01, remove = 2027-03-01, note = "use hero" }'),
        '[presets.old]\nalias = "tile"\ndeprecated = true\n',
    )
    assert (known["tile"].description, known["tile"].owner, known["tile"].place) == ("d", "team", "a.toml:3:10")
    assert known["tile"].deprecated == Deprecation(date(2026, 11, 1), date(2027, 3, 1), "use hero")
    assert known["old"].deprecated == Deprecation()
    assert resolved(known, "pr:old") == read("w:5")
    assert known.applied(asked("pr:old")) == {"old", "tile"}


def test_what_extends_another_goes_on_from_it() -> None:
    known = presets(
        tile(
            'resize = { width = 320, height = 320 }\nquality = 75\nwidths = [320, 160]\nallow = ["width"]\ntags = ["t"]'
        ),
        tile('extends = "tile"\nquality = 90\ntags = ["z"]', "zoom"),
        tile('extends = ["tile", "zoom"]\nwidths = [5]\nallow = ["dpr"]', "both"),
    )
    assert resolved(known, "pr:zoom") == read("rs:fit:320:320/q:90/ct:t:z")
    assert known.widths("zoom") == (160, 320)
    assert known.allowed("zoom") == ("width",)
    assert known.widths("both") == (5,)
    assert known.allowed("both") == ("dpr",)


def test_defaults_apply_to_every_request() -> None:
    known = presets("[defaults]\nquality = 60\n" + tile("width = 5"))
    assert resolved(known, "pr:tile") == read("q:60/w:5")
    assert known.resolve(()).names == ("default",)


def test_tags_of_preset_and_url_add_up() -> None:
    assert resolved(presets(tile('tags = ["product"]')), "ct:mine/pr:tile/ct:x") == read("ct:mine:product:x")


def test_a_canary_takes_its_share_of_sources_and_always_the_same() -> None:
    known = presets(tile("sharpen = 0.5\n[presets.tile.canary]\nshare = 0.1\nsharpen = 0\nquality = 50"))
    sources = [f"https://example.com/{n}.jpg" for n in range(5000)]
    taken = {each for each in sources if resolved(known, "pr:tile", each) == read("q:50")}
    assert all(resolved(known, "pr:tile", each) == read("sh:0.5") for each in sources if each not in taken)
    assert 400 < len(taken) < 600
    again = presets(tile("sharpen = 0.5\n[presets.tile.canary]\nshare = 0.2\nquality = 50"))
    wider = {each for each in sources if resolved(again, "pr:tile", each) == read("sh:0.5/q:50")}
    assert taken < wider, "a larger share takes those of the smaller one too"


@pytest.mark.parametrize(("share", "taken"), [("0", 0), ("1", 1), ("1.0", 1)])
def test_no_and_all_sources(share: str, taken: int) -> None:
    known = presets(tile(f"sharpen = 0.5\n[presets.tile.canary]\nshare = {share}\nquality = 50"))
    assert all((resolved(known, "pr:tile", str(n)) == read("sh:0.5/q:50")) == bool(taken) for n in range(200))


ALLOW = tile('resize = { type = "fill", width = 320, height = 200 }\nwidths = [160, 320]\nallow = ["width", "dpr"]')


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("pr:tile", "rs:fill:320:200"),
        ("pr:tile/w:160", "rs:fill:160:100"),
        ("w:160/pr:tile", "rs:fill:320:200"),
        ("pr:tile/rs::160", "rs:fill:160:100"),
        ("pr:tile/dpr:2", "rs:fill:320:200/dpr:2"),
    ],
)
def test_what_is_allowed_keeps_the_shape(url: str, expected: str) -> None:
    assert resolved(presets(ALLOW), url) == read(expected)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("pr:tile/w:200", "preset 'tile' has the widths 160, 320; got 200"),
        ("w:200/pr:tile", "preset 'tile' has the widths 160, 320; got 200"),
        ("pr:tile/w:0", "preset 'tile' has the widths 160, 320; got 0"),
        ("pr:tile/h:100", "preset 'tile' leaves these options open to URLs: width, dpr; got 'rs:fit:0:100'"),
        ("pr:tile/rs:fit:160", "preset 'tile' leaves these options open to URLs: width, dpr; got 'rs:fit:160'"),
        ("pr:tile/q:50", "preset 'tile' leaves these options open to URLs: width, dpr; got 'q:50'"),
        ("pr:tile/q:0", "preset 'tile' leaves these options open to URLs: width, dpr; got 'quality'"),
        ("f:png/pr:tile", "preset 'tile' leaves these options open to URLs: width, dpr; got 'f:png'"),
        ("pr:tile:big", "preset 'tile' allows no other preset, got 'big'"),
        ("pr:big/pr:tile", "preset 'tile' allows no other preset, got 'big'"),
    ],
)
def test_what_is_not_allowed_is_refused(url: str, message: str) -> None:
    with pytest.raises(OptionForbidden) as caught:
        presets(ALLOW + tile("width = 5000", "big")).resolve(asked(url))
    assert str(caught.value) == message


def test_what_is_not_limited_is_open() -> None:
    known = presets(tile("resize = { width = 320, height = 200 }") + tile("width = 2", "other"))
    assert resolved(known, "pr:tile/w:100/q:3") == read("rs:fit:100:200/q:3"), "no widths: imgproxy's own way"
    assert resolved(known, "pr:tile:other") == read("rs:fit:2:200")


def test_a_preset_may_allow_presets_and_nothing() -> None:
    known = presets(tile('width = 3\nallow = ["preset"]') + tile("height = 2", "other") + tile("allow = []", "shut"))
    assert resolved(known, "pr:tile:other") == read("rs:fit:3:2")
    assert resolved(known, "pr:shut") == Options()
    with pytest.raises(OptionForbidden, match="open to URLs: none"):
        known.resolve(asked("pr:shut/w:1"))


def test_the_default_preset_can_limit_all_urls() -> None:
    known = presets('[defaults]\nallow = ["width", "preset"]\n' + tile("quality = 5"))
    assert resolved(known, "pr:tile/w:1") == read("q:5/w:1")
    with pytest.raises(OptionForbidden, match="preset 'default' leaves"):
        known.resolve(asked("h:1"))


def test_unknown_presets() -> None:
    for use in (presets().widths, presets().allowed, presets().__getitem__):
        with pytest.raises(UnknownPreset, match="'nope'"):
            use("nope")
    assert "nope" not in presets()


WRONG = """\
version = 2
ownr = "x"
presets.four = 5

[presets.one]
resize = { typ = "fit", width = "x" }
backgroud = "#fff"
widths = [160, 0]
allow = ["with", "w"]
tags = ["a b"]

[presets.two]
description = 5
options = "rs:fit:x/q:5"
quality = 5
extends = [1]
deprecated = { since = 2026-11-01, remove = 2026-10-01, nte = 1 }

[presets.three]
description = "d"
alias = "one"
quality = 5
widths = [5, 5]

[presets."sp ace"]
description = "d"

[presets.five]
description = "d"
deprecated = 5
canary = 5
widths = []

[presets.six]
description = "d"
extends = "nobody"
deprecated.since = "2026"
[presets.six.canary]
share = 2
"""

TOLD = """\
f.toml:1:1: expected owner = "…": the team that answers for these presets
f.toml:1:1: expected version = 1, the version of this format
f.toml:2:1: unknown key 'ownr', did you mean 'owner'?
f.toml:3:9: expected a table [presets.four], got 5
f.toml:5:10: expected description = "…"
f.toml:6:12: resize.typ: resize has no 'typ', did you mean 'type'?
f.toml:7:1: unknown key 'backgroud', did you mean 'background'?
f.toml:8:16: widths: expected whole numbers from 1 to 65535, got [160, 0]
f.toml:9:10: allow: unknown option 'with', did you mean 'width'?
f.toml:9:18: allow: write 'width', the long name of 'w'
f.toml:10:1: cache_tags: expected words of at most 128 printable characters, got 'a b'
f.toml:13:1: expected description = "…", got 5
f.toml:14:1: rs: width: expected a whole number, 0 or more px, got 'x'
f.toml:15:1: 'quality': write either options = "…" or the options as keys, not both
f.toml:16:1: expected a name or a list of names, got [1]
f.toml:17:36: deprecated: it is removed before it is deprecated
f.toml:17:57: deprecated: unknown key 'nte', did you mean 'note'?
f.toml:22:1: an alias is another name and nothing else: 'quality' belongs to the preset
f.toml:23:1: an alias is another name and nothing else: 'widths' belongs to the preset
f.toml:23:1: widths: one stands there twice: [5, 5]
f.toml:25:10: preset 'sp ace': expected a name of letters, digits, '-', '_' and '.'
f.toml:30:1: deprecated: expected true or a table with since, remove and note
f.toml:31:1: expected a table with share and options, got 5
f.toml:32:1: widths: expected whole numbers from 1 to 65535, got []
f.toml:37:12: deprecated: expected a date such as since = 2026-11-01, got "2026"
f.toml:38:14: canary: there are no options that it would change
f.toml:39:1: canary: expected share = 0.1, from 0 to 1: the part of the sources that get it\
"""


def test_all_mistakes_are_told_at_once_each_with_its_place() -> None:
    mistakes: Mistakes = []
    assert read_files([("f.toml", WRONG)], ":", mistakes) == {}
    assert mistakes == TOLD.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = \n", "f.toml:1:5: this is not TOML: invalid value"),
        ("version = 1\n[presets\n", "f.toml:2:9: this is not TOML: expected ']' at the end of a table declaration"),
        ('a = """\n', "f.toml:2:1: this is not TOML: unterminated string"),
        ("a = 1\na = 2\n", "f.toml:2:6: this is not TOML: cannot overwrite a value"),
        (HEAD + "presets = 5", "f.toml:3:1: expected tables [presets.NAME]"),
    ],
)
def test_files_that_are_no_preset_files(text: str, message: str) -> None:
    mistakes: Mistakes = []
    assert read_files([("f.toml", text)], ":", mistakes) == {}
    assert mistakes == [message]


def test_names_are_defined_once_across_files() -> None:
    with pytest.raises(BadPresets) as caught:
        presets(tile("width = 1"), tile("width = 2") + tile('extends = "nobody"', "other"))
    assert str(caught.value).splitlines() == [
        "b.toml:3:10: preset 'tile' is already defined at a.toml:3:10",
        "b.toml:6:10: preset 'other' uses 'nobody', which is not defined",
    ]


def test_presets_stand_on_at_most_eight_others() -> None:
    chain = [tile("width = 1", "p0"), *(tile(f'extends = "p{n}"', f"p{n + 1}") for n in range(9))]
    presets("".join(chain[:9]))
    with pytest.raises(BadPresets, match="preset 'p9' stands on 9 others, one upon another; at most 8 may"):
        presets("".join(chain))
    lines = ["p0=w:1", *(f"p{n + 1}=pr:p{n}" for n in range(9))]
    assert len(Presets.parse((line, line) for line in lines).names) == 10


def test_circles_are_told() -> None:
    with pytest.raises(BadPresets, match=r"a\.toml:3:10: preset 'a' uses itself, by way of a > b > a"):
        presets(tile('extends = "b"', "a") + tile('extends = "a"', "b"))


def test_only_what_changes_answers_is_in_the_digest() -> None:
    one, other = (presets(f'[presets.a]\ndescription = "{text}"\nwidth = 5\n') for text in ("x", "y"))
    assert repr(one) == repr(other)
    assert repr(one) != repr(presets('[presets.a]\ndescription = "x"\nwidth = 5\nallow = []\n'))


def test_settings_read_the_folder(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(HEAD + tile("width = 1"), encoding="utf-8")
    (tmp_path / "a.toml").write_text(HEAD + tile("width = 1", "other"), encoding="utf-8")
    (tmp_path / ".hidden.toml").write_text("broken", encoding="utf-8")
    (tmp_path / "readme.md").write_text("broken", encoding="utf-8")
    settings = PresetSettings.model_validate({"presets_dir": str(tmp_path), "presets": "line=w:1"})
    assert settings.read(":").names == ("line", "other", "tile")
    assert settings.files == (tmp_path, tmp_path / "a.toml", tmp_path / "b.toml")


def test_settings_tell_every_mistake_of_every_source(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(HEAD + tile("with = 1") + tile("width = 1", "line"), encoding="utf-8")
    (tmp_path / "b.toml").write_bytes(b"\xff")
    (tmp_path / "c.toml").symlink_to(tmp_path / "gone")
    fields = {"presets_dir": str(tmp_path), "presets": "line=w:1,bad", "presets_path": str(tmp_path / "no")}
    with pytest.raises(BadPresets) as caught:
        PresetSettings.model_validate(fields).read(":")
    assert [each.replace(str(tmp_path), "DIR") for each in str(caught.value).splitlines()] == [
        "IMGPROXY_PRESETS_PATH: No such file or directory: DIR/no",
        "IMGPROXY_PRESETS, preset 2: expected \"name=option:argument/…\", got 'bad'",
        "a.toml:5:1: unknown key 'with', did you mean 'width'?",
        "IMGPROXY_PRESETS_DIR: DIR/b.toml is not UTF-8 text",
        "IMGPROXY_PRESETS_DIR: No such file or directory: DIR/c.toml",
        "a.toml:6:10: preset 'line' is already defined at IMGPROXY_PRESETS, preset 1",
    ]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadPresets, match="IMGPROXY_PRESETS_DIR: there is no folder"):
        PresetSettings(presets_dir=tmp_path / "gone").read(":")


def test_the_examples_are_good() -> None:
    known = PresetSettings(presets_dir=EXAMPLES).read(":")
    assert {"product-tile", "product-zoom", "hero", "lead"} <= {*known.names}
    assert resolved(known, "pr:product-tile/w:160")[Resize] == Resize(width=160, height=160)
