from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import httpx
import pytest

from imgproxy import __version__, errors
from imgproxy.metrics import ERROR_TYPES, CacheState, Metrics, MetricsSettings


@dataclass
class Memory:
    resident_bytes: int = 4000
    vips_bytes: int = 100
    vips_peak_bytes: int = 300
    vips_allocations: int = 7


@dataclass
class Workers:
    size: int = 4
    busy: int = 1
    waiting: int = 3
    restarts: Counter[str] = field(default_factory=lambda: Counter(killed=2))
    memory: Memory = field(default_factory=Memory)


def values(metrics: Metrics) -> dict[str, float]:
    rows = (line.rsplit(" ", 1) for line in metrics.text().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def test_workers_are_read_at_the_scrape() -> None:
    metrics, workers = Metrics(), Workers()
    metrics.watch(workers, workers)
    found = values(metrics)
    assert found["workers"] == 4
    assert found["workers_utilization"] == 25
    assert found["images_in_progress"] == 1
    assert found["workers_waiting"] == 6
    assert found["vips_memory_bytes"] == 100
    assert found["vips_max_memory_bytes"] == 300
    assert found["vips_allocs"] == 7
    assert found['render_worker_restarts_total{reason="killed"}'] == 2
    workers.busy = 4
    assert values(metrics)["workers_utilization"] == 100


def test_caches_are_read_at_the_scrape() -> None:
    state = CacheState(
        asked={("memory", "hit"): 5, ("redis", "down"): 2},
        bytes={"memory": 1000, "source": 500},
        entries={"memory": 3, "source": 1},
        evictions={"size": 4},
        writes={"done": 6, "dropped": 1},
        pending_bytes=77,
        open={"redis": 1, "store": 0},
        damaged=8,
        collapsed=9,
        waiting=2,
    )
    metrics = Metrics(MetricsSettings(prometheus_namespace="p"))
    metrics.watch_caches(lambda: state)
    found = values(metrics)
    expected = {
        'p_cache_requests_total{result="hit",tier="memory"}': 5,
        'p_cache_requests_total{result="down",tier="redis"}': 2,
        'p_cache_bytes{tier="source"}': 500,
        'p_cache_entries{tier="memory"}': 3,
        'p_cache_evictions_total{reason="size"}': 4,
        'p_cache_writes_total{outcome="dropped"}': 1,
        "p_cache_writes_pending_bytes": 77,
        'p_breaker_open{dependency="redis"}': 1,
        "p_cache_integrity_failures_total": 8,
        "p_coalesced_requests_total": 9,
        "p_singleflight_waiters": 2,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_the_namespace_comes_before_every_name_but_the_process_ones() -> None:
    metrics = Metrics(MetricsSettings(prometheus_namespace="pictures"))
    metrics.watch(Workers(), Workers())
    names = values(metrics).keys()
    assert "pictures_requests_total" in names
    assert "pictures_workers" in names
    assert all(name.startswith(("pictures_", "process_", "python_info")) for name in names)


def test_errors_of_every_type_exist_from_the_start() -> None:
    found = values(Metrics())
    assert {f'errors_total{{type="{kind}"}}' for kind in ERROR_TYPES} <= found.keys()


def test_every_error_has_one_of_imgproxys_types() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.ImageError)]
    assert {each.kind for each in classes} <= set(ERROR_TYPES)


def test_an_unknown_type_is_ours() -> None:
    metrics = Metrics()
    metrics.failed("https://example.com/")
    assert values(metrics)['errors_total{type="processing"}'] == 1


def test_requests_in_progress() -> None:
    metrics = Metrics()
    with metrics.request():
        assert values(metrics)["requests_in_progress"] == 1
    assert values(metrics)["requests_in_progress"] == 0


def test_bytes() -> None:
    metrics = Metrics()
    metrics.moved(10, 5, "webp")
    metrics.moved(0, 0, "")
    found = values(metrics)
    assert found["source_bytes_total"] == 10
    assert {name: value for name, value in found.items() if "result_bytes" in name} == {
        'result_bytes_total{format="webp"}': 5
    }


def test_the_set_stays_small() -> None:
    metrics = Metrics()
    metrics.watch(Workers(), Workers())
    for status in range(200, 600, 10):
        metrics.answered(status, 0.1, {"queue": 0.1, "downloading": 0.1, "processing": 0.1, "anything": 1})
    assert len(values(metrics)) < 250
    assert values(metrics)[f'build_info{{version="{__version__}"}}'] == 1


async def test_a_scrape() -> None:
    app = Metrics().asgi()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert "requests_total 0.0" in answer.text


def test_a_wrong_namespace() -> None:
    with pytest.raises(ValueError, match="prometheus_namespace"):
        MetricsSettings(prometheus_namespace="a b")
