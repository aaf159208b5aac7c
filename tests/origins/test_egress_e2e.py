"""A whole server in an environment full of proxies and passwords that are none of its business."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests import charts
from tests.origins.origin import running, says, whole
from tests.origins.proxy import proxying
from tests.serving import ROOT, Server, _is_ready, free_port, signed, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

PICTURE = whole(charts.quadrants(60, 40))


@contextmanager
def planted(home: Path, proxy: str, **settings: str) -> Iterator[Server]:
    """A server of a user who has set proxies, and keeps passwords for every host there is."""
    (home / ".netrc").write_text("default login user password secret\nmachine 127.0.0.1 login user password secret\n")
    (home / ".netrc").chmod(0o600)
    given = {"bind": f"127.0.0.1:{free_port()}", "workers": "1", "drain_delay": "0"} | settings
    environment = {f"IMGPROXY_{name.upper()}": value for name, value in given.items()} | {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "NETRC": str(home / ".netrc"),
        "NO_PROXY": "",
        "no_proxy": "",
    }
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        environment |= {name: proxy, name.lower(): proxy}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "imgproxy"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        server = Server(process, given["bind"], log)
        try:
            until(lambda: _is_ready(server), seconds=30)
            yield server
            assert server.end() == 0, server.raw_log
        finally:
            process.kill()
            process.wait()


async def test_proxies_and_passwords_of_the_environment_are_left_alone(tmp_path: Path) -> None:
    async with running(says(PICTURE)) as origin, proxying() as proxy:

        def ask() -> None:
            with planted(tmp_path, proxy.url(), allow_loopback_source_addresses="1") as server:
                assert server.ask(signed(origin.url("/a"), "w:20")).status == 200
                assert server.ask(signed(origin.url("/b"), "raw:1")).status == 200

        await asyncio.to_thread(ask)
        assert proxy.heads == []
        assert origin.targets == [b"/a", b"/b"]
        assert all(b"authorization" not in head.lower() for head in origin.requests)
        # RFC 8586: unless it is switched off, a request says whose it is.
        said = {tuple(re.findall(rb"(?i)cdn-loop: (.*?)\r", head)) for head in origin.requests}
        assert len(said) == 1


async def test_the_proxy_of_the_settings_is_used_and_sees_checked_addresses_only(tmp_path: Path) -> None:
    async with running(says(PICTURE)) as origin, proxying() as right, proxying() as wrong:

        def ask(loopback: str) -> int:
            with planted(
                tmp_path, wrong.url(), allow_loopback_source_addresses=loopback, egress_proxy=right.url("me:mine@")
            ) as server:
                status = server.ask(signed(origin.url("/a"), "w:20")).status
                assert "mine" not in server.raw_log
                return status

        assert await asyncio.to_thread(ask, "1") == 200
        assert len(right.heads) == 1
        assert await asyncio.to_thread(ask, "0") == 404
        assert len(right.heads) == 1
        assert wrong.heads == []
        assert len(origin.requests) == 1
