"""A changed preset at a real edge before a real node: its key is the URL, which says the same as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgproxy.settings import Settings
from tests import charts
from tests.edge.running import Running, edge_before
from tests.serving import free_port, serving, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

SHOP = """version = 1
owner = "shop"
[presets.tile]
description = "Tile"
resize = {{ type = "force", width = {tile}, height = 8 }}
format = "png"
[presets.zoom]
description = "Zoom"
extends = "tile"
resize = {{ height = 16 }}
[presets.hero]
description = "Something else"
resize = {{ type = "force", width = 30, height = 8 }}
format = "png"
"""
EVERYTHING = """version = 1
owner = "ops"
[defaults]
dpr = 2
"""


def target(*options: str) -> str:
    return "/x/" + "/".join([*options, "plain/local:///photo.png"])


def size(edge: Running, target: str) -> tuple[int, int]:
    picture = edge.ask(target).picture
    return picture.width, picture.height


def kept(edge: Running, *targets: str) -> list[bool]:
    return ["edge; hit" in edge.ask(target).headers["cache-status"] for target in targets]


def test_an_edge_forgets_what_a_changed_preset_shapes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(charts.quadrants(60, 40))
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "shop.toml").write_text(SHOP.format(tile=10))
    bind = f"127.0.0.1:{free_port()}"
    tile, zoom, hero, plain = target("pr:tile"), target("pr:zoom"), target("pr:hero"), target("w:5", "f:png")
    every = (tile, zoom, hero, plain)
    with edge_before((bind,), loop_id=Settings.read({}).loop_id) as edge:
        given = {"edge_urls": f"http://{edge.edge.purge_listen}", "presets_dir": str(folder)}
        with serving(bind=bind, local_filesystem_root=str(tmp_path), ttl="3600", **given):
            for each in every:
                edge.ask(each)
            until(lambda: all(kept(edge, *every)))
            (folder / "shop.toml").write_text(SHOP.format(tile=20))
            until(lambda: size(edge, tile) == (20, 8), 2.0)
            assert size(edge, zoom) == (20, 16)
            assert kept(edge, hero, plain) == [True, True]
            until(lambda: all(kept(edge, *every)))
            # Back again: the node has the picture of then, and the edge may keep it.
            (folder / "shop.toml").write_text(SHOP.format(tile=10))
            until(lambda: size(edge, tile) == (10, 8), 2.0)
            until(lambda: all(kept(edge, *every)))
            # The preset of all requests concerns all requests.
            (folder / "all.toml").write_text(EVERYTHING)
            until(lambda: size(edge, tile) == (20, 16), 2.0)
            assert [size(edge, each) for each in (zoom, hero)] == [(20, 32), (60, 16)]
            assert kept(edge, plain) == [False]
            until(lambda: all(kept(edge, *every)))
            (folder / "all.toml").unlink()
            until(lambda: size(edge, tile) == (10, 8), 3.0)
            until(lambda: all(kept(edge, *every)))
