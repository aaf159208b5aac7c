"""The commands whose JSON is shown nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imgproxy import __version__
from tests import charts
from tests.cli.commands import run
from tests.serving import free_port, serving


def test_version() -> None:
    told = json.loads(run("version", "--json").output)
    assert told["version"] == __version__
    assert told["libvips"].startswith("8.")
    assert {"avif", "webp", "jpeg"} <= set(told["writes"]) <= set(told["reads"])


def test_render(tmp_path: Path) -> None:
    source, out = tmp_path / "photo.png", tmp_path / "small.webp"
    source.write_bytes(charts.quadrants(300, 200))
    told = json.loads(run("render", str(source), str(out), "rs:fit:90:90", "--json").output)
    size = out.stat().st_size
    assert told == {"file": str(out), "format": "webp", "width": 90, "height": 60, "frames": 1, "bytes": size}


def test_nginx(tmp_path: Path) -> None:
    told = json.loads(run("nginx", str(tmp_path / "edge"), "--node", "127.0.0.1:1", "--json").output)
    assert told["folder"] == str(tmp_path / "edge")
    assert told["start"].startswith("nginx -p ")


@pytest.mark.e2e
def test_health() -> None:
    bind = f"127.0.0.1:{free_port()}"
    with serving(bind=bind):
        done = run("health", "--json", bind=bind)
    assert json.loads(done.output) == {"good": True, "address": bind, "status": 200, "text": "imgproxy is running"}
    gone = run("health", "--json", bind=bind)
    told = json.loads(gone.output)
    assert (gone.exit_code, told["good"], told["status"]) == (1, False, 0)
