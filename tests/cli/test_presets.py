"""``imgproxy presets …`` as its users run it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import pyvips
from click.testing import CliRunner, Result

from imgproxy.cli import main
from imgproxy.presets.schema import schema_text
from tests import charts

EXAMPLES = Path(__file__).parents[2] / "presets"
HEAD = 'version = 1\nowner = "team"\n'
TERMINAL = {"TTY_COMPATIBLE": "1", "TERM": "xterm", "COLUMNS": "140", "NO_COLOR": "1"}


def run(*arguments: object, stdin: str | None = None, **given: str) -> Result:
    """The command with these settings (``presets="a=w:1"`` is IMGPROXY_PRESETS); TERM and such are as they are."""
    environment = {name if name.isupper() else f"IMGPROXY_{name.upper()}": value for name, value in given.items()}
    return CliRunner().invoke(main, ["presets", *map(str, arguments)], env=environment, input=stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example files."""
    shutil.copytree(EXAMPLES, tmp_path / "presets")
    return tmp_path / "presets"


def files(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(HEAD + text, encoding="utf-8")
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(charts.quadrants(300, 200))
    return tmp_path / "photo.png"


def tile(text: str, name: str = "tile") -> str:
    return f'[presets.{name}]\ndescription = "d"\n{text}\n'


def test_every_verb_has_help_with_an_example() -> None:
    text = run("--help").output
    for verb in ("list", "show", "check", "preview", "diff", "schema", "convert"):
        assert f"\n  {verb}" in text
        helped = run(verb, "--help").output
        assert f"\n  imgproxy presets {verb}" in helped
        assert "--json" in helped


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["show", "hero", "nowhere"],
        ["show", "heroo", EXAMPLES],
        ["list", "nowhere"],
        ["list", EXAMPLES.parent / "tests"],
        ["check", "nowhere"],
        ["check", EXAMPLES.parent / "tests"],
        ["preview", EXAMPLES],
        ["preview", EXAMPLES, "--out", "x.png", "--sample", "nowhere.jpg"],
        ["preview", EXAMPLES, "--out", "x.png", "--preset", "nosuch"],
        ["diff", EXAMPLES],
        ["convert", "nowhere", "--to", "toml"],
        ["convert", "-"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[object]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("verb", [["list"], ["show", "x"], ["convert", "-", "--to", "toml"], ["check"]])
def test_wrong_settings_are_told(verb: list[str]) -> None:
    done = run(*verb, stdin="a=w:5", ttl="soon")
    assert done.exit_code == 1
    assert "IMGPROXY_TTL: " in done.output


# list, show


def test_list() -> None:
    done = run("list", EXAMPLES)
    assert done.exit_code == 0
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in done.output.splitlines()}
    assert rows["hero"][:3] == ["newsroom", "640, 1024, 1600, 2200", "canary 10%"]
    assert rows["lead"][2] == "deprecated until 2027-03-01"
    assert rows["product-zoom"] == ["shop-frontend", "1600", "", "Zoom view, as large as the original allows"]


def test_list_as_json() -> None:
    listed = {each["name"]: each for each in json.loads(run("list", EXAMPLES, "--json").output)}
    assert listed["product-zoom"] == {
        "name": "product-zoom",
        "description": "Zoom view, as large as the original allows",
        "owner": "shop-frontend",
        "place": f"{EXAMPLES / 'shop.toml'}:16:10",
        "extends": ["product-tile"],
        "widths": [1600],
        "allow": ["width", "dpr"],
        "canary": None,
        "deprecated": None,
    }
    assert listed["hero"]["canary"] == 0.1


def test_list_of_the_settings() -> None:
    assert run("list", presets="a=w:5,b=h:6").output == "a\t\t\t\t\nb\t\t\t\t\n"
    assert run("list", presets_dir=str(EXAMPLES), presets="a=w:5").output.splitlines()[0] == "a\t\t\t\t"


def test_a_terminal_gets_a_table() -> None:
    done = run("list", EXAMPLES, **TERMINAL)
    assert "───" in done.output
    # Whatever the width: on 80 columns descriptions take several lines.
    assert "product-zoom" in done.output
    assert "original" in done.output
    assert "\t" not in done.output


def test_show() -> None:
    done = run("show", "product-zoom", EXAMPLES)
    assert done.exit_code == 0
    zoom, tile_ = f"{EXAMPLES / 'shop.toml'}:16:10", f"{EXAMPLES / 'shop.toml'}:5:10"
    for line in (
        "options     rs:fit:1600:1600/ex:1/bg:ffffff/fq:avif:55:jpeg:80:webp:74",
        "tags        product",
        "allow       width, dpr",
        f"rs:fit:320:320\tproduct-tile\t{tile_}\toverridden",
        f'format = "auto"\tproduct-tile\t{tile_}\t',
        f"rs:fit:1600:1600\tproduct-zoom\t{zoom}\t",
        'extends = "product-tile"',
    ):
        assert line in done.output.splitlines()


def test_show_tells_of_canary_deprecation_and_openness(tmp_path: Path) -> None:
    assert "canary      10% of the sources: sh:0/fq:avif:50:webp:70" in run("show", "hero", EXAMPLES).output
    assert "deprecated  { since = 2026-11-01" in run("show", "lead", EXAMPLES).output
    assert "allow       gravity, placeholder" in run("show", "placeholder", EXAMPLES).output
    known = files(tmp_path, a="[defaults]\nquality = 7\n" + tile("width = 5"))
    assert "allow       anything" in run("show", "tile", known).output
    assert "q:7\tdefault\t" in run("show", "tile", known).output
    assert "rs:fit:5/q:7" in run("show", "tile", known).output


def test_show_as_json() -> None:
    shown = json.loads(run("show", "product-zoom", EXAMPLES, "--json").output)
    assert shown["options"].startswith("rs:fit:1600:1600/ex:1/")
    assert shown["from"][0] | {"place": ""} == {
        "option": "rs:fit:320:320",
        "preset": "product-tile",
        "place": "",
        "overridden": True,
    }


def test_options_are_no_emoji(tmp_path: Path) -> None:
    canary = '[presets.tile.canary]\nshare = 1\ncache_tags = ["key", "sun"]\n'
    assert "sources: ct:key:sun\n" in run("show", "tile", files(tmp_path, a=tile("width = 5") + canary)).output


def test_show_what_no_file_can_have() -> None:
    done = run("show", "a b", presets="a b=w:5")
    assert done.exit_code == 0
    assert "# preset 'a b': in files, names are of letters" in done.output


def test_show_what_is_not_there() -> None:
    assert "did you mean 'hero'?" in run("show", "heroo", EXAMPLES).output
    assert "there are none" in run("show", "x").output


# check


def test_check_of_good_files() -> None:
    done = run("check", EXAMPLES)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "7 presets, no mistake\n")
    assert json.loads(run("check", EXAMPLES, "--json").output) == {
        "good": True,
        "presets": 7,
        "mistakes": [],
        "warnings": [],
    }


def test_check_tells_all_mistakes_of_all_files(tmp_path: Path) -> None:
    one = files(tmp_path / "one", a=tile('backgroud = "#fff"\nresize = { typ = "fit" }'), b=tile('extends = "zz"', "b"))
    two = files(tmp_path / "two", c="x = ")
    done = run("check", one, two / "c.toml")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"{one}/a.toml:5:1: unknown key 'backgroud', did you mean 'background'?",
        f"{one}/a.toml:6:12: resize.typ: resize has no 'typ', did you mean 'type'?",
        f"{one}/b.toml:3:10: preset 'b' uses 'zz', which is not defined",
        f"{two}/c.toml:3:1: this is not TOML: invalid value",
    ]
    assert done.stderr == "4 mistakes\n"
    told = json.loads(run("check", one, "--json").output)
    assert not told["good"]
    assert told["mistakes"][0] == {
        "file": f"{one}/a.toml",
        "line": 5,
        "column": 1,
        "text": "unknown key 'backgroud', did you mean 'background'?",
    }


def test_check_of_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff")
    done = run("check", tmp_path)
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{tmp_path}/a.toml:1:1: ")


def test_on_a_terminal_a_caret_points_at_the_mistake(tmp_path: Path) -> None:
    bad = files(tmp_path, a=tile('resize = { typ = "fit" }'))
    done = run("check", bad, **TERMINAL)
    assert '    5 │ resize = { typ = "fit" }\n      │            ^^^\n' in done.output
    beyond = files(tmp_path, a="x = ")
    assert "    3 │ x = \n      │ ^\n" in run("check", beyond, **TERMINAL).output


def test_check_of_the_settings() -> None:
    assert run("check", presets="a=w:5").exit_code == 0
    done = run("check", presets="a=pr:b", **TERMINAL)
    assert done.exit_code == 1
    assert "IMGPROXY_PRESETS, preset 1: preset 'a' uses 'b', which is not defined" in done.output


def test_warnings_do_not_change_the_exit_code(tmp_path: Path) -> None:
    old = "deprecated = { since = 2020-01-01, remove = 2020-06-01 }"
    known = files(
        tmp_path, a=tile(f"width = 5\n{old}") + tile('format = "jxl"', "jxl") + tile("max_src_resolution = 5", "big")
    )
    done = run("check", known)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"{known}/a.toml:3:10: warning: preset 'tile' was to be removed on 2020-06-01",
        f"{known}/a.toml:10:10: warning: preset 'big' cannot be used with these settings: max_src_resolution: security "
        "options need IMGPROXY_ALLOW_SECURITY_OPTIONS".replace("max_src_resolution:", "msr:"),
        f"{known}/a.toml:7:10: warning: preset 'jxl' cannot be used with these settings: jxl cannot be written here",
    ]
    assert done.stderr == "3 presets, no mistake; 3 warnings\n"
    assert len(json.loads(run("check", known, "--json").output)["warnings"]) == 3


def test_presets_that_the_defaults_shut_out(tmp_path: Path) -> None:
    known = files(tmp_path, a='[defaults]\nallow = ["width"]\n' + tile("width = 5"))
    assert (
        "preset 'tile' cannot be used with these settings: preset 'default' allows no other"
        in run("check", known).output
    )


# preview


def test_preview_is_a_picture_of_presets_and_samples(folder: Path, photo: Path) -> None:
    small, out = folder.parent / "small.png", folder.parent / "sheet.png"
    small.write_bytes(charts.tiny(3))
    done = run("preview", folder, "--sample", photo, "--sample", small, "--out", out)
    assert (done.exit_code, done.output) == (0, f"{out}: 8 presets on 2 samples\n")
    both = pyvips.Image.new_from_file(str(out))
    run("preview", folder, "--sample", photo, "--out", out)
    one = pyvips.Image.new_from_file(str(out))
    assert both.width - one.width == 236
    run("preview", folder, "--sample", photo, "--preset", "hero", "--out", out)
    assert pyvips.Image.new_from_file(str(out)).height < one.height / 2


def test_preview_as_a_page(folder: Path, photo: Path) -> None:
    out = folder.parent / "sheet.html"
    told = json.loads(run("preview", folder, "--sample", photo, "--out", out, "--json").output)
    assert told["file"] == str(out)
    cells = {each["preset"]: each for each in told["pictures"]}
    assert len(told["pictures"]) == 8
    assert cells["basket"] | {"bytes": 0} == {
        "preset": "basket",
        "sample": "photo.png",
        "format": "png",
        "width": 96,
        "height": 96,
        "bytes": 0,
    }
    page = out.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 7
    assert page.count("data:image/webp;base64,") == 1
    assert "http://" not in page
    assert "https://" not in page
    for part in (
        "hero (canary)",
        "Tried on 10% of the sources.",
        "deprecated: use hero",
        "Widths 1600",
        "shop-frontend",
    ):
        assert part in page


def test_preview_gives_what_a_browser_gets(folder: Path, photo: Path) -> None:
    arguments = (
        "preview",
        folder,
        "--sample",
        photo,
        "--preset",
        "portrait",
        "--out",
        folder / "x.dat",
        "--html",
        "--json",
    )
    (cell,) = json.loads(run(*arguments, auto_webp="1").output)["pictures"]
    assert cell["format"] == "webp"
    assert (folder / "x.dat").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("name", ["sheet.png", "sheet.html"])
def test_what_cannot_be_rendered_is_told_where_its_picture_would_be(folder: Path, photo: Path, name: str) -> None:
    bad, out = folder.parent / "<b>.png", folder.parent / name
    bad.write_bytes(b"<html>")
    done = run("preview", folder, "--sample", bad, "--sample", photo, "--preset", "hero", "--out", out)
    assert done.exit_code == 1
    assert done.stderr.count("<b>.png: the first bytes belong to no image format") == 2
    assert out.stat().st_size > 1000
    if name.endswith("html"):
        assert "&lt;b&gt;.png" in out.read_text(encoding="utf-8")
        assert "<b>.png" not in out.read_text(encoding="utf-8")


def test_what_cannot_be_rendered_in_json(folder: Path) -> None:
    bad = folder.parent / "bad.png"
    bad.write_bytes(b"<html>")
    done = run("preview", folder, "--sample", bad, "--preset", "hero", "--out", folder / "x.png", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)["pictures"]
    assert [each["preset"] for each in told] == ["hero", "hero (canary)"]
    assert all(each["error"].startswith("the first bytes") for each in told)


def test_preview_of_nothing_or_to_nowhere(folder: Path, photo: Path) -> None:
    nothing = run("preview", "--sample", photo, "--out", folder / "x.png")
    assert (nothing.exit_code, nothing.stderr) == (1, "There are no presets to show.\n")
    nowhere = run("preview", folder, "--sample", photo, "--preset", "hero", "--out", folder / "no" / "x.html")
    assert (nowhere.exit_code, "No such file" in nowhere.stderr) == (1, True)


def test_preview_of_the_defaults_on_shipped_samples(tmp_path: Path) -> None:
    known = files(tmp_path, a='[defaults]\nresize = ["fit", 20, 20]\nformat = "png"\n')
    told = json.loads(run("preview", known, "--out", tmp_path / "x.png", "--json").output)
    assert [(max(each["width"], each["height"]), each["format"]) for each in told["pictures"]] == [(20, "png")] * 4


# diff


def test_diff_of_the_same(folder: Path) -> None:
    done = run("diff", EXAMPLES, folder)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Nothing is different.\n")
    assert json.loads(run("diff", EXAMPLES, folder, "--json").output) == {"changes": []}


def test_diff(tmp_path: Path) -> None:
    old = files(tmp_path / "old", a=tile("width = 50\nquality = 80") + tile("width = 5", "gone"))
    new = files(tmp_path / "new", a=tile("width = 60\nblur = 2") + tile("width = 6", "come"))
    done = run("diff", old, new)
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        "+ come  added",
        "    resize: + rs:fit:6",
        "    description: + d",
        "    owner: + team",
        "- gone  removed",
        "    resize: - rs:fit:5",
        "    description: - d",
        "    owner: - team",
        "~ tile  changed",
        "    resize: rs:fit:50 → rs:fit:60",
        "    quality: - q:80",
        "    blur: + bl:2",
    ]


def test_diff_says_how_it_shows(tmp_path: Path, photo: Path) -> None:
    old = files(
        tmp_path / "old",
        a=tile("width = 50") + tile("width = 50", "b") + tile("width = 50", "c") + tile("width = 5", "d"),
    )
    new = files(
        tmp_path / "new",
        a=tile("width = 60") + tile("width = 50\nblur = 1", "b") + tile("width = 50\nsharpen = 0", "c"),
    )
    text = run("diff", old, new, "--sample", photo).output
    assert "    photo.png: 50x33 png, " in text
    assert "; another size, " in text
    assert "dB, mean difference " in text
    assert text.count("; the same\n") == 1
    told = {
        each["name"]: each for each in json.loads(run("diff", old, new, "--sample", photo, "--json").output)["changes"]
    }
    (blurred,) = told["b"]["pictures"]
    assert 0 < blurred["ssim"] < 1
    assert 10 < blurred["psnr"] < 60
    assert blurred["before"]["width"] == blurred["after"]["width"] == 50
    assert told["c"]["pictures"][0]["psnr"] is None
    assert told["c"]["pictures"][0]["ssim"] == 1
    assert "ssim" not in told["tile"]["pictures"][0]
    assert told["d"]["pictures"][0]["after"] is None


def test_diff_tells_pixels_from_bytes(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(charts.oriented(1))
    old = files(tmp_path / "old", a=tile("format = 'png'"))
    new = files(tmp_path / "new", a=tile("format = 'png'\nstrip_metadata = false"))
    assert "; same pixels, +" in run("diff", old, new, "--sample", tmp_path / "photo.jpg").output


def test_diff_as_a_page(tmp_path: Path, photo: Path) -> None:
    old = files(
        tmp_path / "old", a=tile("width = 50\nformat = 'webp'") + tile("width = 50", "b") + tile("width = 5", "c")
    )
    new = files(
        tmp_path / "new",
        a=tile("width = 50\nformat = 'jpeg'")
        + tile("width = 50\nsharpen = 0", "b")
        + tile("width = 5\nwidths = [5]", "c"),
    )
    out = tmp_path / "diff.html"
    assert run("diff", old, new, "--sample", photo, "--html", out).exit_code == 1
    page = out.read_text(encoding="utf-8")
    assert page.count("<img") == 3, "before, after and the difference of the one that looks different"
    assert page.count("8 times as strong") == 1
    assert "<del><code>f:webp</code></del> → <ins><code>f:jpeg</code></ins>" in page
    assert "https://" not in page


def test_diff_of_canaries_and_of_what_cannot_be_rendered(tmp_path: Path, photo: Path) -> None:
    canary = "[presets.tile.canary]\nshare = 0.5\nwidth = 20\n"
    old = files(tmp_path / "old", a=tile("width = 50") + tile("format = 'jxl'", "b") + tile("format = 'jxl'", "c"))
    new = files(
        tmp_path / "new",
        a=tile("width = 50") + canary + tile("format = 'png'", "b") + tile("format = 'jxl'\nblur = 1", "c"),
    )
    text = run("diff", old, new, "--sample", photo).output
    assert "    canary: + share 0.5: rs:fit:20\n" in text
    assert "    (canary) photo.png: 20x13 png, " in text
    assert "; one cannot be rendered\n" in text
    assert "; neither is rendered\n" in text
    assert run("diff", old, new, "--html", tmp_path / "x.html", "--sample", photo).exit_code == 1


def test_diff_with_a_broken_folder(tmp_path: Path, folder: Path) -> None:
    bad = files(tmp_path / "bad", a=tile("wdth = 5"))
    done = run("diff", bad, folder)
    assert done.exit_code == 1
    assert f"{bad}/a.toml:5:1: unknown key 'wdth', did you mean 'width'?" in done.stderr


# schema, convert


def test_schema() -> None:
    assert run("schema").output == schema_text()
    assert json.loads(run("schema", "--json").output)["title"]


def test_convert_lines_to_a_file_and_back(tmp_path: Path) -> None:
    lines = "# Small, square\nthumb=rs:fill:300:300/g:sm\ndefault=q:80\nboth=pr:thumb\n"
    done = run("convert", "-", "--to", "toml", "--owner", "shop", stdin=lines)
    assert done.exit_code == 0
    assert done.stderr == ""
    assert done.stdout == (
        'version = 1\nowner = "shop"\n\n[defaults]\nquality = 80\n\n[presets.thumb]\ndescription = "Small, square"\n'
        'resize = { type = "fill", width = 300, height = 300 }\ngravity = "smart"\n\n[presets.both]\nalias = "thumb"\n'
    )
    (tmp_path / "a.toml").write_text(done.stdout, encoding="utf-8")
    assert run("check", tmp_path).exit_code == 0
    back = run("convert", tmp_path / "a.toml", "--to", "lines")
    assert back.stdout == "default=q:80\n# Small, square\nthumb=rs:fill:300:300/g:sm\nboth=pr:thumb\n"
    assert run("convert", tmp_path / "a.toml", "--to", "toml", "--owner", "shop").stdout == done.stdout


def test_convert_tells_what_is_lost_or_missing() -> None:
    lost = run("convert", EXAMPLES / "newsroom.toml", "--to", "lines")
    assert lost.exit_code == 0
    assert f"{EXAMPLES / 'newsroom.toml'}:5:10: preset 'hero': no line can say widths, allow, canary\n" in lost.stderr
    bare = run("convert", "-", "--to", "toml", "--json", stdin="a=w:5\nb=w:6\n")
    assert json.loads(bare.stdout)["notes"] == ["These presets have no description yet: a, b"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a=wdth:5", "-:1:1: preset 'a': unknown option 'wdth', did you mean 'width'?"),
        ("version = 1\nowner = 'x'\n[presets.a]\nwdth = 5\ndescription='d'", "-:4:1: unknown key 'wdth'"),
        ("version = 1\nowner = \n", "-:2:9: this is not TOML"),
        ("a b=w:5", "preset 'a b': in files, names are of letters"),
    ],
)
def test_convert_of_mistakes(text: str, told: str) -> None:
    done = run("convert", "-", "--to", "toml", stdin=text)
    assert done.exit_code == 1
    assert told in done.stderr
    assert done.stdout == ""


def test_convert_of_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    done = run("convert", tmp_path / "a", "--to", "toml")
    assert (done.exit_code, "is not UTF-8 text" in done.stderr) == (1, True)
