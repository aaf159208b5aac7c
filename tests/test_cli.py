from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import pyvips
from click.testing import CliRunner, Result

from imgproxy import __version__
from imgproxy.cli import main
from tests import charts
from tests.serving import KEY, SALT, free_port, serving, signed

KEYS = {"key": KEY, "salt": SALT}
SOURCE = "http://example.com/cat.jpg"


def run(*arguments: str, **given: str) -> Result:
    """The command with these settings (``ttl="60"`` is IMGPROXY_TTL)."""
    environment = {f"IMGPROXY_{name.upper()}": value for name, value in given.items()}
    return CliRunner().invoke(main, arguments, env=environment)


def test_version() -> None:
    assert run("version").output == f"{__version__}\n"


def test_help_names_every_command() -> None:
    text = run("-h").output
    for verb in ("serve", "demo", "sign", "explain", "render", "info", "health", "version"):
        assert f"\n  {verb}" in text
        assert run(verb, "--help").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "given", "printed"),
    [
        ([SOURCE, "rs:fit:300:300"], KEYS, signed(SOURCE, "rs:fit:300:300")),
        ([SOURCE, "w:3", "q:4", "--base64"], KEYS, signed(SOURCE, "w:3", "q:4", base64=True)),
        ([f"/w:3/plain/{SOURCE}"], KEYS, signed(SOURCE, "w:3")),
        ([SOURCE], {}, f"/unsafe/plain/{SOURCE}"),
        ([SOURCE, "--base", "https://img.example/"], {}, f"https://img.example/unsafe/plain/{SOURCE}"),
        ([SOURCE], {"path_prefix": "/img/"}, f"/img/unsafe/plain/{SOURCE}"),
        ([SOURCE, "w:3"], KEYS | {"key": f"00,{KEY}", "salt": f"00,{SALT}"}, signed(SOURCE, "w:3")),
    ],
)
def test_sign(arguments: list[str], given: dict[str, str], printed: str) -> None:
    done = run("sign", *arguments, **given)
    assert (done.exit_code, done.output) == (0, printed + "\n")


def test_sign_of_a_source_with_every_kind_of_character() -> None:
    source = "http://example.com/a b?x=1&y=%20@2x#é[0].jpg"
    for flag in ([], ["--base64"]):
        url = run("sign", source, "w:3", *flag, **KEYS).output.strip()
        assert url.isascii()
        assert " " not in url
        explained = json.loads(run("explain", url, "--json", **KEYS).output)
        assert {"name": "source", "text": source, "good": True, "remedy": ""} in explained["steps"]


def test_explain_a_good_url() -> None:
    long = f"{SOURCE}/{'very-' * 40}long.jpg"
    done = run("explain", signed(long, "w:3"), **KEYS)
    assert done.exit_code == 0
    assert "✓  signature  good: key 1 of 1\n" in done.output
    assert f"✓  source     {long}\n" in done.output  # not cut: it is there to be copied


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (signed(SOURCE, "w:3").replace("w:3", "w:4"), "another key or salt was used"),
        (signed(SOURCE, "wdth:3"), "did you mean 'width'?"),
        (signed(SOURCE, "exp:1"), "which is over"),
        (f"/w:3/plain/{SOURCE}", "looks like an option"),
        (signed(SOURCE, "[bold]:1[/]"), "'[bold]'"),
    ],
)
def test_explain_a_bad_url(url: str, reason: str) -> None:
    done = run("explain", url, **KEYS)
    assert done.exit_code == 1
    assert "✗" in done.output
    assert reason in done.output
    in_json = run("explain", url, "--json", **KEYS)
    assert in_json.exit_code == 1
    found = json.loads(in_json.output)
    assert not found["good"]
    assert reason in next(step["text"] for step in found["steps"] if not step["good"])


@pytest.mark.parametrize(
    "arguments",
    [["explain"], ["sign"], ["render", "a"], ["info"], ["nosuch"], ["explain", "x", "--no"], ["demo", "--port=x"]],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments", [["serve"], [], ["sign", SOURCE], ["explain", "/x"], ["render", "a", "b"], ["info", "a"], ["health"]]
)
def test_wrong_settings_are_all_told(arguments: list[str]) -> None:
    done = run(*arguments, ttl="soon", bind="nowhere")
    assert done.exit_code == 1
    assert done.stderr.startswith("These settings are wrong:\n")
    assert "IMGPROXY_TTL: " in done.stderr
    assert "IMGPROXY_BIND: " in done.stderr


def test_render_a_file(tmp_path: Path) -> None:
    source, out = tmp_path / "photo.png", tmp_path / "small.webp"
    source.write_bytes(charts.quadrants(300, 200))
    done = run("render", str(source), str(out), "rs:fit:90:90", "q:70")
    assert (done.exit_code, done.output) == (0, f"{out}: webp 90x60, {out.stat().st_size} bytes\n")
    assert pyvips.Image.new_from_file(str(out)).width == 90


def test_render_an_animation(tmp_path: Path) -> None:
    source, out = tmp_path / "counter.gif", tmp_path / "small.gif"
    source.write_bytes(charts.counter())
    done = run("render", str(source), str(out), "w:80", max_animation_frames="3")
    assert f"{out}: gif 80x60, 3 frames, " in done.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["wdth:3"], "did you mean 'width'?"),
        (["w:abc"], "'abc'"),
        (["f:jxl"], "jxl cannot be written here"),
        (["pr:nosuch"], "'nosuch'"),
    ],
)
def test_render_with_a_bad_option(tmp_path: Path, options: list[str], reason: str) -> None:
    source, out = tmp_path / "photo.png", tmp_path / "out.png"
    source.write_bytes(charts.tiny(3))
    done = run("render", str(source), str(out), *options)
    assert done.exit_code == 1
    assert reason in done.stderr
    assert not out.exists()


def test_render_what_is_not_there_or_no_picture(tmp_path: Path) -> None:
    missing = run("render", str(tmp_path / "missing.png"), str(tmp_path / "out.png"))
    assert (missing.exit_code, "No such file" in missing.stderr) == (1, True)
    (tmp_path / "page.png").write_bytes(b"<html>")
    page = run("render", str(tmp_path / "page.png"), str(tmp_path / "out.png"))
    assert (page.exit_code, "belong to no image format" in page.stderr) == (1, True)
    (tmp_path / "photo.png").write_bytes(charts.tiny(3))
    nowhere = run("render", str(tmp_path / "photo.png"), str(tmp_path / "nosuch" / "out.png"))
    assert (nowhere.exit_code, "No such file" in nowhere.stderr) == (1, True)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """Who took it and where; lying on its side."""
    image = pyvips.Image.new_from_buffer(charts.oriented(6), "").copy()
    for ifd, name, text in ((0, "Make", "Camera\x1b[2J"), (3, "GPSLatitude", "52/1 31/1 0/1")):
        image.set_type(pyvips.GValue.gstr_type, f"exif-ifd{ifd}-{name}", text)
    source = tmp_path / "photo.jpg"
    source.write_bytes(image.jpegsave_buffer())
    return source


def test_info_in_words(photograph: Path) -> None:
    done = run("info", str(photograph))
    assert done.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in done.output.splitlines())
    assert lines["format"] == f"jpeg, {photograph.stat().st_size:,} bytes"
    assert lines["size"] == "300 x 200, turned by EXIF orientation 6"
    assert lines["colours"] == "srgb, 8 bits a channel"
    assert lines["profile"] == "none"
    assert (len(lines["average"]), len(lines["dominant"]), len(lines["thumbhash"])) == (7, 7, 28)
    assert lines["Make"].startswith("Camera")
    assert "\x1b" not in done.output  # nothing for the terminal to obey
    assert "GPSLatitude" not in lines
    assert "GPSLatitude" in run("info", str(photograph), "--all").output


def test_info_in_json(photograph: Path) -> None:
    said = json.loads(run("info", str(photograph), "--json").output)
    assert (said["format"], said["mime_type"], said["width"], said["height"]) == ("jpeg", "image/jpeg", 300, 200)
    assert (said["orientation"], said["frames"], said["pages_number"], said["alpha"]) == (6, 1, 1, False)
    assert said["exif"].keys() == {"Make"}
    assert "GPSLatitude" in json.loads(run("info", str(photograph), "--json", "--all").output)["exif"]


def test_info_of_what_moves_and_what_has_pages(tmp_path: Path) -> None:
    source = tmp_path / "counter.gif"
    source.write_bytes(charts.counter())
    assert "frames             5\n" in run("info", str(source)).output
    pages = pyvips.Image.arrayjoin([pyvips.Image.black(8, 8)] * 3, across=1).copy()
    pages.set_type(pyvips.GValue.gint_type, "page-height", 8)
    source.write_bytes(pages.tiffsave_buffer())
    assert "pages              3\n" in run("info", str(source)).output
    source.write_bytes(charts.alpha_disc())
    assert ", with transparency\n" in run("info", str(source)).output


def test_info_of_what_is_not_there_or_no_picture(tmp_path: Path) -> None:
    missing = run("info", str(tmp_path / "missing.png"))
    assert (missing.exit_code, "No such file" in missing.stderr) == (1, True)
    (tmp_path / "page.png").write_bytes(b"<html>")
    page = run("info", str(tmp_path / "page.png"))
    assert (page.exit_code, "belong to no image format" in page.stderr) == (1, True)


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_health(tmp_path: Path, kind: str) -> None:
    bind = f"unix:{tmp_path / 'socket'}" if kind == "unix" else f"127.0.0.1:{free_port()}"
    with serving(bind=bind):
        done = run("health", bind=bind)
        assert (done.exit_code, done.output) == (0, "imgproxy is running\n")
    done = run("health", bind=bind)
    assert done.exit_code == 1
    assert "The server does not answer" in done.stderr


def test_health_of_something_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Accepted by the kernel and never answered: closed with the listener's backlog.
        bind = f"127.0.0.1:{listener.getsockname()[1]}"
        closing = subprocess.Popen(
            [sys.executable, "-c", CLOSES, str(listener.fileno())], pass_fds=(listener.fileno(),)
        )
        done = run("health", bind=bind)
        closing.wait(timeout=10)
    assert done.exit_code == 1
    assert "The server does not answer" in done.stderr


CLOSES = """
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
connection, _ = listener.accept()
connection.sendall(b"SSH-2.0-OpenSSH\\r\\n")
connection.recv(1000)
connection.close()
"""


@pytest.mark.e2e
@pytest.mark.parametrize("verb", [["serve"], []])
def test_a_taken_address_is_told_in_a_sentence(verb: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bind = f"127.0.0.1:{listener.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "imgproxy", *verb],
            env={"IMGPROXY_BIND": bind, "IMGPROXY_WORKERS": "1"},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 1
    assert (
        f"The server could not start: IMGPROXY_BIND: cannot listen at {bind}: Address already in use; stop "
        in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_nginx_writes_an_edge_that_fits_the_settings(tmp_path: Path) -> None:
    settings = {"IMGPROXY_AUTO_WEBP": "1", "IMGPROXY_PATH_PREFIX": "/images", "IMGPROXY_EDGE_TOKEN": "hush"}
    folder = tmp_path / "edge"
    nodes = ("--node", "127.0.0.1:1", "--node", "127.0.0.1:2")
    ran = CliRunner().invoke(main, ["nginx", str(folder), *nodes, "--purge-allow", "10.0.0.0/8"], env=settings)
    assert ran.exit_code == 0, ran.output
    assert "nginx -p" in ran.output
    text = (folder / "nginx.conf").read_text()
    for part in ("127.0.0.1:1", "127.0.0.1:2", "10.0.0.0/8"):
        assert part in text
    told = (folder / "settings.lua").read_text()
    for part in ('formats = {"webp"}', 'path_prefix = "/images"', 'purge_token = "hush"'):
        assert part in told
    assert (folder / "settings.lua").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--node", "a:1", "--cache-size", "big"], "cache_size: expected a size"),
        (["--node", "a$b:1"], "nodes: expected host:port"),
        (["--node", "a:1", "--path-prefix", "x"], "No such option"),
        ([], "Missing option '--node'"),
    ],
)
def test_nginx_says_what_is_wrong(tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = CliRunner().invoke(main, ["nginx", str(tmp_path / "edge"), *arguments], env={})
    assert ran.exit_code != 0
    assert said in ran.output
