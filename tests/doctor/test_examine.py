"""What ``imgproxy doctor`` finds."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from imgproxy.cli import main
from imgproxy.doctor import Finding, examine
from imgproxy.settings import Settings
from tests import charts
from tests.parts import redis_server
from tests.serving import free_port

KEY, SALT = bytes(range(3, 35)).hex(), bytes(range(7, 39)).hex()


async def findings(**settings: str) -> dict[str, Finding]:
    given = {"key": KEY, "salt": SALT, "bind": f"127.0.0.1:{free_port()}", **settings}
    read = Settings.read({f"IMGPROXY_{name.upper()}": value for name, value in given.items()})
    return {finding.name: finding async for finding in examine(read)}


def levels(found: dict[str, Finding], level: str) -> set[str]:
    return {name for name, finding in found.items() if finding.level == level}


async def test_a_healthy_server(tmp_path: Path) -> None:
    (tmp_path / "mark.png").write_bytes(charts.mark())
    with redis_server() as redis:
        found = await findings(
            redis_url=redis.url,
            watermark_path=str(tmp_path / "mark.png"),
            local_filesystem_root=str(tmp_path),
            result_store_url=f"file://{tmp_path}/results",
            worker_memory="128MiB",
            memory_cache_size="0",
            source_cache_size="0",
            mezzanine_cache_size="0",
            allowed_sources="http://localhost/,http://*.example.com/,local://",
        )
    assert levels(found, "bad") == set()
    assert len(found) >= 20
    assert found["sandbox"].text == "full"
    assert found["Redis"].text == "answers"
    assert found["result store"].text == "answers"
    assert found["clock"].text.endswith("s from Redis'")
    assert found["names"].text == "localhost has addresses"
    assert "avif" in found["reads"].text
    assert found["rendering"].text.startswith("libvips 8.")
    assert found["watermark"].text.endswith(" bytes")


async def test_an_ailing_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bind = f"127.0.0.1:{listener.getsockname()[1]}"
        found = await findings(
            key="aa",
            salt="bb",
            signature_size="8",
            ttll="1",
            workers="32",
            bind=bind,
            redis_url=f"redis://:secret@127.0.0.1:{free_port()}",
            result_store_url=f"file://{tmp_path}/file/results",
            fallback_image_url=f"http://127.0.0.1:{free_port()}/",
            allow_loopback_source_addresses="1",
            edge_urls="http://no.such.invalid:8090",
        )
    assert levels(found, "bad") == {
        "signing keys",
        "signatures",
        "Redis",
        "result store",
        "fallback image",
        "names",
    }
    assert levels(found, "warning") >= {"settings", "CPUs", "memory", f"address {bind}"}
    assert all(finding.remedy for finding in found.values() if finding.level != "good")
    assert "secret" not in repr(found)


async def test_a_renderer_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.render.process.ENVIRONMENT", {"PYTHONHOME": "/nowhere"})
    found = await findings()
    assert found["rendering"].level == "bad"
    assert "sandbox" not in found


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command(monkeypatch: pytest.MonkeyPatch, *, as_json: bool) -> None:
    monkeypatch.setenv("IMGPROXY_KEY", "")
    done = CliRunner().invoke(main, ["doctor", "--json"] if as_json else ["doctor"])
    assert done.exit_code == 1, "there are no keys"
    if as_json:
        said = json.loads(done.output)
        assert not said["good"]
        assert {each["name"] for each in said["findings"]} > {"sandbox", "rendering", "version"}
    else:
        assert "openssl rand -hex 32" in done.output
