"""`imgproxy sign` beyond single URLs: presets, srcsets, elements, lines of stdin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imgproxy.cli import main
from imgproxy.signing import path_of
from imgproxy.tokens import Token, Tokens
from tests.serving import KEY, SALT, SIGNER, signed

ROOT = Path(__file__).parents[2]
GIVEN = {"key": KEY, "salt": SALT, "presets_dir": str(ROOT / "presets")}
SOURCE = "https://cdn.example.com/products/a.jpg"


def run(*arguments: str, stdin: str | None = None, **given: str) -> Result:
    environment = {f"IMGPROXY_{name.upper()}": value for name, value in (GIVEN | given).items()}
    return CliRunner().invoke(main, ("sign", *arguments), env=environment, input=stdin)


def test_a_preset_and_a_width() -> None:
    done = run(SOURCE, "--preset", "portrait", "-w", "80")
    assert (done.exit_code, done.output) == (0, signed(SOURCE, "pr:portrait", "w:80") + "\n")
    done = run(SOURCE, "g:no", "--preset", "portrait", "--base", "https://img.example/", "--base64")
    assert done.output == f"https://img.example{signed(SOURCE, 'pr:portrait', 'g:no', base64=True)}\n"


def test_a_srcset_is_printed_as_the_attribute() -> None:
    wanted = ",\n".join(f"{signed(SOURCE, 'pr:portrait', f'w:{width}')} {width}w" for width in (80, 160, 320))
    assert run(SOURCE, "--preset", "portrait", "--srcset", "preset").output == wanted + "\n"
    assert run(SOURCE, "--preset", "portrait", "--srcset", "320, 80,160").output == wanted + "\n"


def test_elements_and_json() -> None:
    img = run(SOURCE, "--preset", "portrait", "--srcset", "preset", "--sizes", "10em", "--alt", "<me>", "--html").output
    assert img.startswith(f'<img src="{signed(SOURCE, "pr:portrait")}" srcset="/')
    assert img.endswith(' 320w" sizes="10em" width="160" height="160" alt="&lt;me&gt;">\n')
    said = json.loads(run(SOURCE, "--preset", "portrait", "--srcset", "80", "--json").output)
    assert said["srcset"] == [{"url": signed(SOURCE, "pr:portrait", "w:80"), "width": 80}]
    assert (said["width"], said["height"], said["sources"]) == (160, 160, [])
    picture = run(SOURCE, "w:30", "--srcset", "30,60", "--picture").output
    assert [line.split()[0] for line in picture.splitlines()] == [
        "<picture>",
        "<source",
        "<source",
        "<img",
        "</picture>",
    ]
    offered = json.loads(run(SOURCE, "w:30", "--formats", "webp,jpg", "--json").output)["sources"]
    assert [each["type"] for each in offered] == ["image/webp", "image/jpeg"]
    assert run(SOURCE, "w:30", "--picture", "--formats", "png").output.count("<source") == 1


def test_lines_of_stdin() -> None:
    lines = f"  {SOURCE}\n\nhttp://h.test/b c.jpg\n"
    assert run("-", "w:3", stdin=lines).output.splitlines() == [
        signed(SOURCE, "w:3"),
        signed("http://h.test/b c.jpg", "w:3"),
    ]
    done = run("-", "--preset", "portrait", "--srcset", "preset", "--json", stdin=lines)
    assert done.exit_code == 0
    said = [json.loads(line) for line in done.output.splitlines()]
    assert [each["src"] for each in said] == [
        signed(SOURCE, "pr:portrait"),
        signed("http://h.test/b c.jpg", "pr:portrait"),
    ]
    assert run("-", "w:3", stdin="").output == ""


def test_a_line_that_is_refused_is_named_and_the_others_are_written() -> None:
    token = Tokens(SIGNER.pairs).make(Token.below("hero", "https://cdn.example.com/products/"))
    done = run("-", "--preset", "hero", "--token", token, stdin=f"http://other.test/\n{SOURCE}\n")
    assert done.exit_code == 1
    assert done.stdout == f"/{token}{path_of(SOURCE, ['pr:hero'])}\n"
    assert done.stderr.startswith("line 1: the source is not below the token's prefix\n")


def test_a_token_stands_in_the_place_of_each_signature() -> None:
    token = Tokens(SIGNER.pairs).make(Token.of("hero", SOURCE))
    done = run(SOURCE, "--preset", "hero", "--srcset", "640", "--token", token)
    assert done.output == f"/{token}/pr:hero/w:640/plain/{SOURCE} 640w\n"


def test_where_urls_say_presets_only() -> None:
    done = run(SOURCE, "--preset", "portrait", "--html", only_presets="1")
    assert done.output == f'<img src="{SIGNER.sign(f"/portrait/plain/{SOURCE}")}" width="160" height="160" alt="">\n'
    for wrong in (["--preset", "portrait", "-w", "80"], ["--preset", "portrait", "--srcset", "preset"], ["--html"]):
        refused = run(SOURCE, *wrong, only_presets="1")
        assert (refused.exit_code, "IMGPROXY_ONLY_PRESETS" in refused.stderr) == (2, True)


def test_another_separator() -> None:
    given = {"arguments_separator": ";", "presets_dir": "", "presets": "tile=rs;fill;160;160"}
    done = run(SOURCE, "--preset", "tile", "-w", "80", **given)
    assert done.output == SIGNER.sign(f"/pr;tile/w;80/h;80/plain/{SOURCE}") + "\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--preset", "nosuch"], "no preset is named 'nosuch'"),
        (["--preset", "nosuch", "--srcset", "preset"], "no preset is named 'nosuch'"),
        (["--preset", "basket", "--srcset", "preset"], "'basket' has no widths"),
        (["--preset", "portrait", "--srcset", "80,81"], "has the widths 80, 160, 320; got 81"),
        (["--preset", "portrait", "--picture"], "got 'f:avif'"),
        (["--html", "wdth:3"], "did you mean 'width'?"),
        (["--token", "~x", "--preset", "portrait"], "the token has 1 words"),
    ],
)
def test_what_a_server_would_refuse_is_a_finding(arguments: list[str], reason: str) -> None:
    done = run(SOURCE, *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert reason in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [SOURCE, "--srcset", "preset"],
        [SOURCE, "--srcset", "80,"],
        [SOURCE, "--srcset", "0"],
        [SOURCE, "--srcset", "99999"],
        [SOURCE, "-w", "0"],
        [SOURCE, "--formats", "webp,docx"],
        ["/w:3/plain/http://h.test/", "--html"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
