"""Real redis-servers on free ports of 127.0.0.1: one, with TLS, with Sentinels, or a cluster of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.serving import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 20.0


class RedisServer:
    """A redis-server process, which can be stopped, hung and started again on the same port."""

    def __init__(self, folder: Path, *options: str, sentinel: bool = False, tls: Path | None = None) -> None:
        self.port = 0
        self._folder = folder
        self._options = options
        self._sentinel = sentinel
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, where it was the last time, and wait until it answers."""
        again = self.port != 0
        until = time.monotonic() + _PATIENCE
        while True:
            # Between finding a port free and listening on it, another test may take it.
            self.port = self.port or free_port()
            self._process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while time.monotonic() < until and self._process.poll() is None:
                # Whoever answers on this port must be the one just started.
                said = self.cli("INFO", "server")
                if f"process_id:{self._process.pid}\n" in said or said.startswith("NOAUTH"):
                    return
                time.sleep(0.01)
            if time.monotonic() >= until:
                self.kill()
                raise TimeoutError(f"redis-server does not answer in {_PATIENCE} s: {self._command()}")
            self.port = self.port if again else 0

    def _command(self) -> list[str]:
        program = shutil.which("redis-server")
        if program is None:
            raise FileNotFoundError("redis-server is not installed: apt-get install redis-server redis-sentinel")
        common = ["--bind", "127.0.0.1", "--dir", str(self._folder)]
        if self._sentinel:
            config = self._folder / f"sentinel-{self.port}.conf"
            config.touch()
            return [program, str(config), "--sentinel", "--port", str(self.port), *common, *self._options]
        ports = ["--port", str(self.port)]
        if self._tls is not None:
            ports = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            ports += ["--tls-cert-file", str(self._tls), "--tls-key-file", str(self._tls)]
            ports += ["--tls-ca-cert-file", str(self._tls)]
        nothing_kept = ["--save", "", "--appendonly", "no"]
        nodes = ["--cluster-config-file", f"nodes-{self.port}.conf"] if "--cluster-enabled" in self._options else []
        return [program, *ports, *common, *nothing_kept, *nodes, *self._options]

    def cli(self, *command: str) -> str:
        """What redis-cli says."""
        tls = ["--tls", "--cacert", str(self._tls)] if self._tls is not None else []
        arguments = ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *tls, *command]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=_PATIENCE).stdout.strip()

    def hang(self) -> None:
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._send(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)


@contextmanager
def redis_server(*options: str, tls: Path | None = None) -> Iterator[RedisServer]:
    """One server. ``tls``: a file with key and certificate (`certificate`), the only way in then."""
    with _folder() as folder, _running(RedisServer(folder, *options, tls=tls)) as server:
        yield server


class Sentinels:
    """A primary, its replica, and three Sentinels that watch them under the name ``pictures``."""

    DOWN_AFTER = 1.0

    def __init__(self, servers: list[RedisServer], sentinels: list[RedisServer]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/pictures/0"

    @property
    def primary(self) -> RedisServer:
        """Whom the Sentinels name now."""
        said = self.sentinels[0].cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "pictures").split()
        return next(server for server in self.servers if str(server.port) == said[1])


@contextmanager
def redis_sentinels() -> Iterator[Sentinels]:
    with _folder() as folder, ExitStack() as stack:
        primary = stack.enter_context(_running(RedisServer(folder)))
        replica = stack.enter_context(
            _running(RedisServer(folder, "--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0"))
        )
        sentinels = [stack.enter_context(_running(RedisServer(folder, sentinel=True))) for _ in range(3)]
        for sentinel in sentinels:
            sentinel.cli("SENTINEL", "MONITOR", "pictures", "127.0.0.1", str(primary.port), "2")
            for name, value in (("down-after-milliseconds", "1000"), ("failover-timeout", "3000")):
                sentinel.cli("SENTINEL", "SET", "pictures", name, value)
        wait_for(lambda: "master_link_status:up" in replica.cli("INFO", "replication"))
        # A failover needs Sentinels that know one another and the replica; they ask around every few seconds.
        for sentinel in sentinels:
            wait_for(lambda sentinel=sentinel: "slaves=1,sentinels=3" in sentinel.cli("INFO", "sentinel"))
        yield Sentinels([primary, replica], sentinels)


class RedisCluster:
    """Three primaries, each with a third of the slots, and a replica each."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:3])

    def primary_of(self, key: str) -> RedisServer:
        slot = int(self.servers[-1].cli("CLUSTER", "KEYSLOT", key))
        return self.servers[slot * 3 // 16384]


@contextmanager
def redis_cluster(*, replicas: int = 0) -> Iterator[RedisCluster]:
    """A cluster of three primaries, in which a primary that is gone takes its own slots with it only."""
    options = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"]
    options += ["--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"]
    with _folder() as folder, ExitStack() as stack:
        # The bus of a cluster is 10,000 ports above, unless it is said to be elsewhere.
        servers = [
            stack.enter_context(_running(RedisServer(folder, *options, "--cluster-port", str(free_port()))))
            for _ in range(3 + 3 * replicas)
        ]
        bounds = [-(-16384 * i // 3) for i in range(4)]
        for server, low, high in zip(servers, bounds, bounds[1:], strict=False):
            server.cli("CLUSTER", "ADDSLOTSRANGE", str(low), str(high - 1))
        for number, server in enumerate(servers, 1):
            server.cli("CLUSTER", "SET-CONFIG-EPOCH", str(number))
        for server in servers[1:]:
            port = server._options[-1]
            servers[0].cli("CLUSTER", "MEET", "127.0.0.1", str(server.port), port)
        for server in servers:
            known = f"cluster_known_nodes:{len(servers)}"
            wait_for(lambda server=server, known=known: known in server.cli("CLUSTER", "INFO"))
        for number, server in enumerate(servers[3:]):
            primary = servers[number % 3]
            wait_for(lambda s=server, p=primary: s.cli("CLUSTER", "REPLICATE", p.cli("CLUSTER", "MYID")) == "OK")
            wait_for(lambda s=server: "master_link_status:up" in s.cli("INFO", "replication"))
        for server in servers:
            wait_for(lambda server=server: "cluster_state:ok" in server.cli("CLUSTER", "INFO"))
            wait_for(lambda server=server: "cluster_slots_ok:16384" in server.cli("CLUSTER", "INFO"))
        yield RedisCluster(servers)


def certificate(folder: Path) -> Path:
    """A file with the key and the certificate of 127.0.0.1, which vouches for itself."""
    file, key = folder / "server.pem", folder / "server.key"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *curve, *subject, "-keyout", str(key), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + key.read_bytes())
    return file


def wait_for(condition: Callable[[], object]) -> None:
    """Return as soon as the condition holds; fail if that takes 20 s."""
    until = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("the condition never held")
        time.sleep(0.02)


@contextmanager
def _running(server: RedisServer) -> Iterator[RedisServer]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True) as name:
        yield Path(name)
