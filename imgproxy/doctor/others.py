"""Checks of what the server depends on: render processes, Redis, the result store, names, the clock, pictures."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from imgproxy.caches.base import TierDown
from imgproxy.caches.connecting import connect
from imgproxy.caches.shards import ask
from imgproxy.caches.store import Store
from imgproxy.clock import unix_seconds
from imgproxy.doctor.finding import Finding, bad, warning
from imgproxy.errors import ImageError
from imgproxy.formats import FORMATS
from imgproxy.model import Deadline
from imgproxy.origins.configured import fallback, watermark
from imgproxy.origins.fetch import Origins
from imgproxy.render.pool import Pool
from imgproxy.render.specimen import libvips_version

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from imgproxy.caches.settings import CacheSettings
    from imgproxy.settings import Settings

T = TypeVar("T")

_PATIENCE_S = 5.0
_APART_S, _FAR_APART_S = 2.0, 30.0
"""Between two clocks: purges and expiries are off by as much."""
_HOST = re.compile(r"https?://([A-Za-z0-9.-]+)(?=[:/]|$)")


async def findings(settings: Settings) -> AsyncGenerator[Finding]:
    """All that has to be asked of somebody else, who may take some seconds."""
    async for finding in _rendering(settings):
        yield finding
    async for finding in _pictures(settings):
        yield finding
    yield await names(hosts(settings))
    theirs: float | None = None
    if url := settings.cache.redis_url.get_secret_value():
        finding, theirs = await _redis(url)
        yield finding
    if settings.cache.result_store_url:
        yield await _store(settings.cache)
    if theirs is None:
        with tempfile.TemporaryFile() as file:
            yield clock(unix_seconds(), os.fstat(file.fileno()).st_mtime, "the file system's")
    else:
        yield clock(unix_seconds(), theirs, "Redis'")


async def _rendering(settings: Settings) -> AsyncGenerator[Finding]:
    pool = Pool(1, budget=settings.pool.budget, require_sandbox=settings.pool.require_sandbox)
    try:
        await pool.start()
        await pool.probe(Deadline.after(_PATIENCE_S))
    except (ImageError, OSError) as error:
        yield bad("rendering", str(error), "Install the package anew, with its libvips.")
        return
    else:
        yield Finding("rendering", f"libvips {libvips_version()}; a picture in every format was rendered")
        missing = pool.sandbox.missing
        remedy = "A newer kernel (5.13 for landlock), or a container that allows it; docs/security.md tells more."
        yield bad("sandbox", str(pool.sandbox), remedy) if missing else Finding("sandbox", str(pool.sandbox))
    finally:
        await pool.aclose()
    yield Finding("reads", ", ".join(each.name for each in FORMATS if each.readable))
    yield Finding("writes", ", ".join(each.name for each in FORMATS if each.writable))


async def _pictures(settings: Settings) -> AsyncGenerator[Finding]:
    """The watermark and the fallback image, which are fetched when they are first needed: too late to be missed."""
    origins = Origins(settings.origin)
    try:
        for name, picture in (
            ("watermark", watermark(origins, settings.configured)),
            ("fallback image", fallback(origins, settings.configured)),
        ):
            if not picture:
                continue
            try:
                source = await picture.source(Deadline.after(_PATIENCE_S))
            except ImageError as error:
                yield bad(name, str(error), error.remedy)
            else:
                source.close()
                yield Finding(name, f"{source.size} bytes")
            picture.close()
    finally:
        await origins.aclose()


def hosts(settings: Settings) -> list[str]:
    """The names that the settings have looked up: of allowed sources, of what is put before them, and of edges."""
    urls = (*settings.origin.allowed_sources, settings.dialect.base_url, *settings.edge.edge_urls)
    found = (match[1] for url in urls if (match := _HOST.match(url)))
    return list(dict.fromkeys(found))


async def names(wanted: list[str]) -> Finding:
    """Whether names can be looked up."""
    if not wanted:
        return _name_servers(Path("/etc/resolv.conf"))
    loop = asyncio.get_running_loop()
    unknown: list[str] = []
    for host in wanted:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError):
            unknown.append(host)
    if unknown:
        remedy = "Look at their spelling, and at /etc/resolv.conf: no picture comes from what has no address."
        return bad("names", f"{', '.join(unknown)} cannot be looked up", remedy)
    return Finding("names", f"{', '.join(wanted)} {'has' if len(wanted) == 1 else 'have'} addresses")


def _name_servers(path: Path) -> Finding:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    if not servers:
        return warning(
            "names", f"no name server in {path}", "Name one there, unless all sources are local or in /etc/hosts."
        )
    return Finding("names", f"looked up at {', '.join(servers)}; no source is named that could be tried")


async def _redis(url: str) -> tuple[Finding, float | None]:
    """Whether it answers, and its clock in Unix seconds."""
    remedy = "The server works without it, and makes more renders. Check IMGPROXY_REDIS_URL."
    try:
        shards = connect(url, timeout=_PATIENCE_S, slow=None)
    except ValueError as error:
        return bad("Redis", str(error), remedy), None
    try:
        await shards.call("imgproxy:doctor", lambda client: client.exists("imgproxy:doctor"))
        # A list of seconds and microseconds, as text.
        said = str(await shards.call("imgproxy:doctor", lambda client: ask(client, "TIME")))
    except TierDown as error:
        return bad("Redis", str(error), remedy), None
    finally:
        await shards.aclose()
    parts = re.findall(r"\d+", said)
    return Finding("Redis", "answers"), float(f"{parts[0]}.{parts[1]:0>6}") if len(parts) == 2 else None


class _NoGuard:
    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        async with asyncio.timeout(_PATIENCE_S):
            return await operation()


async def _store(settings: CacheSettings) -> Finding:
    remedy = "The server works without it, and makes more renders. Check IMGPROXY_RESULT_STORE_URL and credentials."
    try:
        store = Store.from_url(settings.result_store_url, _NoGuard(), now=unix_seconds)
        try:
            await store.get("00doctor")
        finally:
            await store.aclose()
    except (ValueError, OSError, TierDown, TimeoutError) as error:
        return bad("result store", str(error) or type(error).__name__, remedy)
    return Finding("result store", "answers")


def clock(ours: float, theirs: float, whose: str) -> Finding:
    """Whether this machine agrees with another clock about the time. Unix seconds."""
    apart = abs(ours - theirs)
    text = f"{apart:.1f} s from {whose}"
    remedy = "Keep it by NTP (timedatectl set-ntp true): URLs expire, and purges take hold, by it."
    if apart > _FAR_APART_S:
        return bad("clock", text, remedy)
    return warning("clock", text, remedy) if apart > _APART_S else Finding("clock", text)
