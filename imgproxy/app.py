"""Composition root: from settings to a running server. Builds everything that holds a socket or a process."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgproxy import __version__, logs
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.etags import Tags
from imgproxy.metrics import Metrics
from imgproxy.negotiation import Negotiator
from imgproxy.origins.configured import fallback, watermark
from imgproxy.origins.fetch import Origins
from imgproxy.planning import Planner
from imgproxy.render.pool import Pool
from imgproxy.service import Service
from imgproxy.signing import Signer
from imgproxy.web import server
from imgproxy.web.images import Images
from imgproxy.web.ops import LANDING, Ops

if TYPE_CHECKING:
    from imgproxy.settings import Settings

_log = logging.getLogger("imgproxy")


@dataclass(frozen=True, slots=True)
class Node:
    """A server without its listeners."""

    service: Service
    ops: Ops
    """The ASGI application: health, landing page, and behind them the images."""
    metrics: Metrics
    pool: Pool


@asynccontextmanager
async def node(settings: Settings, landing: str = LANDING) -> AsyncGenerator[Node]:
    """A node with its render processes running, until the block ends."""
    async with AsyncExitStack() as open_things:
        origins = Origins(settings.origin)
        open_things.push_async_callback(origins.aclose)
        mark = watermark(origins, settings.configured)
        open_things.callback(mark.close)
        stand_in = fallback(origins, settings.configured)
        open_things.callback(stand_in.close)
        pool = Pool(settings.pool.workers, settings.pool.requests_queue_size)
        open_things.push_async_callback(pool.aclose)
        await pool.start()

        negotiator = Negotiator(settings.negotiation)
        service = Service(
            dialect=Dialect(settings.dialect),
            signer=Signer.of(settings.signing),
            planner=Planner(settings.plan, settings.presets, negotiator, watermark=bool(mark)),
            tags=Tags(settings.tag.etag_buster, settings.tag.last_modified_buster),
            origins=origins,
            renderer=pool,
            watermark=mark,
            fallback=stand_in,
        )
        metrics = Metrics(settings.metrics)
        metrics.watch(pool)
        images = Images(service, settings.web, metrics, negotiator.client, negotiator.vary)
        ops = Ops(images, settings.web, pool.probe, path_prefix=settings.dialect.path_prefix, landing=landing)
        yield Node(service, ops, metrics, pool)


async def serve(settings: Settings, *, landing: str = LANDING, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until a signal ends it."""
    async with node(settings, landing) as running:
        for line in _facts(settings, running):
            _log.info(line)
        for warning in settings.warnings:
            _log.warning(warning)
        await server.run(
            running.ops,
            settings.web,
            on_drain=running.ops.drain,
            metrics=running.metrics.asgi(),
            metrics_bind=settings.metrics.prometheus_bind,
            on_ready=on_ready,
        )


def run(settings: Settings, *, landing: str = LANDING, on_ready: Callable[[], None] | None = None) -> None:
    """Configure the log and serve until a signal ends it, on an event loop of its own."""
    logs.configure(settings.log)
    server.start(serve(settings, landing=landing, on_ready=on_ready))


def _facts(settings: Settings, running: Node) -> list[str]:
    """What an operator wants to see once: a line for each fact, the worrying ones included."""
    keys = len(settings.signing.key)
    return [
        f"imgproxy-server {__version__}",
        f"render processes: {running.pool.size}",
        f"signing keys: {keys}" if keys else "signing keys: none, URLs are NOT checked (set IMGPROXY_KEY and _SALT)",
        f"presets: {', '.join(settings.presets.names) or 'none'}",
        f"local files: {settings.origin.local_filesystem_root or 'off'}",
    ]
