"""Composition root: from settings to a running server. Builds everything that holds a socket or a process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from imgproxy import __version__, freshness, logs
from imgproxy.caches.opened import opened
from imgproxy.clock import unix_seconds
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.edge.announce import Edges
from imgproxy.etags import Tags
from imgproxy.explanation import explain
from imgproxy.fields import is_loop
from imgproxy.flight import Flights, ended
from imgproxy.hurry import Hurry
from imgproxy.making import Made, Makings
from imgproxy.metrics import Metrics, NodeState
from imgproxy.model import StillGood
from imgproxy.negotiation import Negotiator
from imgproxy.origins.configured import fallback, watermark
from imgproxy.origins.fetch import Origins
from imgproxy.overload.admission import PLACES_PER_WORKER, Admission
from imgproxy.overload.buckets import Rates
from imgproxy.overload.cost import Costs
from imgproxy.overload.lag import Lag
from imgproxy.overload.pressure import Groups, Pressure
from imgproxy.planning import Planner
from imgproxy.presets.use import PresetUse
from imgproxy.purging import Purging
from imgproxy.readings import Rules
from imgproxy.reloading import Reloading
from imgproxy.render.pool import Pool
from imgproxy.render.sandbox import LAYERS
from imgproxy.service import Service
from imgproxy.settings import Settings
from imgproxy.signing import Signer
from imgproxy.tokens import Tokens
from imgproxy.web import server
from imgproxy.web.admin import Admin
from imgproxy.web.advice import Advising
from imgproxy.web.images import Images
from imgproxy.web.ops import Ops
from imgproxy.web.playground import Playground
from imgproxy.web.playground.uploads import Uploads
from imgproxy.web.playground.urls import Rules as PlaygroundRules

if TYPE_CHECKING:
    from imgproxy.caches.opened import Caches
    from imgproxy.web.playground import Example

_log = logging.getLogger("imgproxy")


@dataclass(frozen=True, slots=True)
class Node:
    """A server without its listeners."""

    service: Service
    ops: Ops
    """The ASGI application: health, landing page, and behind them the images."""
    metrics: Metrics
    pool: Pool
    admin: Admin


@asynccontextmanager
async def node(
    settings: Settings, *, examples: Iterable[Example] = (), read: Callable[[], Settings] | None = None
) -> AsyncGenerator[Node]:
    """A node with its render processes running, until the block ends.

    ``examples`` are the playground's. ``read`` gives the settings anew when their files change: from the environment
    if it is None.
    """
    async with AsyncExitStack() as open_things:
        pool = Pool(
            settings.pool.workers,
            budget=settings.pool.budget,
            max_jobs=settings.pool.worker_max_jobs,
            require_sandbox=settings.pool.require_sandbox,
        )
        places, loop_id = PLACES_PER_WORKER * pool.size, settings.loop_id
        origins = Origins(settings.origin, places=places, loop_id=loop_id)
        open_things.push_async_callback(origins.aclose)
        mark = watermark(origins, settings.configured)
        open_things.callback(mark.close)
        stand_in = fallback(origins, settings.configured)
        open_things.callback(stand_in.close)
        open_things.push_async_callback(pool.aclose)
        await pool.start()
        lifetime = partial(freshness.lifetime, settings.freshness)
        caches = await open_things.enter_async_context(
            opened(
                settings.cache,
                origins,
                lifetime=lifetime,
                negative_ttl=settings.freshness.negative_cache_ttl,
                now=unix_seconds,
            )
        )
        pressure = Pressure(Groups.own().used, (caches.shrink,))
        admission = Admission(
            places, settings.overload.requests_queue_size, pool.size, shedding=lambda: pressure.shedding
        )
        edges = await open_things.enter_async_context(Edges.of(settings.edge)) if settings.edge.edge_urls else None
        # Above what makings use, so that they end first.
        flights = await open_things.enter_async_context(Flights[Made | StillGood]())

        def rules(fresh: Settings) -> Rules:
            # Of the new settings only what may change while the server runs.
            planner = Planner(settings.plan, fresh.presets, negotiator, watermark=mark.identity)
            signer = Signer.of(fresh.signing)
            return Rules(signer, planner, Tokens(signer.pairs))

        dialect = Dialect(settings.dialect)
        negotiator = Negotiator(settings.negotiation)
        rates = Rates(settings.rate)
        service = Service(
            dialect=dialect,
            rules=rules(settings),
            tags=Tags(settings.tag.etag_buster, settings.tag.last_modified_buster),
            origins=origins,
            purges=caches.purges,
            results=caches.results,
            flights=flights,
            makings=Makings(
                caches.results,
                caches.sources,
                caches.refusals,
                caches.poison,
                Costs(),
                admission,
                pool,
                mark,
                unix_seconds,
                caches.remote.leases,
                caches.kin if settings.overload.brownout else None,
                settings.web.timeout,
                caches.mezzanines,
            ),
            fallback=stand_in,
            lifetime=lifetime,
            refreshing=asyncio.Semaphore(max(1, admission.places // 2)),
            behind_edge=edges is not None,
            rates=rates,
            hurry=Hurry(admission, settings.overload.brownout, settings.overload.adaptive_encoding),
        )
        purging = _purging(settings, caches, edges)

        playground = _playground(settings, examples, open_things) if settings.playground.playground else None

        def adopt(fresh: Settings) -> None:
            service.rules = rules(fresh)
            purging.adopt(fresh.presets)
            use.adopt(fresh.presets)
            if playground is not None:
                playground.rules = _playground_rules(settings, fresh)

        reloading = Reloading(settings, lambda settings: settings.files, adopt, read=read or Settings.read)
        lag = Lag()
        metrics = Metrics(settings.metrics)
        use = PresetUse(settings.presets, metrics)
        metrics.watch(pool, admission)
        metrics.watch_caches(partial(caches.state, flights))
        metrics.watch_node(partial(_state, pool, origins, caches, admission, rates, pressure, lag, reloading))
        images = Images(
            service,
            settings.web,
            settings.freshness,
            metrics,
            negotiator.client,
            negotiator.vary,
            trusted=settings.rate.trusted_proxies,
            is_loop=lambda passed: is_loop(passed, loop_id),
            behind_edge=edges is not None,
            advising=Advising(dialect, lambda: service.rules),
            used=use.note,
        )
        ops = Ops(
            images,
            settings.web,
            pool.probe,
            path_prefix=settings.dialect.path_prefix,
            playground=playground,
            obstacle=lambda: lag.obstacle,
            notes=reloading.notes,
        )
        admin = Admin(purging, settings.admin, dialect.rewritten)
        for watch in (pressure.watch(), lag.watch(), reloading.watch(), purging.recall()):
            open_things.push_async_callback(ended, asyncio.get_running_loop().create_task(watch))
        yield Node(service, ops, metrics, pool, admin)


def _state(
    pool: Pool,
    origins: Origins,
    caches: Caches,
    admission: Admission,
    rates: Rates,
    pressure: Pressure,
    lag: Lag,
    reloading: Reloading,
) -> NodeState:
    """What the metrics say of a node's defences."""
    return NodeState(
        sandbox={layer: layer in pool.sandbox.held for layer in LAYERS},
        guarded=origins.refused,
        resting=origins.resting,
        fetching=origins.in_flight,
        waiting_for_origins=origins.waiting,
        poisoned=caches.poison.entries,
        refused={(lane.value, reason): count for (lane, reason), count in admission.refused.items()},
        queued_seconds=admission.wait,
        rated=rates.refused,
        memory_level=int(pressure.level),
        memory_fraction=pressure.fraction,
        lag_seconds=lag.lag,
        stalls=lag.stalls,
        dropped_lines=logs.dropped_lines(),
        reloaded=reloading.last_successful,
        reloaded_at=reloading.last_success_at,
        reload_mistakes=reloading.mistakes,
    )


def _playground(settings: Settings, examples: Iterable[Example], open_things: AsyncExitStack) -> Playground:
    uploads = Uploads.of(settings.playground.playground_upload_dir, settings.origin.local_filesystem_root)
    if uploads is not None:
        open_things.callback(uploads.close)
    return Playground(settings.playground, _playground_rules(settings, settings), examples, uploads)


def _playground_rules(settings: Settings, fresh: Settings) -> PlaygroundRules:
    now = replace(settings, signing=fresh.signing, presets=fresh.presets)
    return PlaygroundRules(
        settings.dialect,
        Signer.of(fresh.signing),
        fresh.preset,
        fresh.presets,
        lambda url: [step.as_dict() for step in explain(url, now)],
    )


def _purging(settings: Settings, caches: Caches, edges: Edges | None) -> Purging:
    return Purging(
        caches.purges,
        caches.memory,
        settings.presets,
        caches.remote.tiers,
        caches.remote.bulletin,
        caches.remote.store,
        edges,
    )


async def serve(
    settings: Settings,
    *,
    examples: Iterable[Example] = (),
    read: Callable[[], Settings] | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve until a signal ends it."""
    async with node(settings, examples=examples, read=read) as running:
        for line in _facts(settings, running):
            _log.info(line)
        for warning in settings.warnings:
            _log.warning(warning)
        if settings.admin.admin_bind and settings.admin.admin_bind == settings.metrics.prometheus_bind:
            raise OSError("IMGPROXY_ADMIN_BIND and IMGPROXY_PROMETHEUS_BIND are the same address")
        beside = (
            server.Beside("IMGPROXY_PROMETHEUS_BIND", settings.metrics.prometheus_bind, running.metrics.asgi()),
            server.Beside("IMGPROXY_ADMIN_BIND", settings.admin.admin_bind, running.admin),
        )
        await server.run(
            running.ops,
            settings.web,
            on_drain=running.ops.drain,
            beside=(each for each in beside if each.bind),
            bodies=settings.playground.playground,
            on_ready=on_ready,
        )


def run(
    settings: Settings,
    *,
    examples: Iterable[Example] = (),
    read: Callable[[], Settings] | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Configure the log and serve until a signal ends it, on an event loop of its own."""
    logs.configure(settings.log)
    server.start(serve(settings, examples=examples, read=read, on_ready=on_ready))


def _facts(settings: Settings, running: Node) -> list[str]:
    """What an operator wants to see once: a line for each fact, the worrying ones included."""
    keys = len(settings.signing.key)
    return [
        f"imgproxy-server {__version__}",
        f"render processes: {running.pool.size}",
        f"sandbox: {running.pool.sandbox}",
        f"signing keys: {keys}" if keys else "signing keys: none, URLs are NOT checked (set IMGPROXY_KEY and _SALT)",
        f"presets: {', '.join(settings.presets.names) or 'none'}",
        f"local files: {settings.origin.local_filesystem_root or 'off'}",
        f"results: {', '.join(_tiers(settings)) or 'not kept'}",
    ]


def _tiers(settings: Settings) -> list[str]:
    cache = settings.cache
    memory = [f"{cache.memory_cache_size // 1024**2} MiB of memory"] if cache.memory_cache_size else []
    redis = ["Redis"] if cache.redis_url.get_secret_value() else []
    return [*memory, *redis, *([cache.result_store_url] if cache.result_store_url else [])]
