"""Placeholders, asked of a real server: documents with the headers, caches and refusals that pictures have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests import charts
from tests.serving import KEY, SALT, Server, serving, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

SOURCE = "local:///photo.png"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root: Path = tmp_path_factory.mktemp("files")
    (root / "photo.png").write_bytes(charts.quadrants(300, 200))
    (root / "fallback.png").write_bytes(charts.quadrants(60, 60))
    with serving(
        key=KEY,
        salt=SALT,
        local_filesystem_root=str(root),
        presets="card=rs:fill:150:150/f:avif/q:40",
        auto_webp="1",
        fallback_image_path=str(root / "fallback.png"),
    ) as server:
        yield server


def test_a_preset_has_its_placeholder(server: Server) -> None:
    answer = server.ask(signed(SOURCE, "pr:card", "plh:blurhash"), accept="image/avif,image/webp")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    said = json.loads(answer.body)
    assert (said["type"], said["width"], said["height"]) == ("blurhash", 150, 150)
    assert "vary" not in answer.headers
    assert answer.headers["content-disposition"] == 'inline; filename="photo.json"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_it_is_remembered_for_all_clients_and_asked_for_by_condition(server: Server) -> None:
    target = signed(SOURCE, "w:100", "plh:thumbhash")
    first = server.ask(target, accept="image/webp")
    again = server.ask(target, accept="*/*")
    assert again.body == first.body
    assert again.headers["cache-status"].startswith("imgproxy; hit")
    # Another URL of the same placeholder is the same one.
    same = server.ask(signed(SOURCE, "rs:fit:100:0", "f:webp", "q:30", "placeholder:thumbhash"))
    assert same.headers["cache-status"].startswith("imgproxy; hit")
    assert server.ask(target, if_none_match=first.headers["etag"]).status == 304
    head = server.ask(target, "HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(first.body)), b"")


def test_a_picture_beside_it_stays_a_picture(server: Server) -> None:
    answer = server.ask(signed(SOURCE, "w:100"), accept="image/webp")
    assert (answer.headers["content-type"], answer.headers["vary"]) == ("image/webp", "Accept")


def test_where_the_source_is_missing_it_is_that_of_the_fallback_image(server: Server) -> None:
    answer = server.ask(signed("local:///missing.png", "plh:blurhash"))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.body)["width"] == 60


def test_refusals(server: Server) -> None:
    assert server.ask(signed(SOURCE, "plh:blurrhash")).said == (404, "Invalid URL")
    assert server.ask(signed(SOURCE, "plh:lqip", "raw:1")).said == (404, "Invalid URL")
