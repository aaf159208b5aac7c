"""A region that is cut off: row 15.

Two regions, each with Redis, a node and an edge, in network namespaces of their own on one bridge; before them an nginx
that stands for whatever sends clients to regions, and asks the other one when the first does not answer. All of it runs
in a namespace without a way out: ``unshare -n python -m bench.chaos.regions``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench.chaos.edges import cluster
from bench.chaos.load import during, known, many, mixed
from bench.chaos.node import ROOT, end
from bench.chaos.row import Figures, Row, Scale
from bench.chaos.site import site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.openloop import Shot

_NETWORK = "10.77.0"
_FRONT = "127.0.0.1:8079"
_PORT = 8080
_NGINX = """
daemon off;
pid {folder}/pid;
user root;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream regions {{
        server {a} max_fails=1 fail_timeout=5s;
        server {b} max_fails=1 fail_timeout=5s;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://regions;
            proxy_connect_timeout 500ms;
            proxy_read_timeout 2s;
            proxy_next_upstream {retry};
            proxy_next_upstream_tries 2;
        }}
    }}
}}
"""


def needs_namespaces() -> str:
    """Why there can be no networks here; empty if there can."""
    made = subprocess.run(
        ["unshare", "-n", "ip", "link", "add", "chaos0", "type", "bridge"], capture_output=True, check=False
    )
    return made.stderr.decode().strip()


async def outage(scale: Scale) -> Figures:
    """The figures of ``cut_off``, from a process without a network of its own."""
    command = ["unshare", "-n", sys.executable, "-m", "bench.chaos.regions", json.dumps(asdict(scale))]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return json.loads(told)


async def cut_off(scale: Scale) -> Figures:
    """Two regions under requests; then the first one's link is down."""
    with ExitStack() as stack:
        _ip("link set lo up", "link add br0 type bridge", f"addr add {_NETWORK}.254/24 dev br0", "link set br0 up")
        first, second = (stack.enter_context(_region(number)) for number in (1, 2))
        stack.enter_context(_front(first, second, retry=not scale.stripped))
        async with AsyncExitStack() as open_things:
            origin = await open_things.enter_async_context(site(host=f"{_NETWORK}.254"))
            targets = mixed(many(origin.url, "new", 20), known(origin.url, "known", 10))
            await during(asyncio.sleep(1), _FRONT, targets, 20)
            before = scale.pick(1, 3)
            shots = await during(_cut(before, scale.pick(7, 12)), _FRONT, targets, 40)
    return _figures(shots, before)


async def _cut(before: float, after: float) -> None:
    await asyncio.sleep(before)
    _ip("link set chaos1 down")
    await asyncio.sleep(after)


def _figures(shots: list[Shot], cut_at: float) -> Figures:
    def share(low: float, high: float) -> float:
        there = [shot for shot in shots if low <= shot.at - cut_at < high]
        return round(sum(shot.status == 200 for shot in there) / len(there), 4)

    return {
        "requests": len(shots),
        "answered_before": share(-99, 0),
        "first_2_s": share(0, 2),
        "after_2_s": share(2, 99),
        "after_5_s": share(5, 99),
        "slowest_s": round(max(shot.seconds for shot in shots), 2),
    }


@contextmanager
def _region(number: int) -> Iterator[str]:
    """The address of a region's edge; its namespace hangs on the bridge by ``chaos<number>``."""
    address = f"{_NETWORK}.{number}"
    script = f"ip link set lo up; read line; exec {sys.executable} -m bench.chaos.regions --region {address}:{_PORT}"
    holder = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        while Path(f"/proc/{holder.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            pass
        inside = f"eth{number}"
        _ip(
            f"link add chaos{number} type veth peer name {inside}",
            f"link set chaos{number} master br0 up",
            f"link set {inside} netns {holder.pid}",
        )
        enter = ["nsenter", "-t", str(holder.pid), "-n", "ip"]
        for words in (f"addr add {address}/24 dev {inside}", f"link set {inside} up"):
            subprocess.run([*enter, *words.split()], check=True)
        holder.stdin.write(b"go\n")
        holder.stdin.flush()
        if holder.stdout.readline() != b"ready\n":
            raise RuntimeError("a region did not come up")
        yield f"{address}:{_PORT}"
    finally:
        holder.stdin.close()
        holder.wait(30)
        holder.stdout.close()


def _serve_region(listen: str) -> None:
    """A region, until standard input ends."""
    with cluster(1, edge_fields={"listen": listen}, allow_private_source_addresses="1"):
        print("ready", flush=True)
        sys.stdin.read()


@contextmanager
def _front(first: str, second: str, *, retry: bool) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        given = {"folder": folder, "a": first, "b": second, "listen": _FRONT}
        path = Path(folder) / "nginx.conf"
        path.write_text(_NGINX.format(retry="error timeout" if retry else "off", **given))
        process = subprocess.Popen(["nginx", "-p", folder, "-c", str(path)])
        try:
            yield
        finally:
            end(process)


def _ip(*commands: str) -> None:
    for words in commands:
        subprocess.run(["ip", *words.split()], check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scale", nargs="?", default="{}")
    parser.add_argument("--region")
    given = parser.parse_args()
    if given.region:
        _serve_region(given.region)
    else:
        print(json.dumps(asyncio.run(cut_off(Scale(**json.loads(given.scale))))))


ROWS = (
    Row(
        number="15",
        fault="one of two regions is cut off",
        limit="99.9 % answered after 2 s, all after 5 s, none takes longer than 3 s",
        run=outage,
        holds=lambda f: f["after_2_s"] >= 0.999 and f["after_5_s"] == 1 and f["slowest_s"] <= 3,
        twin="the second try in the other region",
        needs=needs_namespaces,
    ),
)

if __name__ == "__main__":
    main()
