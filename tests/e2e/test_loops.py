"""Sources that are images of the server itself: refused, instead of asked for until nothing is left."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests import charts
from tests.serving import KEY, SALT, free_port, serving, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e


class Boomerang(BaseHTTPRequestHandler):
    """An origin that redirects everything to wherever it is told."""

    target = ""
    asked = 0

    def do_GET(self) -> None:
        Boomerang.asked += 1
        self.send_response(302)
        self.send_header("Location", Boomerang.target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@pytest.fixture
def boomerang() -> Iterator[str]:
    Boomerang.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Boomerang)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/picture.png"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("keyed", [True, False])
def test_a_server_does_not_ask_itself(tmp_path: Path, boomerang: str, *, keyed: bool) -> None:
    (tmp_path / "a.png").write_bytes(charts.tiny(30))
    keys = {"key": KEY, "salt": SALT} if keyed else {}
    bind = f"127.0.0.1:{free_port()}"
    with serving(bind=bind, local_filesystem_root=str(tmp_path), **keys) as server:
        inner = f"http://{bind}" + signed("local:///a.png", "w:10")
        assert server.ask(inner.removeprefix(f"http://{bind}")).status == 200
        answer = server.ask(signed(inner, "w:5"))
        assert (answer.status, answer.headers.get("content-type", "").startswith("image/")) == (403, False)

        outer = signed(boomerang, "w:20")
        Boomerang.target = f"http://{bind}{outer}"
        assert server.ask(outer).status == 403
        assert Boomerang.asked == 1
        codes = [line["code"] for line in server.lines() if line["status"] == 403]
        assert codes.count("source_loop") == 2


def test_services_with_other_keys_may_ask_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(charts.tiny(30))
    with serving(local_filesystem_root=str(tmp_path)) as inner, serving(key=KEY, salt=SALT) as outer:
        source = f"http://{inner.bind}" + signed("local:///a.png", "w:10")
        assert outer.ask(signed(source, "w:5")).picture.width == 5
