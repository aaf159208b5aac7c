from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import run


def test_all_settings() -> None:
    done = run("config", ttl="60")
    assert done.exit_code == 0
    assert "IMGPROXY_TTL " in done.output
    assert "IMGPROXY_AVIF_SPEED " in done.output


def test_what_is_changed() -> None:
    done = run("config", "--changed", ttl="60", quality="80", secret="hush")
    lines = [line.split() for line in done.output.splitlines() if not line.startswith("#")]
    assert lines == [["IMGPROXY_SECRET", "***", "environment"], ["IMGPROXY_TTL", "60", "environment"]]
    assert "defaults" in run("config", "--changed").output


def test_mistakes_and_strangers() -> None:
    done = run("config", "--changed", ttl="soon", ttll="1", license_key="x")
    assert done.exit_code == 1
    assert "✗  IMGPROXY_TTLL: did you mean IMGPROXY_TTL?" in done.output
    assert "!  IMGPROXY_LICENSE_KEY: imgproxy's; not needed here" in done.output
    assert "✗  IMGPROXY_TTL: expected seconds" in done.output
    assert run("config", license_key="x").exit_code == 0


def test_in_json() -> None:
    told = json.loads(run("config", "--changed", "--json", ttl="soon", what="1").output)
    assert not told["good"]
    assert [each["name"] for each in told["settings"]] == ["IMGPROXY_TTL"]
    assert told["mistakes"][0].startswith("IMGPROXY_TTL: ")
    assert told["unknown"][0]["name"] == "IMGPROXY_WHAT"


@pytest.mark.parametrize("name", ["workers", "WORKERS", "IMGPROXY_WORKERS"])
def test_explain(name: str) -> None:
    done = run("config", "--explain", name, workers="3")
    assert done.exit_code == 0
    for part in ("IMGPROXY_WORKERS", "3  (environment)", "default  0", "imgproxy 2 per CPU", "why "):
        assert part in done.output
    assert json.loads(run("config", "--explain", name, "--json").output)["imgproxy"] == "2 per CPU"
    assert "IMGPROXY_AUTO_WEBP" in run("config", "--explain", "enable_webp_detection").output


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("avif_sped", 2, "did you mean IMGPROXY_AVIF_SPEED?"),
        ("no_such_thing_at_all", 2, "`imgproxy config` lists all"),
        ("sentry_dsn", 1, "a setting of imgproxy's; unsupported here"),
    ],
)
def test_explain_what_is_not_there(name: str, code: int, said: str) -> None:
    done = run("config", "--explain", name)
    assert (done.exit_code, said in done.stderr) == (code, True)


def test_from_imgproxy(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("IMGPROXY_TTL=60\nexport IMGPROXY_USE_S3=true\nIMGPROXY_KEY=aa\nIMGPROXY_SALT='bb'\nOTHER=$HOME\n")
    done = run("config", "--from-imgproxy", str(file))
    assert done.exit_code == 1
    assert "unsupported    IMGPROXY_USE_S3 " in done.output
    assert "other default  IMGPROXY_ALLOW_PRIVATE_SOURCE_ADDRESSES" in done.output
    assert "4 variables: 1 to look after." in done.output
    told = json.loads(run("config", "--from-imgproxy", str(file), "--json").output)
    assert [each["verdict"] for each in told["variables"]] == ["same", "same", "same", "unsupported"]


def test_from_an_imgproxy_that_asks_for_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("IMGPROXY_TTL=60\n")
    done = run("config", "--from-imgproxy", str(file))
    assert done.exit_code == 0
    assert "It can be used as it is." in done.output
    file.write_text("IMGPROXY_KEY=aa\n")
    assert "0 salts" in run("config", "--from-imgproxy", str(file)).output
    file.write_text("")
    assert "no variable of imgproxy's" in run("config", "--from-imgproxy", str(file)).output
    file.write_bytes(b"\xff")
    assert run("config", "--from-imgproxy", str(file)).exit_code == 1


def test_wrong_usage() -> None:
    assert run("config", "--changed", "--explain", "ttl").exit_code == 2
    assert run("config", "--from-imgproxy", "/nowhere").exit_code == 2
    assert run("config", env_local_file_path="/nowhere").exit_code == 1
