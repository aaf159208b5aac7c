"""A real nginx as an edge, and small HTTP servers that stand in for its nodes and remember what they were asked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgproxy.edge.configuration import Edge, write
from tests.serving import Answer, Server, free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Request:
    """What a node was asked."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Says:
    """What a node answers. ``headers`` go out as they are; a negative ``delay`` cuts the connection instead."""

    status: int = 200
    body: bytes = b"picture"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    delay: float = 0.0


KEPT = {"X-Accel-Expires": "60", "X-Imgproxy-Generation": "0", "ETag": '"v1"'}


@dataclass
class Node:
    """A stand-in. ``says`` may be replaced at any time."""

    port: int
    says: Callable[[Request], Says] = lambda _: Says(headers=KEPT)
    requests: list[Request] = field(default_factory=list[Request])
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    @property
    def bind(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [each.target for each in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
                method, target, _ = line.split(" ", 2)
                pairs = (each.partition(": ") for each in lines)
                request = Request(method, target, {name.lower(): value for name, _, value in pairs})
                self.requests.append(request)
                says = self.says(request)
                await asyncio.sleep(abs(says.delay))
                if says.delay < 0:
                    break
                writer.write(_message(says))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Be gone: nothing listens, connections are reset."""
        assert self.server
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()
        for _ in range(5):
            await asyncio.sleep(0)


def _message(says: Says) -> bytes:
    bodiless = says.status == 304
    headers = {"Date": formatdate(usegmt=True), "Content-Type": "image/png"} | says.headers
    if not bodiless:
        headers["Content-Length"] = str(len(says.body))
    lines = [f"HTTP/1.1 {says.status} So", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + (b"" if bodiless else says.body)


class Nodes:
    """Stand-ins in a thread with a loop of its own."""

    def __init__(self) -> None:
        self.all: list[Node] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __getitem__(self, place: int) -> Node:
        return self.all[place]

    @property
    def requests(self) -> list[Request]:
        return [each for node in self.all for each in node.requests]

    def say(self, says: Says) -> None:
        for node in self.all:
            node.says = lambda _: says

    def forget(self) -> None:
        for node in self.all:
            node.requests.clear()

    def start(self, node: Node) -> None:
        asyncio.run_coroutine_threadsafe(node.start(), self._loop).result(10)

    def stop(self, node: Node) -> None:
        asyncio.run_coroutine_threadsafe(node.stop(), self._loop).result(10)

    def open(self, count: int) -> None:
        self._thread.start()
        for _ in range(count):
            self.all.append(Node(free_port()))
            self.start(self.all[-1])

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for node in self.all:
            if node.server and node.server.is_serving():
                await node.stop()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


@dataclass
class Running:
    """An edge: nginx with a rendered configuration in a folder of its own."""

    edge: Edge
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def ask(self, target: str, method: str = "GET", **headers: str) -> Answer:
        assert self.process
        with (self.folder / "out").open("rb") as log:
            return Server(self.process, self.edge.listen, log).ask(target, method, **headers)

    def purge(self, *purges: dict[str, Any], **headers: str) -> Answer:
        """Purges, as nodes send them."""
        return self.post(json.dumps(list(purges)).encode(), **headers)

    def post(self, body: bytes, method: str = "POST", **headers: str) -> Answer:
        assert self.process
        with (self.folder / "out").open("rb") as log:
            connection = Server(self.process, self.edge.purge_listen, log).connect()
        try:
            connection.request(method, "/purge", body, {key.replace("_", "-"): each for key, each in headers.items()})
            with connection.getresponse() as response:
                return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    @property
    def rules(self) -> dict[str, int]:
        return json.loads(self.post(b"", "GET").body)

    def lines(self, count: int) -> list[dict[str, Any]]:
        """The access log, as soon as it has so many lines."""
        path = self.folder / "access.log"
        until(lambda: len(path.read_bytes().splitlines()) >= count)
        return [json.loads(line) for line in path.read_text().splitlines()]

    def start(self) -> None:
        with (self.folder / "out").open("ab") as log:
            self.process = subprocess.Popen([*self._command, "-g", "daemon off;"], stdout=log, stderr=log)
        until(self._is_up, seconds=20)

    def stop(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    @property
    def _command(self) -> list[str]:
        return ["nginx", "-p", f"{self.folder}/", "-c", f"{self.folder}/nginx.conf"]

    def _is_up(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.folder / "out").read_text()
        with suppress(OSError):
            return self.ask("/edge-health").status == 200
        return False


def edge_in(folder: Path, nodes: tuple[str, ...], **fields: Any) -> Edge:
    """An edge that lives in a folder, on free ports."""
    (folder / "cache").mkdir(exist_ok=True)
    given = {
        "listen": f"127.0.0.1:{free_port()}",
        "purge_listen": f"127.0.0.1:{free_port()}",
        "cache_dir": str(folder / "cache"),
        "temp_dir": str(folder),
        "pid": str(folder / "pid"),
        "access_log": str(folder / "access.log"),
        "error_log": str(folder / "error.log"),
        "user": "root" if os.geteuid() == 0 else "",
        "workers": "2",
        "open_files": 4096,
        "min_free": "1m",
        "formats": ("avif", "webp"),
    }
    return Edge(nodes=nodes, **(given | fields))


@contextmanager
def edge_before(nodes: tuple[str, ...], more: str = "", **fields: Any) -> Iterator[Running]:
    """A running edge before these nodes. ``more``: a server of the test's own, put into the configuration."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder = Path(name)
        edge = edge_in(folder, nodes, **fields)
        write(edge, folder)
        configuration = folder / "nginx.conf"
        configuration.write_text(configuration.read_text().rstrip().removesuffix("}") + more + "}\n")
        running = Running(edge, folder)
        running.start()
        try:
            yield running
        finally:
            running.stop()
        # Below "crit" nothing is written: what stands there is a mistake of ours.
        assert (folder / "error.log").read_text() == ""


@contextmanager
def standing_in(count: int = 1) -> Iterator[Nodes]:
    """Stand-ins for nodes."""
    nodes = Nodes()
    nodes.open(count)
    try:
        yield nodes
    finally:
        nodes.close()


@contextmanager
def cluster(count: int = 1, **fields: Any) -> Iterator[tuple[Running, Nodes]]:
    """An edge before stand-ins."""
    with standing_in(count) as nodes, edge_before(tuple(node.bind for node in nodes.all), **fields) as edge:
        yield edge, nodes


def source_id(url: str) -> str:
    """As the nodes compute it, with nothing of ours."""
    return hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()[:16]


def send_raw(bind: str, text: bytes) -> bytes:
    """What comes back for these bytes, until the other side closes."""
    host, _, port = bind.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(text)
        parts: list[bytes] = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)
