"""Clusters as rows need them: nodes without some defences, an edge whose configuration is changed."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.chaos import stripped
from bench.faults import counted
from deploy.cluster import Cluster
from tests.serving import KEY, SALT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deploy.cluster import Node


@contextmanager
def cluster(
    nodes: int = 2,
    *,
    redis: bool = True,
    without: Sequence[str] = (),
    edge: Mapping[str, str] | None = None,
    edge_fields: Mapping[str, Any] | None = None,
    **settings: str,
) -> Iterator[Cluster]:
    """A running cluster whose URLs are signed as ``tests.serving.signed`` does it.

    ``without``: what ``stripped`` does to the nodes; ``edge``: what is exchanged for what in nginx's configuration.
    """
    given = {"key": KEY, "salt": SALT} | settings
    made = Cluster(nodes, redis=redis, settings=given, edge_fields=edge_fields)
    for each in made.nodes:
        each.command = stripped.command(*without)
    configuration = made.folder / "edge" / "nginx.conf"
    for old, new in (edge or {}).items():
        text = configuration.read_text()
        if old not in text:
            raise ValueError(f"nginx.conf does not say {old!r}")
        configuration.write_text(text.replace(old, new))
    with made as running:
        yield running


async def scraped(node: Node) -> dict[str, float]:
    """The metrics of a node."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{node.metrics}/metrics") as answer:
        return counted(await answer.text())


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def log_lines(cluster: Cluster, since: int = 0) -> list[dict[str, Any]]:
    """What the edge wrote, from an offset on."""
    text = (cluster.folder / "edge" / "access.log").read_bytes()[since:].decode()
    return [json.loads(line) for line in text.splitlines()]


def log_size(cluster: Cluster) -> int:
    return (cluster.folder / "edge" / "access.log").stat().st_size
