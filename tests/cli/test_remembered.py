from __future__ import annotations

import json

import pytest

from tests.cli.commands import run
from tests.serving import KEY, SALT, free_port, serving, signed


@pytest.mark.parametrize("arguments", [[], ["--source", "a", "--all"]])
def test_what_is_to_be_purged_is_named_once(arguments: list[str]) -> None:
    done = run("purge", *arguments)
    assert (done.exit_code, "exactly one of" in done.stderr) == (2, True)


def test_somebody_has_to_be_told() -> None:
    done = run("purge", "--all")
    assert (done.exit_code, "Name an admin listener" in done.stderr) == (1, True)


def test_a_node_that_is_gone() -> None:
    admin = f"127.0.0.1:{free_port()}"
    done = run("purge", "--all", "--admin", admin)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{admin}: it does not answer")
    told = json.loads(run("purge", "--all", "--admin", admin, "--json").output)
    assert (told["good"], told["answers"][0]["status"]) == (False, 0)


@pytest.mark.e2e
def test_purges_of_a_server() -> None:
    samples = "imgproxy/samples"
    keys = {"key": KEY, "salt": SALT}
    admin = {"admin_bind": f"127.0.0.1:{free_port()}", "admin_token": "hush"}
    with serving(local_filesystem_root=samples, presets="card=w:30,hero=w:40", **keys, **admin) as server:
        for options in ("pr:card", "pr:hero", "w:50"):
            assert server.ask(signed("local:///koi.jpg", options)).status == 200
        dry = run("purge", "--preset", "card", "--dry-run", **admin)
        assert (dry.exit_code, dry.output) == (0, f"{admin['admin_bind']}: would purge 1 entry (1 in memory)\n")
        soft = run("purge", "--preset", "card", "--soft", **admin)
        assert soft.output.endswith(": marked as stale 1 entry (1 in memory)\n")
        told = json.loads(run("purge", "--source", "local:///koi.jpg", "--json", **admin).output)
        assert told["good"]
        assert told["answers"][0]["purged"] == 3
        assert run("purge", "--all", **admin).output.endswith(": purged 0 entries (0 in memory)\n")
        refused = run("purge", "--all", **admin | {"admin_token": "other"})
        assert (refused.exit_code, "Authorization: Bearer" in refused.stderr) == (1, True)
