from __future__ import annotations

import asyncio

import httpx
import pytest

from imgproxy import __version__
from imgproxy.errors import WorkerLost
from imgproxy.model import Deadline
from imgproxy.web import ops
from imgproxy.web.ops import Ops
from imgproxy.web.responses import POLICY
from imgproxy.web.settings import WebSettings
from tests.web.border import images, reply


class Pool:
    """Something to probe."""

    def __init__(self) -> None:
        self.probes = 0
        self.fault: Exception | None = None
        self.seconds = 0.0

    async def probe(self, deadline: Deadline) -> None:
        assert 4 < deadline.remaining <= 5
        self.probes += 1
        await asyncio.sleep(self.seconds)
        if self.fault:
            raise self.fault


@pytest.fixture
def pool() -> Pool:
    return Pool()


def app(pool: Pool, prefix: str = "", **settings: str) -> Ops:
    return Ops(images(reply()), WebSettings.model_validate(settings), pool.probe, path_prefix=prefix)


async def get(app: Ops, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.request(method, path)


async def test_health_says_imgproxys_words(pool: Pool) -> None:
    answer = await get(app(pool), "/health")
    assert (answer.status_code, answer.text) == (200, "imgproxy is running")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == POLICY
    assert (await get(app(pool), "/health", "HEAD")).status_code == 200
    assert (await get(app(pool), "/health", "OPTIONS")).status_code == 200
    assert (await get(app(pool), "/health", "POST")).status_code == 405


async def test_health_fails_with_the_pool(pool: Pool) -> None:
    pool.fault = WorkerLost("gone")
    assert (await get(app(pool), "/health")).status_code == 500
    assert (await get(app(pool), "/readyz")).status_code == 503
    assert (await get(app(pool), "/livez")).status_code == 200


async def test_an_obstacle_makes_it_not_ready(pool: Pool) -> None:
    found = [""]
    one = Ops(images(reply()), WebSettings(), pool.probe, obstacle=lambda: found[0])
    assert (await get(one, "/readyz")).status_code == 200
    found[0] = "the event loop was blocked"
    answer = await get(one, "/readyz")
    assert (answer.status_code, answer.text) == (503, "the event loop was blocked")
    assert (await get(one, "/livez")).status_code == 200


async def test_a_probe_that_hangs_fails(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "PROBE_SECONDS", 4.5)
    pool.seconds = 60
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(get(app(pool), "/health"))
    await asyncio.sleep(0.01)
    monkeypatch.setattr(loop, "time", lambda clock=loop.time: clock() + 5)
    assert (await task).status_code == 500


async def test_many_checks_make_one_probe(pool: Pool) -> None:
    one = app(pool)
    pool.seconds = 0.01
    answers = await asyncio.gather(*(get(one, path) for path in ("/health", "/readyz") * 10))
    assert {answer.status_code for answer in answers} == {200}
    assert pool.probes == 1


async def test_a_probe_is_good_for_a_second(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    one = app(pool)
    await get(one, "/readyz")
    monkeypatch.setattr(ops, "FRESH_SECONDS", -1.0)
    await get(one, "/readyz")
    assert pool.probes == 2


async def test_draining_is_not_ready(pool: Pool) -> None:
    one = app(pool)
    assert (await get(one, "/readyz")).status_code == 200
    one.drain()
    assert (await get(one, "/readyz")).status_code == 503
    assert (await get(one, "/health")).status_code == 200


async def test_landing_page(pool: Pool) -> None:
    answer = await get(app(pool), "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert __version__ in answer.text


@pytest.mark.parametrize(
    "path", ["/favicon.ico", "/.well-known/acme-challenge/x", "/img/.well-known/x", "/img/favicon.ico"]
)
async def test_what_nobody_asked_for(pool: Pool, path: str) -> None:
    assert (await get(app(pool, "/img"), path)).status_code == 404


@pytest.mark.parametrize("path", ["/health", "/img/health", "/img/readyz", "/img/", "/status/ok", "/img/status/ok"])
async def test_a_prefix_adds_paths(pool: Pool, path: str) -> None:
    answer = await get(app(pool, "/img", health_check_path="/status/ok"), path)
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/health/", "/sig/plain/health", "/x"])
async def test_everything_else_is_an_image(pool: Pool, path: str) -> None:
    assert (await get(app(pool), path)).headers["content-type"] == "image/jpeg"


async def test_verbose_readiness_tells_of_each_part(pool: Pool) -> None:
    said = ["presets: the last edit is broken since 2026-11-01T12:00:00Z: 3 mistakes"]
    obstacle = ""
    ready = Ops(images(reply()), WebSettings(), pool.probe, obstacle=lambda: obstacle, notes=lambda: said)
    answer = await get(ready, "/readyz?verbose")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.text.splitlines() == ["ok", "draining: no", "event loop: ok", "render processes: ok", *said]
    assert (await get(ready, "/readyz")).text == "ok"
    obstacle = "the event loop is stuck"
    answer = await get(ready, "/readyz?verbose=1")
    assert answer.status_code == 503
    assert answer.text.splitlines()[:4] == [
        "the event loop is stuck",
        "draining: no",
        "event loop: the event loop is stuck",
        "render processes: not asked",
    ]
    ready.drain()
    answer = await get(ready, "/readyz?verbose")
    assert answer.text.splitlines()[:2] == ["draining", "draining: yes"]
    assert pool.probes == 1


async def test_verbose_readiness_names_a_pool_that_cannot_render(pool: Pool) -> None:
    pool.fault = WorkerLost("gone")
    answer = await get(app(pool), "/readyz?verbose")
    assert answer.status_code == 503
    assert answer.text.splitlines()[::3] == ["cannot render", "render processes: cannot render"]
