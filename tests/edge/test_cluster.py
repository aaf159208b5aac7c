"""Real nodes, a real Redis and a real edge, as deploy/cluster.py puts them together; and what deploy/ says of them."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.cluster import Cluster
from imgproxy.edge.configuration import EXAMPLE
from imgproxy.environment import RoomSettings
from imgproxy.settings import ROOMS, variable
from tests import charts
from tests.serving import ROOT, Answer, Server, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e
AVIF = "image/avif,image/webp,*/*;q=0.8"


def ask(cluster: Cluster, target: str, **headers: str) -> Answer:
    node = cluster.nodes[0]
    assert node.popen
    with node.log.open("rb") as log:
        return Server(node.popen, cluster.edge, log).ask(target, **headers)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("quadrants.png", "gradient.png"):
        (folder / name).write_bytes(charts.SOURCES[name]())
    settings = {"local_filesystem_root": str(folder), "auto_webp": "1"}
    with Cluster(nodes=3, redis=True, settings=settings) as running:
        yield running


def test_a_picture_is_made_once_and_kept(cluster: Cluster) -> None:
    target = cluster.sign("local:///quadrants.png", "rs:fit:40:40")
    first, second = ask(cluster, target, Accept=AVIF), ask(cluster, target, Accept="image/webp")
    assert (first.status, first.headers["content-type"]) == (200, "image/webp")
    assert second.body == first.body
    assert second.headers["cache-status"].endswith("edge; hit")
    assert ask(cluster, target, Accept="*/*").headers["content-type"] == "image/png"


def test_a_wrong_signature_fills_nothing(cluster: Cluster) -> None:
    target = cluster.sign("local:///quadrants.png", "rs:fit:41:41")
    bad = target.replace("/", "/x", 1)
    for _ in range(2):
        answer = ask(cluster, bad)
        assert answer.status == 403
        assert "edge; fwd=" in answer.headers["cache-status"]
        assert "stored" not in answer.headers["cache-status"]
    assert ask(cluster, target).status == 200


def test_a_killed_node_costs_no_answer(cluster: Cluster) -> None:
    targets = [cluster.sign("local:///quadrants.png", f"cb:{n}", "rs:fit:8:8") for n in range(30)]
    targets += [cluster.sign("local:///gradient.png", f"cb:{n}", "rs:fit:8:8") for n in range(30)]
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, cluster, target) for target in targets]
        until(lambda: sum(each.done() for each in asking) > 10, seconds=20)
        cluster.kill(1)
        assert [each.result().status for each in asking] == [200] * len(targets)
    cluster.start(1)


# ---- deploy/


COMPOSE = (ROOT / "deploy" / "compose.yaml").read_text()


def test_compose_names_settings_that_exist() -> None:
    rooms = {*ROOMS.values(), *RoomSettings.__subclasses__()}
    known = {variable(name) for room in rooms for name in room.model_fields}
    named = set(re.findall(r"^ +(IMGPROXY_[A-Z0-9_]+):", COMPOSE, re.MULTILINE))
    assert len(named) > 8
    assert named <= known


def test_compose_runs_the_nodes_that_the_example_is_for() -> None:
    assert "- ../nginx:/etc/imgproxy-edge:ro" in COMPOSE
    for node in EXAMPLE.nodes:
        assert f"\n  {node.removesuffix(':8080')}:\n    <<: *node\n" in COMPOSE
    assert f"http://edge:{EXAMPLE.purge_listen}" in COMPOSE
    assert f":{EXAMPLE.listen}" in COMPOSE
    assert (EXAMPLE.formats, "IMGPROXY_AUTO_WEBP" in COMPOSE, "IMGPROXY_AUTO_AVIF" in COMPOSE) == (
        ("avif", "webp"),
        True,
        True,
    )


def test_compose_is_yaml() -> None:
    # No parser is among our dependencies: this is the subset that is written here, line by line.
    key = r"(<<|[A-Za-z0-9_-]+):( [^ ].*)?"
    for line in COMPOSE.splitlines():
        assert re.fullmatch(rf"( *#.*)?|(  )*({key}|- \S.*)", line), line
        assert "\t" not in line
        value = line.partition(": ")[2]
        assert value[:1] not in {"%", "@", "`", ">", "|"}
        assert not re.match(r"[^\"'\[$&*].*(: | #)", value), line


def test_the_edge_image_has_what_the_configuration_loads() -> None:
    dockerfile = (ROOT / "deploy" / "edge.Dockerfile").read_text()
    for word in ("nginx-light", "libnginx-mod-http-lua", EXAMPLE.cache_dir, EXAMPLE.listen):
        assert word in dockerfile
    hadolint = Path(sys.executable).parent / "hadolint"
    checked = subprocess.run([hadolint, ROOT / "deploy" / "edge.Dockerfile"], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")
