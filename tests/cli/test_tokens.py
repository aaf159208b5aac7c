"""`imgproxy token`, and what `imgproxy explain` says of what it makes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imgproxy.cli import main
from imgproxy.signing import KeyPair
from imgproxy.tokens import Token, Tokens
from tests.serving import KEY, SALT, SIGNER

GIVEN = {"key": KEY, "salt": SALT, "presets_dir": str(Path(__file__).parents[2] / "presets")}
SOURCE = "https://cdn.example.com/products/a.jpg"
PREFIX = "https://cdn.example.com/products/"
TOKENS = Tokens(SIGNER.pairs)


def run(*arguments: str, **given: str) -> Result:
    environment = {f"IMGPROXY_{name.upper()}": value for name, value in (GIVEN | given).items()}
    return CliRunner().invoke(main, arguments, env=environment)


def test_a_token_and_nothing_else_is_printed() -> None:
    assert (
        run("token", "--preset", "hero", "--prefix", PREFIX).output == TOKENS.make(Token.below("hero", PREFIX)) + "\n"
    )
    before = int(time.time())
    text = run("token", "--preset", "hero", "--source", SOURCE, "--expires", "7d").output.strip()
    token, _ = TOKENS.read(text)
    assert before + 7 * 86400 <= token.expires <= time.time() + 7 * 86400
    assert token.digest == Token.of("hero", SOURCE).digest


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("1h", 3600), ("4w", 2419200)])
def test_lifetimes(text: str, seconds: int) -> None:
    before = int(time.time())
    said = json.loads(run("token", "--preset", "hero", "--source", "x", "--expires", text, "--json").output)
    assert before + seconds <= said["expires"] <= time.time() + seconds


def test_json_tells_what_it_permits_and_a_url_to_fill_in() -> None:
    said = json.loads(run("token", "--preset", "hero", "--source", SOURCE, "--base", "https://img/", "--json").output)
    assert said == {
        "token": TOKENS.make(Token.of("hero", SOURCE)),
        "preset": "hero",
        "source": SOURCE,
        "prefix": None,
        "expires": None,
        "key": TOKENS.key_ids[0],
        "widths": [640, 1024, 1600, 2200],
        "allow": ["width", "dpr", "gravity"],
        "url": f"https://img/{said['token']}/pr:hero/w:{{width}}/plain/{SOURCE}",
    }
    explained = run("explain", said["url"].replace("{width}", "640"))
    assert explained.exit_code == 0, explained.output
    below = json.loads(run("token", "--preset", "basket", "--prefix", PREFIX, "--json").output)
    assert below["url"] == f"/{below['token']}/pr:basket/plain/{{source}}"
    alone = json.loads(run("token", "--preset", "hero", "--source", SOURCE, "--json", only_presets="1").output)
    assert alone["url"] == f"/{alone['token']}/hero/plain/{SOURCE}"


def test_the_source_is_what_will_be_fetched() -> None:
    given = {"base_url": "https://cdn.example.com/"}
    said = json.loads(run("token", "--preset", "hero", "--source", "products/a.jpg", "--json", **given).output)
    assert said["token"] == TOKENS.make(Token.of("hero", SOURCE))
    assert run("explain", said["url"].replace("{width}", "640"), **given).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "given", "reason"),
    [
        (["--preset", "nosuch", "--source", "x"], {}, "no preset is named 'nosuch'"),
        (["--preset", "hero", "--prefix", "https://h.test/a"], {}, "with a slash at the end"),
        (["--preset", "hero", "--prefix", f"https://h.test/{'a' * 900}/"], {}, "shorten the prefix"),
        (["--preset", "hero", "--source", "x"], {"key": "", "salt": ""}, "No key is configured"),
    ],
)
def test_findings(arguments: list[str], given: dict[str, str], reason: str) -> None:
    done = run("token", *arguments, **given)
    assert (done.exit_code, done.stdout) == (1, "")
    assert reason in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--source", "x"],
        ["--preset", "hero"],
        ["--preset", "hero", "--source", "x", "--prefix", PREFIX],
        ["--preset", "hero", "--source", "x", "--expires", "soon"],
        ["--preset", "hero", "--source", "x", "--expires", "0"],
        ["--preset", "hero", "--source", "x", "--expires", "9999999999w"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert run("token", *arguments).exit_code == 2


GOOD = TOKENS.make(Token.below("hero", PREFIX))
STRANGER = Tokens([KeyPair(b"other", b"key")])


@pytest.mark.parametrize(
    ("token", "rest", "reason"),
    [
        (GOOD[:-3], f"pr:hero/plain/{SOURCE}", "40 characters in place of 43"),
        (GOOD[:40], f"pr:hero/plain/{SOURCE}", "has 4 words"),
        (GOOD + "a" * 1024, f"pr:hero/plain/{SOURCE}", "1024 are the most"),
        (GOOD.replace(".0.", ".9."), f"pr:hero/plain/{SOURCE}", "changed after it was made"),
        (GOOD.replace("~", "%7E"), f"pr:hero/plain/{SOURCE}", "percent-encoded on its way"),
        (STRANGER.make(Token.of("hero", SOURCE)), f"pr:hero/plain/{SOURCE}", f"keys here are {TOKENS.key_ids[0]}"),
        (GOOD, f"w:640/plain/{SOURCE}", "names no preset"),
        (GOOD, f"pr:portrait/plain/{SOURCE}", "names the preset 'portrait', and the token is for 'hero'"),
        (GOOD, f"pr:hero:hero/plain/{SOURCE}", "more than once"),
        (GOOD, f"pr:hero/w:641/plain/{SOURCE}", "has the widths"),
        (GOOD, f"pr:hero/bl:4/plain/{SOURCE}", "leaves these options open to URLs: width, dpr, gravity; got 'bl:4'"),
        (GOOD, f"pr:hero/plain/{SOURCE}@png", "got 'f:png'"),
        (GOOD, "pr:hero/plain/https://cdn.example.com/a.jpg", "not below the token's prefix"),
        (GOOD, "pr:hero/plain/https:%5C%5Ccdn.example.com/products/a.jpg", "cannot be compared"),
        (TOKENS.make(Token.of("hero", SOURCE)), "pr:hero/plain/http://x/y", "not the one that the token was made for"),
        (TOKENS.make(Token.of("gone", SOURCE)), f"pr:gone/plain/{SOURCE}", "no preset is named 'gone'"),
        (TOKENS.make(Token.of("hero", SOURCE, 1)), f"pr:hero/plain/{SOURCE}", "by the token or the URL, which is over"),
    ],
)
def test_explain_has_a_reason_for_each(token: str, rest: str, reason: str) -> None:
    done = run("explain", f"/{token}/{rest}", "--json")
    assert done.exit_code == 1
    (bad,) = [step for step in json.loads(done.output)["steps"] if not step["good"]]
    assert reason in bad["text"]


def test_explain_tells_a_good_one_step_by_step() -> None:
    steps = json.loads(run("explain", f"/{GOOD}/pr:hero/w:640/plain/{SOURCE}", "--json").output)["steps"]
    said = {step["name"]: step["text"] for step in steps}
    assert said["token"] == f"good: key 1 of 1, for preset 'hero' and all sources below {PREFIX}"
    assert said["permitted"].endswith("may set width, dpr, gravity; widths are 640, 1024, 1600, 2200")
    one = TOKENS.make(Token.of("placeholder", SOURCE))
    steps = json.loads(run("explain", f"/{one}/pr:placeholder/plain/{SOURCE}", "--json").output)["steps"]
    said = {step["name"]: step["text"] for step in steps}
    assert said["token"] == "good: key 1 of 1, for preset 'placeholder' and one source"
    assert said["permitted"] == "by the token; beside the preset a URL may set gravity, placeholder"


def test_explain_without_keys_looks_at_no_token() -> None:
    steps = json.loads(run("explain", f"/~x/plain/{SOURCE}", "--json", key="", salt="").output)["steps"]
    assert steps[0]["text"] == "not checked: no key is configured"
