from __future__ import annotations

import json

import pytest

from tests.cli.commands import run

KEY, SALT = bytes(range(3, 35)).hex(), bytes(range(7, 39)).hex()


def test_doctor_says_what_to_do() -> None:
    done = run("doctor", bind="127.0.0.1:0", ttll="1")
    assert done.exit_code == 1, "there are no keys"
    assert "✗  signing keys      none" in done.output
    assert "openssl rand -hex 32" in done.output
    assert "!  settings          IMGPROXY_TTLL is not a setting" in done.output
    assert done.output.splitlines()[-1].endswith(" 1 amiss")


def test_what_can_be_lived_with_is_no_failure() -> None:
    done = run("doctor", "--json", bind="127.0.0.1:0", key=KEY, salt=SALT, ttll="1")
    told = json.loads(done.output)
    assert (done.exit_code, told["good"]) == (0, True)
    assert len(told["findings"]) >= 12
    by_level = {each["level"] for each in told["findings"]}
    assert by_level == {"good", "warning"}


def test_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.cli.machine._QUICK_S", 0.01)
    done = run("bench", "--quick", workers="1")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "1 render process, libvips 8." in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["format", "jpeg", "webp", "avif"]
    told = json.loads(run("bench", "--quick", "--json", workers="1").stdout)
    assert (told["side"], told["source"], told["workers"]) == (512, "2400x1600", 1)
    assert all(each["images"] >= 1 and each["p50_s"] <= each["p95_s"] for each in told["formats"])


def test_bench_where_nothing_can_be_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.render.process.ENVIRONMENT", {"PYTHONHOME": "/nowhere"})
    done = run("bench", "--quick", workers="1")
    assert (done.exit_code, "It could not be measured" in done.stderr) == (1, True)
