"""Six sizes of one large picture: one download and one decode, whether they come together or one after another."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import pyvips

from tests.serving import KEY, SALT, Server, free_port, serving, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

SIDES = (150, 200, 250, 300, 400, 500)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    noise = pyvips.Image.gaussnoise(1500, 1200, mean=128, sigma=30, seed=2).resize(2).bandjoin([90, 120])
    noise.cast("uchar").copy(interpretation="srgb").jpegsave(str(tmp_path / "large.jpg"), Q=90)
    bind = f"127.0.0.1:{free_port()}"
    with serving(key=KEY, salt=SALT, local_filesystem_root=str(tmp_path), prometheus_bind=bind, workers="2") as server:
        yield server


def ask(server: Server, side: int) -> int:
    answer = server.ask(signed("local:///large.jpg", f"rs:fit:{side}:{side}", "f:webp"))
    assert answer.status == 200
    return answer.picture.width


def found(server: Server, tier: str) -> dict[str, int]:
    """How often something was found in a cache, and how often not."""
    lines = re.findall(rf'^cache_requests_total{{result="(\w+)",tier="{tier}"}} (\d+)', server.metrics(), re.MULTILINE)
    return {result: int(count) for result, count in lines}


def test_together(server: Server) -> None:
    with ThreadPoolExecutor(len(SIDES)) as threads:
        assert [*threads.map(lambda side: ask(server, side), SIDES)] == [*SIDES]
    assert found(server, "source")["miss"] == 1
    # Whoever began before another had come knew nothing of the others.
    counts = found(server, "mezzanine")
    assert counts["miss"] == 1
    assert counts["hit"] >= len(SIDES) - 2


def test_one_after_another(server: Server) -> None:
    assert [ask(server, side) for side in SIDES] == [*SIDES]
    assert found(server, "source") == {"miss": 1, "hit": len(SIDES) - 1}
    assert found(server, "mezzanine") == {"miss": 1, "hit": len(SIDES) - 2}
