"""The rendered configuration: good in the eyes of nginx and of gixy, whatever the settings hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imgproxy.edge.configuration import EXAMPLE, Edge, render, write
from tests.edge.running import edge_before, edge_in

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
NODES = ("127.0.0.1:1", "[::1]:2", "node-3:8080")

CONFIGURATIONS: dict[str, Mapping[str, Any]] = {
    "plain": {"nodes": NODES[:2]},
    "everything": {
        "nodes": NODES[:1],
        "purge_token": 'a"b\\c$d]]\n',
        "purge_allow": ("10.0.0.0/8", "::1"),
        "cache_size": "512m",
        "inactive": "12h",
        "timeout": 0.25,
        "keep_alive": 0.0,
        "path_prefix": '/a b;{c}."d"\\e',
        "health_check_path": "/well/",
        "arguments_separator": ']]--"',
        "only_presets": True,
        "base64_url_includes_filename": True,
        "base_url": 'http://bücher.example/$x?\x00"\\',
        "url_replacements": (("a.*/", "${0}$1]]"),),
        "formats": ("webp",),
        "client_hints": True,
        "authorization": True,
        "cdn_tags": True,
        "workers": "3",
        "open_files": 256,
        "file_threads": True,
    },
}


@pytest.mark.parametrize("fields", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_nginx_and_gixy_have_nothing_to_say(tmp_path: Path, fields: dict[str, Any]) -> None:
    edge = edge_in(tmp_path, **fields)
    write(edge, tmp_path)
    conf = str(tmp_path / "nginx.conf")
    checked = subprocess.run(["nginx", "-t", "-p", f"{tmp_path}/", "-c", conf], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "[" not in checked.stderr
    gixy = subprocess.run([Path(sys.executable).parent / "gixy", conf], capture_output=True, text=True)
    assert gixy.returncode == 0, gixy.stdout
    assert "No issues found" in gixy.stdout


def test_odd_settings_arrive_in_lua() -> None:
    fields = dict(CONFIGURATIONS["everything"])
    fields |= {"path_prefix": "/a", "nodes": ("127.0.0.1:1",)}
    del fields["open_files"]
    token = 'a"b\\c$d]]'
    with edge_before(**(fields | {"purge_token": token, "purge_allow": ("127.0.0.1",)})) as edge:
        assert edge.post(b"", "GET", Authorization=f"Bearer {token}").status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"nodes": ()},
        {"cache_size": "10 GB"},
        {"min_free": "1;"},
        {"keys_zone": ""},
        {"inactive": "soon"},
        {"workers": "0"},
        {"workers": "auto; x"},
        {"path_prefix": "/$x"},
        {"access_log": "a\nb"},
        {"nodes": ("a$b:1",)},
    ],
)
def test_what_nginx_cannot_be_told_is_refused(fields: dict[str, Any]) -> None:
    given: dict[str, Any] = {"nodes": NODES} | fields
    with pytest.raises(ValueError, match=r"expected|nodes|nginx cannot"):
        render(Edge(**given))


def test_timeouts_follow_those_of_the_nodes() -> None:
    text = render(Edge(nodes=NODES, timeout=4.5, keep_alive=5))["nginx.conf"]
    assert "proxy_read_timeout 5500ms;" in text
    assert "proxy_next_upstream_timeout 4500ms;" in text
    assert "keepalive_timeout 4000ms;" in text


def test_the_example_is_current() -> None:
    folder = ROOT / "nginx"
    assert {path.name: path.read_text() for path in folder.iterdir()} == render(EXAMPLE)
