from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.serving import KEY, ROOT, SALT, Server, free_port, serving, signed, until

KEYS = {"key": KEY, "salt": SALT}
PRESETS = {"presets": "card=rs:fill:40:30,hero=w:60/f:webp"}
SITEMAP = """<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
 xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><url><loc>http://example.com/</loc>
 <image:image><image:loc>local:///leaf.jpg</image:loc></image:image></url></urlset>"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(local_filesystem_root="imgproxy/samples", secret="hush", **KEYS, **PRESETS) as running:
        yield running


def settings(server: Server) -> dict[str, str]:
    return {"bind": server.bind, "secret": "hush", **KEYS, **PRESETS}


@pytest.mark.e2e
def test_sources_in_presets(server: Server, tmp_path: Path) -> None:
    state = str(tmp_path / "done")
    given = "local:///koi.jpg\nlocal:///nosuch.jpg\n"
    done = run("warm", "-", "--preset", "card,hero", "--resume", state, given=given, **settings(server))
    assert done.exit_code == 1
    assert "✗  2 of 4 done: 2 made, 0 were there;" in done.stdout
    assert "     2 failed  404 Source is unreachable\n" in done.stdout
    assert signed("local:///nosuch.jpg", "pr:card") in done.stdout
    again = run("warm", "-", "--preset", "card,hero", "--resume", state, given=given, **settings(server))
    assert "✗  0 of 4 done, 2 finished before: 0 made, 0 were there;" in again.stdout
    answer = server.ask(signed("local:///koi.jpg", "pr:card"), Authorization="Bearer hush")
    assert "hit" in answer.headers["cache-status"]


@pytest.mark.e2e
def test_urls_and_paths(server: Server, tmp_path: Path) -> None:
    path = signed("local:///leaf.jpg", "w:33")
    urls = tmp_path / "urls.txt"
    urls.write_text(f"{path}\nhttp://{server.bind}{path}\nhttp://elsewhere.example{path}\n")
    done = run("warm", str(urls), "--json", "--accept", "image/webp", "--accept", "*/*", **settings(server))
    told = json.loads(done.stdout)
    assert (told["good"], told["total"], told["done"], told["failed"]) == (False, 3, 2, 1)
    assert "is asked" in told["failures"][0]["reason"]
    one = run("warm", "-", "--base", f"http://{server.bind}", given=path, **settings(server) | {"bind": ":1"})
    assert one.exit_code == 0, one.output
    assert "✓  1 of 1 done: 0 made, 1 were there;" in one.stdout


@pytest.mark.e2e
def test_images_of_a_sitemap(server: Server, tmp_path: Path) -> None:
    sitemap = tmp_path / "sitemap.xml"
    sitemap.write_text(SITEMAP)
    done = run("warm", str(sitemap), "--preset", "hero", **settings(server))
    assert done.exit_code == 0, done.output
    assert "1 of 1 done" in done.stdout


@pytest.mark.e2e
def test_a_server_at_a_socket(tmp_path: Path) -> None:
    bind = f"unix:{tmp_path / 'socket'}"
    with serving(bind=bind, local_filesystem_root="imgproxy/samples"):
        done = run("warm", "-", given="/unsafe/w:20/plain/local:///koi.jpg", bind=bind)
    assert (done.exit_code, "1 of 1 done" in done.stdout) == (0, True)


@pytest.mark.e2e
def test_ctrl_c_loses_nothing(server: Server, tmp_path: Path) -> None:
    urls, state = tmp_path / "urls.txt", tmp_path / "done"
    urls.write_text("".join(f"local:///koi.jpg?{n}\n" for n in range(3000)))
    command = [sys.executable, "-m", "imgproxy", "warm", str(urls), "--preset", "card", "--resume", str(state)]
    environment = {f"IMGPROXY_{name.upper()}": value for name, value in settings(server).items()}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: state.exists() and state.read_bytes().count(b"\n") > 10, seconds=30)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"Stopped: go on with --resume {state}" in out.decode()
    assert "Traceback" not in err.decode()
    lines = state.read_text().splitlines()
    assert f"{len(lines) - 1} of 3000 done" in out.decode()


@pytest.mark.parametrize(
    ("arguments", "given", "code", "said"),
    [
        (["-", "--preset", "nosuch"], "x", 2, "no preset is named 'nosuch'; there are card, hero"),
        (["-", "--preset", " , "], "x", 2, "expected names of presets"),
        (["-", "--base", "ftp://a"], "x", 2, "expected http://host"),
        (["-", "--concurrency", "65"], "x", 2, "65"),
        (["/nowhere"], "", 2, "there is no file /nowhere"),
        (["-"], "# nothing\n", 1, "nothing to ask for"),
        (["-"], "<html>", 1, "root is <html>"),
        (["-"], SITEMAP.replace("image:loc", "image:no"), 1, "lists 1 pages and no images"),
        (["-", "--resume", __file__], "/x", 1, "no file that"),
        (["http://127.0.0.1:9/sitemap.xml"], "", 1, "http://127.0.0.1:9/sitemap.xml: "),
    ],
)
def test_what_cannot_be_done(arguments: list[str], given: str, code: int, said: str) -> None:
    done = run("warm", *arguments, given=given, bind=f"127.0.0.1:{free_port()}", **PRESETS)
    assert done.exit_code == code
    assert said in done.stderr
