"""Disks that are full, or not to be written to: rows 18 and 19."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.chaos.edges import cluster
from bench.chaos.load import known, many
from bench.chaos.node import node
from bench.chaos.row import Figures, Row, Scale, failed, statuses
from bench.chaos.site import site
from bench.openloop import fire
from tests.serving import signed

if TYPE_CHECKING:
    from collections.abc import Iterator

_MB = 1 << 20


def needs_mounts() -> str:
    """Why there are no disks to fill here; empty if there are."""
    tried = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
    return "" if os.geteuid() == 0 and not tried.returncode else "mounting a small disk needs root"


@contextmanager
def disk(megabytes: int, ballast: int = 0, *, full: bool = False) -> Iterator[Path]:
    """A file system of its own, with so much on it already."""
    with tempfile.TemporaryDirectory(prefix="disk-") as folder:
        options = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "chaos", folder]
        subprocess.run(options, check=True)
        try:
            if ballast or full:
                _fill(Path(folder) / "ballast", ballast * _MB if not full else megabytes * _MB)
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def _fill(path: Path, size: int) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while size > 0:
                size -= file.write(b"x" * min(size, 4096))
        except OSError:
            return


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written to a folder, but to what is open already."""
    subprocess.run(["mount", "-o", "bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def cache_full(scale: Scale) -> Figures:
    """The edge's cache grows until its disk is full. An answer that ends early counts as status 0."""
    # nginx looks at the free room every ten seconds, so that much of what misses write has to fit into min_free.
    seconds = scale.pick(20, 50)
    with disk(16, int(scale.pick(10, 4))) as folder:
        (folder / "cache").mkdir()
        fields = {
            "cache_dir": str(folder / "cache"),
            "temp_dir": str(folder),
            "min_free": "0" if scale.stripped else "4m",
        }
        with cluster(1, redis=False, edge_fields=fields, workers="2") as running:
            async with site() as pictures:
                # 30 kB each, that do not compress.
                fresh = (
                    (
                        "new",
                        signed(
                            f"{pictures.url}/noise:100/{n % 5}.png", f"rs:fill:{100 - n // 5 % 20}:{100 - n // 100}"
                        ),
                    )
                    for n in range(100_000)
                )
                old = known(pictures.url, "noise:60", 20)
                new, hits = await asyncio.gather(
                    fire(running.edge, fresh, 10, seconds), fire(running.edge, old, 200, seconds)
                )
            left = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
    shots = [*new, *hits]
    return {
        "answers": len(shots),
        "written_mb": round(sum(shot.body for shot in new) / _MB, 1),
        "failed": failed(shots),
        "statuses": statuses(shots),
        "left_mb": round(left / _MB, 1),
    }


async def nowhere_to_write(scale: Scale) -> Figures:
    """No temporary file can be made, the working directory is full, and then is read-only."""
    seconds = scale.pick(2, 8)
    with disk(1, full=True) as folder, (folder / "log").open("ab") as log:
        async with site() as pictures:
            place = {"TMPDIR": str(folder)}
            with node(without=scale.without("memfd"), environment=place, folder=folder, log=log) as server:
                shots = await fire(server.bind, many(pictures.url, "full", 10), 20, seconds)
                with _read_only(folder):
                    shots += await fire(server.bind, many(pictures.url, "readonly", 10), 20, seconds)
    return {"requests": len(shots), "failed": failed(shots), "statuses": statuses(shots)}


async def unread_log(scale: Scale) -> Figures:
    """Nobody reads what the node writes."""
    reader, writer = os.pipe()
    try:
        async with site() as pictures:
            with os.fdopen(writer, "wb", buffering=0) as log, node(without=scale.without("log"), log=log) as server:
                shots = await fire(server.bind, known(pictures.url, "unread", 10), 150, scale.pick(4, 8))
                if scale.stripped:
                    server.process.kill()
    finally:
        os.close(reader)
    return {"requests": len(shots), "failed": failed(shots), "statuses": statuses(shots)}


ROWS = (
    Row(
        number="18",
        fault="the disk of the edge's cache fills up",
        limit="no answer ends early or fails",
        run=cache_full,
        holds=lambda f: f["failed"] == 0,
        twin="min_free",
        needs=needs_mounts,
    ),
    Row(
        number="19",
        fault="a full disk, then a read-only one, as TMPDIR and working directory",
        limit="no request fails",
        run=nowhere_to_write,
        holds=lambda f: f["failed"] == 0,
        twin="sources in memfds",
        needs=needs_mounts,
    ),
    Row(
        number="19log",
        fault="nobody reads the log",
        limit="no request fails",
        run=unread_log,
        holds=lambda f: f["failed"] == 0,
        twin="the writes that do not wait",
    ),
)
