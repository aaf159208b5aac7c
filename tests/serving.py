"""A real server process, requests to it byte for byte, and what it said and did."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyvips

from deploy.cluster import free_port as free_port  # noqa: PLC0414 - tests take it from here
from imgproxy.signing import KeyPair, Signer, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
KEY = "943b421c9eb07c830af81030552c86009268de4e532ba2ee2eab8247c6da0881"
SALT = "520f986b998545b4785e0defbc4f3c1203f22de2"
_PATIENCE = 30.0
SIGNER = Signer([KeyPair(bytes.fromhex(KEY), bytes.fromhex(SALT))])


def signed(source: str, *options: str, base64: bool = False) -> str:
    """The target of a source with options, under KEY and SALT."""
    return SIGNER.sign(path_of(source, options, base64=base64))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def picture(self) -> pyvips.Image:
        """The body, decoded whole."""
        return pyvips.Image.new_from_buffer(self.body, "", fail_on="truncated").copy_memory()

    @property
    def said(self) -> tuple[int, str]:
        """Status and text."""
        return self.status, self.text


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    bind: str
    log: IO[bytes]
    metrics_port: int = 0
    admin_bind: str = ""

    def ask(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """The answer to a request whose target is sent as it is (latin-1); header names with underscores."""
        connection = self.connect()
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            with connection.getresponse() as response:
                body = response.read()
                fields = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, fields, body)
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        connection = _Exact("127.0.0.1")
        connection.sock = _connected(self.bind)
        return connection

    def metrics(self) -> str:
        return Server(self.process, f"127.0.0.1:{self.metrics_port}", self.log).ask("/metrics").text

    def workers(self) -> list[int]:
        """The render processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def raw_log(self) -> str:
        return os.pread(self.log.fileno(), 1 << 28, 0).decode()

    def lines(self, logger: str = "imgproxy.request") -> list[dict[str, Any]]:
        """What one logger said."""
        return [line for line in map(json.loads, self.raw_log.splitlines()) if line["logger"] == logger]

    def line(self, request_id: str) -> dict[str, Any]:
        """The line of one request; it is written after the answer."""
        return until(lambda: next((each for each in self.lines() if each["request_id"] == request_id), None))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


@contextmanager
def serving(**settings: str) -> Iterator[Server]:
    """A server with these settings (``ttl="60"`` is IMGPROXY_TTL), ended by SIGTERM; its exit code must be 0."""
    given = {
        "bind": f"127.0.0.1:{free_port()}",
        "log_format": "json",
        "workers": "1",
        "drain_delay": "0",
        "allow_loopback_source_addresses": "1",
    } | settings
    environment = {f"IMGPROXY_{name.upper()}": value for name, value in given.items()}
    # Unclosed sockets and the like, which Python only mentions when asked, end up in the log.
    environment |= {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "default"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "imgproxy"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        metrics = given.get("prometheus_bind", "").rpartition(":")[2]
        server = Server(process, given["bind"], log, int(metrics or 0))
        try:
            until(lambda: _is_ready(server), seconds=30)
            yield server
            if process.poll() is None:
                assert server.end() == 0, server.raw_log
        finally:
            process.kill()
            process.wait()
        if given["log_format"] == "json":
            assert server.lines("py.warnings") == []


def until(holds: Any, seconds: float = 5.0) -> Any:
    """What ``holds`` returns as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
    return found


def _is_ready(server: Server) -> bool:
    assert server.process.poll() is None, server.raw_log
    with suppress(OSError):
        return server.ask("/readyz").status == 200
    return False


def _connected(bind: str) -> socket.socket:
    if bind.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(bind.removeprefix("unix:"))
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = bind.rpartition(":")
    return socket.create_connection((host, int(port)), _PATIENCE)


class _Exact(http.client.HTTPConnection):
    """Sends targets that the standard library would refuse to send."""

    def _validate_path(self, url: str) -> None:
        """Everything goes."""

    def _encode_request(self, request: str) -> bytes:
        return request.encode("latin-1")
