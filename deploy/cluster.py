"""A whole cluster on this machine, of Debian's packages: ``python deploy/cluster.py``.

Redis, some nodes and an nginx edge before them, each a process of its own on a free port of the loopback interface,
with everything they write in a temporary folder. Tests and benches use the class, people the command.
"""

# ruff: noqa: S603, T201 - a command-line program; it starts Debian's programs by their names

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgproxy.edge.configuration import write
from imgproxy.fronting import edge_of
from imgproxy.settings import Settings
from imgproxy.signing import Signer, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

ROOT = Path(__file__).parents[1]
START_SECONDS = 30.0
STOP_SECONDS = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Start Redis, nodes and an edge; Ctrl-C ends them.")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--no-redis", action="store_true", help="nodes that know nothing of each other")
    given = parser.parse_args()
    samples = ROOT / "imgproxy" / "samples"
    settings = {"local_filesystem_root": str(samples), "auto_webp": "1", "auto_avif": "1"}
    with Cluster(nodes=given.nodes, redis=not given.no_redis, settings=settings) as cluster:
        print(f"edge       http://{cluster.edge}")
        for number, node in enumerate(cluster.nodes, 1):
            print(
                f"node {number}     http://{node.bind}, purges at http://{node.admin}, metrics at http://{node.metrics}"
            )
        if cluster.redis:
            print(f"redis      {cluster.redis.url}")
        print(f"logs       {cluster.folder}")
        print(f"token      {cluster.token}")
        print("\nTwo pictures, signed:")
        for source, *options in (("local:///car.jpg", "rs:fill:400:300"), ("local:///koi.jpg", "rs:fit:640:0", "q:70")):
            print(f"  http://{cluster.edge}{cluster.sign(source, *options)}")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        print("\nCtrl-C ends it.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            # Once is enough: what was started is ended in order.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            print()


@dataclass
class Process:
    """A program, what it says to a file, and how it is known to be ready."""

    command: list[str]
    log: Path
    is_ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C is for the cluster, not for each of its processes.
            self.popen = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment or None, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Come back when it is ready."""
        end = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self.popen is None or self.popen.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.command[0]} did not start:\n{self.log.read_text()}")
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.popen is None or self.popen.poll() is not None:
            return
        self.popen.send_signal(number)
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


@dataclass
class Node(Process):
    """An imgproxy server; its addresses as host:port."""

    bind: str = ""
    admin: str = ""
    metrics: str = ""


@dataclass
class Redis(Process):
    port: int = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class Cluster:
    """Redis, nodes and an edge. ``settings`` are the nodes': ``{"ttl": "60"}`` is IMGPROXY_TTL.

    ``edge_fields`` go into the edge's record as they are.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        redis: bool = True,
        settings: Mapping[str, str] | None = None,
        edge_fields: Mapping[str, Any] | None = None,
    ) -> None:
        given = settings or {}
        self.key = given.get("key") or secrets.token_hex(32)
        self.salt = given.get("salt") or secrets.token_hex(32)
        self.token = secrets.token_urlsafe(16)
        self.edge = _free_address()
        self.edge_purge = _free_address()
        self.nodes: list[Node] = []
        self.redis: Redis | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="cluster-")
        self.folder = Path(self._folder.name)
        if redis:
            self.redis = self._redis()
        self._environment = self._settings(given)
        self.nodes = [self._node(number) for number in range(nodes)]
        self._nginx = self._edge(edge_fields or {})

    def sign(self, source: str, *options: str, base64: bool = False) -> str:
        """The path of a source with options, signed."""
        settings = Settings.read({"IMGPROXY_KEY": self.key, "IMGPROXY_SALT": self.salt})
        return Signer.of(settings.signing).sign(path_of(source, options, base64=base64))

    def start(self, number: int) -> None:
        """Start a node again, with the addresses that it had."""
        self.nodes[number].start()
        self.nodes[number].wait()

    def stop(self, number: int) -> None:
        """Let a node end in good order."""
        self.nodes[number].stop()

    def kill(self, number: int) -> None:
        """Take a node away: no goodbye to anybody."""
        self.nodes[number].stop(signal.SIGKILL)

    @property
    def edge_process(self) -> Process:
        """Nginx' master."""
        return self._nginx

    def stop_edge(self) -> None:
        self._nginx.stop()

    def start_edge(self) -> None:
        self._nginx.start()
        self._nginx.wait()

    def __enter__(self) -> Cluster:
        try:
            if self.redis:
                self.redis.start()
                self.redis.wait()
            for node in self.nodes:
                node.start()
            for node in self.nodes:
                node.wait()
            self.start_edge()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._nginx.stop()
        for node in self.nodes:
            if node.popen and node.popen.poll() is None:
                node.popen.terminate()
        for node in self.nodes:
            node.stop()
        if self.redis:
            self.redis.stop()
        self._folder.cleanup()

    def _redis(self) -> Redis:
        port = int(_free_address().rpartition(":")[2])
        # A cache: what does not fit goes, nothing is written to disk.
        options = f"--port {port} --bind 127.0.0.1 --maxmemory 256mb --maxmemory-policy allkeys-lfu --appendonly no"
        command = ["redis-server", *options.split(), "--save", "", "--dir", str(self.folder)]
        return Redis(command, self.folder / "redis.log", lambda: _listens(f"127.0.0.1:{port}"), port=port)

    def _settings(self, settings: Mapping[str, str]) -> dict[str, str]:
        given = {
            "key": self.key,
            "salt": self.salt,
            "log_format": "json",
            "workers": "1",
            "drain_delay": "0",
            "allow_loopback_source_addresses": "1",
            "admin_token": self.token,
            "edge_urls": f"http://{self.edge_purge}",
            "edge_token": self.token,
        }
        if self.redis:
            given["redis_url"] = self.redis.url
        return {f"IMGPROXY_{name.upper()}": value for name, value in (given | dict(settings)).items()}

    def _node(self, number: int) -> Node:
        bind, admin, metrics = (_free_address() for _ in range(3))
        own = {"IMGPROXY_BIND": bind, "IMGPROXY_ADMIN_BIND": admin, "IMGPROXY_PROMETHEUS_BIND": metrics}
        environment = {"PATH": os.environ["PATH"]} | self._environment | own  # noqa: TID251 - handed on, not read
        command = [sys.executable, "-m", "imgproxy"]
        log = self.folder / f"node{number + 1}.log"
        ready = lambda: _answers(f"http://{bind}/readyz")  # noqa: E731
        return Node(command, log, ready, environment, bind=bind, admin=admin, metrics=metrics)

    def _edge(self, fields: Mapping[str, Any]) -> Process:
        folder = self.folder / "edge"
        (folder / "cache").mkdir(parents=True)
        given = {
            "listen": self.edge,
            "purge_listen": self.edge_purge,
            "purge_token": self.token,
            "cache_dir": str(folder / "cache"),
            "temp_dir": str(folder),
            "pid": str(folder / "pid"),
            "access_log": str(folder / "access.log"),
            "error_log": str(folder / "error.log"),
            "cache_size": "1g",
            "min_free": "64m",
            "open_files": 4096,
            # The folder is this user's; nginx started by root would give its work to somebody else.
            "user": "root" if os.geteuid() == 0 else "",
        }
        given |= fields
        self.edge = str(given["listen"])
        nodes = tuple(node.bind for node in self.nodes)
        write(edge_of(Settings.read(self._environment), nodes, **given), folder)
        command = ["nginx", "-p", f"{folder}/", "-c", f"{folder}/nginx.conf", "-g", "daemon off;"]
        return Process(command, self.folder / "edge.log", lambda: _answers(f"http://{self.edge}/edge-health"))


def free_port() -> int:
    """A port of the loopback interface that nothing listens at.

    Below those that Linux gives to outgoing connections: of such one may be taken again before a server is up.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


def _free_address() -> str:
    return f"127.0.0.1:{free_port()}"


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own
            return response.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()
