"""What ``imgproxy doctor`` finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from imgproxy.cli import main
from imgproxy.doctor import examine
from imgproxy.explanation import Step
from imgproxy.settings import Settings
from tests import charts
from tests.parts import redis_server
from tests.serving import KEY, SALT, free_port


async def findings(**settings: str) -> dict[str, Step]:
    given = {"key": KEY, "salt": SALT, **settings}
    read = Settings.read({f"IMGPROXY_{name.upper()}": value for name, value in given.items()})
    return {step.name: step async for step in examine(read)}


async def test_a_healthy_server(tmp_path: Path) -> None:
    (tmp_path / "mark.png").write_bytes(charts.mark())
    with redis_server() as redis:
        found = await findings(
            redis_url=redis.url, watermark_path=str(tmp_path / "mark.png"), local_filesystem_root=str(tmp_path)
        )
    assert [step for step in found.values() if not step.good] == []
    assert found["sandbox"].text == "full"
    assert found["Redis"].text == "answers"
    assert "avif" in found["reads"].text
    assert found["watermark"].text.endswith(" bytes")


async def test_an_ailing_one() -> None:
    found = await findings(
        key="aa",
        salt="bb",
        signature_size="8",
        ttll="1",
        redis_url=f"redis://:secret@127.0.0.1:{free_port()}",
        fallback_image_url=f"http://127.0.0.1:{free_port()}/",
        allow_loopback_source_addresses="1",
    )
    bad = {name: step for name, step in found.items() if not step.good}
    assert set(bad) == {"settings", "signing keys", "signatures", "Redis", "fallback image"}
    assert all(step.remedy for step in bad.values())
    assert "secret" not in repr(found)


async def test_a_renderer_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.render.process.ENVIRONMENT", {"PYTHONHOME": "/nowhere"})
    found = await findings()
    assert not found["rendering"].good
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
