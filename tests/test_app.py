from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import httpx
import pytest

from imgproxy.app import node, serve
from imgproxy.errors import WorkerLost
from imgproxy.settings import Settings
from tests import charts
from tests.origins.origin import descriptors
from tests.serving import KEY, SALT, free_port, signed

pytestmark = pytest.mark.e2e


def settings(root: Path, **given: str) -> Settings:
    (root / "photo.png").write_bytes(charts.quadrants(300, 200))
    (root / "mark.png").write_bytes(charts.mark())
    all_given = {
        "workers": "1",
        "local_filesystem_root": str(root),
        "drain_delay": "0",
        "key": KEY,
        "salt": SALT,
    } | given
    return Settings.read({f"IMGPROXY_{name.upper()}": value for name, value in all_given.items()})


async def test_a_node_serves_and_leaves_nothing_behind(tmp_path: Path) -> None:
    given = settings(
        tmp_path,
        watermark_path=str(tmp_path / "mark.png"),
        fallback_image_path=str(tmp_path / "mark.png"),
        prometheus_namespace="shop",
        auto_webp="1",
        path_prefix="/img",
    )
    before = descriptors()
    async with node(given) as running:
        transport = httpx.ASGITransport(running.ops)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert "It works." in (await client.get("/")).text
            assert (await client.get("/health")).text == "imgproxy is running"
            target = f"/img{signed('local:///photo.png', 'w:30', 'wm:1')}"
            answer = await client.get(target, headers={"accept": "image/webp"})
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
            assert answer.headers["vary"] == "Accept"
            stand_in = await client.get(f"/img{signed('local:///missing.png')}", headers={"accept": "*/*"})
            assert (stand_in.status_code, stand_in.headers["content-type"]) == (200, "image/png")
        assert "shop_requests_total 2.0" in running.metrics.text()
        assert "shop_workers 1.0" in running.metrics.text()
        pids = running.pool.pids
        assert len(pids) == 2
    assert running.pool.pids == ()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert descriptors() == before


async def test_the_playground_goes_with_keys_and_presets(tmp_path: Path) -> None:
    folder, dropped = tmp_path / "presets", tmp_path / "dropped"
    folder.mkdir()
    dropped.mkdir()
    team = folder / "team.toml"
    team.write_text('version = 1\nowner = "team"\n[presets.a]\ndescription = "a"\nblur = 1\n')
    presets, uploads = {"presets_dir": str(folder)}, {"playground_upload_dir": str(dropped)}
    given = settings(tmp_path, playground="1", bind="127.0.0.1:8080", **presets, **uploads)

    def read() -> Settings:
        return settings(tmp_path, playground="1", **presets, **uploads)

    async with node(given, read=read) as running:
        assert len(list(dropped.iterdir())) == 1
        transport = httpx.ASGITransport(running.ops)
        headers = {"origin": "http://localhost", "content-type": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            assert "playground" in (await client.get("/")).text
            signed_ones = (
                await client.post("/playground/sign", content=b'{"requests": [{"source": "local:///photo.png"}]}')
            ).json()
            assert (await client.get(signed_ones["signed"][0]["url"])).status_code == 200
            explained = await client.post("/playground/explain", content=b'{"url": "/x/plain/local:///photo.png"}')
            assert explained.json()["good"] is False
            team.write_text(team.read_text().replace("presets.a", "presets.b"))
            async with asyncio.timeout(10):
                # Files are polled.
                while (await client.post("/playground/start", content=b"{}")).json()["presets"][0]["name"] != "b":  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
    assert list(dropped.iterdir()) == []


async def test_a_node_without_render_processes_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.render.process.ENVIRONMENT", {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"})
    before = descriptors()
    with pytest.raises(WorkerLost):
        async with node(settings(tmp_path)):
            pass
    assert descriptors() == before


async def test_serving_says_its_facts_and_warnings_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    given = settings(tmp_path, bind=f"127.0.0.1:{free_port()}", presets="thumb=w:3", ttll="1")
    await serve(given, on_ready=lambda: os.kill(os.getpid(), signal.SIGTERM))
    said = [record.getMessage() for record in caplog.records if record.name == "imgproxy"]
    assert said[1:3] == ["render processes: 1", "sandbox: full"]
    assert said[3:6] == ["signing keys: 1", "presets: thumb", f"local files: {tmp_path}"]
    assert said[6] == "results: 64 MiB of memory"
    assert said[7].startswith("IMGPROXY_TTLL is not a setting of this server, did you mean IMGPROXY_TTL?")
    assert KEY not in caplog.text


async def test_a_server_without_keys_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    given = settings(tmp_path, bind=f"127.0.0.1:{free_port()}", key="", salt="", local_filesystem_root="")
    async with asyncio.timeout(20):
        await serve(given, on_ready=lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert "URLs are NOT checked" in caplog.text
    assert "local files: off" in caplog.text
