from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgproxy.demo import SHOWCASE, demo_variables
from imgproxy.settings import Settings
from tests.serving import ROOT, Server, free_port, until

pytestmark = pytest.mark.e2e

READY_SECONDS = 10.0
"""Measured: 1.2 s on an idle machine of two cores."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A running demo, and what it says on standard output."""
    port, said = free_port(), tmp_path_factory.mktemp("demo") / "stdout"
    start = time.monotonic()
    with said.open("wb") as out, (said.parent / "log").open("w+b") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "imgproxy", "demo", "--port", str(port)],
            cwd=ROOT,
            env={"PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=log,
        )
        server = Server(process, f"127.0.0.1:{port}", log)
        try:
            until(lambda: "Ctrl-C" in said.read_text() or process.poll() is not None, seconds=30)
            assert process.poll() is None, server.raw_log
            assert time.monotonic() - start < READY_SECONDS
            yield server, said.read_text()
            assert server.end() == 0
        finally:
            process.kill()
            process.wait()


def test_every_showcase_is_an_image(demo: tuple[Server, str]) -> None:
    server, said = demo
    urls = re.findall(rf"http://{server.bind}(/\S+/\S+)", said)
    assert len(urls) == len(SHOWCASE)
    for url, (_, options, _) in zip(urls, SHOWCASE, strict=True):
        answer = server.ask(url)
        assert answer.status == 200, url
        assert answer.headers["content-type"].startswith("image/")
        assert f"/{options}/" in url
        assert answer.picture.width > 16
        assert answer.picture.avg() > 1


def test_the_animation_moves(demo: tuple[Server, str]) -> None:
    server, said = demo
    (url,) = re.findall(r"\d(/\S+spinner.gif)", said)
    assert server.ask(url).picture.get_n_pages() > 1


def test_its_page_is_the_playground(demo: tuple[Server, str]) -> None:
    server, said = demo
    page = server.ask("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert f"The playground:  http://{server.bind}/" in said
    headers = {"Content-Type": "application/json", "Origin": "http://127.0.0.1"}
    connection = server.connect()
    connection.request("POST", "/playground/start", b"{}", headers)
    with connection.getresponse() as response:
        told = json.load(response)
    connection.close()
    assert [each["about"] for each in told["examples"]] == [about for _, _, about in SHOWCASE]
    assert all(f"http://{server.bind}{each['url']}" in said for each in told["examples"])
    assert all(server.ask(each["thumbnail"]).status == 200 for each in told["examples"])
    assert {each["owner"] for each in told["presets"]} == {"shop-frontend", "newsroom"}
    assert told["uploads"] is True


def test_its_key_is_told_and_signs(demo: tuple[Server, str]) -> None:
    server, said = demo
    found = re.search(r"IMGPROXY_KEY=(\w+) IMGPROXY_SALT=(\w+)", said)
    assert found
    done = subprocess.run(
        [sys.executable, "-m", "imgproxy", "sign", "local:///koi.jpg", "w:30"],
        cwd=ROOT,
        env={"IMGPROXY_KEY": found[1], "IMGPROXY_SALT": found[2]},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert server.ask(done.stdout.strip()).picture.width == 30
    assert found[1] not in server.raw_log


def test_a_changed_url_explains_itself(demo: tuple[Server, str]) -> None:
    server, said = demo
    url = re.findall(rf"http://{server.bind}(/\S+/\S+)", said)[0]
    answer = server.ask(url.replace("480", "481"))
    assert answer.status == 403
    assert "another key or salt" in answer.text


def test_each_demo_has_a_key_of_its_own(tmp_path: Path) -> None:
    one, other = (Settings.read(demo_variables(8081, tmp_path)) for _ in range(2))
    assert one.signing.key != other.signing.key
    assert one.web.bind == "127.0.0.1:8081"
    assert one.warnings == ()


def test_every_sample_is_shown() -> None:
    samples = {path.name for path in Path(ROOT / "imgproxy" / "samples").iterdir() if path.is_file()}
    assert samples - {"watermark.png"} == {name for name, _, _ in SHOWCASE}


def test_a_taken_port_is_told_in_a_sentence(demo: tuple[Server, str]) -> None:
    port = demo[0].bind.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "imgproxy", "demo", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "The demo could not start: IMGPROXY_BIND: cannot listen at " in done.stderr
    assert "Traceback" not in done.stderr
