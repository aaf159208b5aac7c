"""Origins that are gone, drip and fail: rows 11, 12 and 13."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

from bench.chaos.load import known, many, mixed
from bench.chaos.node import node, origin_process
from bench.chaos.row import Figures, Row, Scale, failed, is_polite, p99_ms, percentile, slower, statuses
from bench.chaos.site import site
from bench.openloop import fire

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORT_LIVED = {"result_cache_ttl": "1", "workers": "2"}
_MARGIN = 10
"""Second tries that a node may have saved up."""


@contextmanager
def black_hole() -> Iterator[str]:
    """The URL of an origin that takes no connection and refuses none: its queue of them is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        try:
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for each in waiting:
                each.close()


async def gone(scale: Scale) -> Figures:
    """An origin is killed while its pictures are remembered; another one was never reachable."""
    seconds = scale.pick(3, 10)
    settings = _SHORT_LIVED | ({"result_cache_stale_if_error": "0"} if scale.stripped else {})
    without = scale.without("breaker")
    async with origin_process() as origin:
        with node(settings, without=without) as server, black_hole() as nowhere:
            remembered = known(origin.url, "known", 10)
            await fire(server.bind, remembered, 20, 1)
            await origin.kill()
            await asyncio.sleep(1.5)
            stale = await fire(server.bind, remembered, 20, seconds)
            # The first ones wait for a connection that does not come about, and the origin is left alone then.
            first = await fire(server.bind, many(nowhere, "new", 10), 10, 1)
            later = await fire(server.bind, many(nowhere, "later", 10), 20, 0.8)
    return {
        "remembered": statuses(stale),
        "remembered_failed": failed(stale),
        "new_statuses": statuses(first),
        "new_slowest_s": round(max(shot.seconds for shot in first), 2),
        "rested_statuses": statuses(later),
        "rested_p50_ms": round(1000 * percentile([shot.seconds for shot in later], 50), 1),
    }


async def drip(scale: Scale) -> Figures:
    """One of five origins sends a byte a second, and is asked 50 times a second."""
    seconds = scale.pick(4, 12)
    settings = {"workers": "2", "timeout": "4"}
    if scale.stripped:
        settings["min_download_rate"] = "0"
    async with AsyncExitStack() as stack:
        sites = [await stack.enter_async_context(site()) for _ in range(5)]
        with node(settings, without=scale.without("shares")) as server:
            others = mixed(*(many(each.url, "fine", 20) for each in sites[:4]))
            await fire(server.bind, others, 20, 1)
            # As many requests as with the slow one, so that it makes the difference, and not their number.
            remembered = known(sites[0].url, "known", 10)
            quiet, _ = await asyncio.gather(
                fire(server.bind, others, 20, seconds), fire(server.bind, remembered, 50, seconds)
            )
            slow = many(sites[4].url, "drip:", 1000)
            noisy, dripped = await asyncio.gather(
                fire(server.bind, others, 20, seconds), fire(server.bind, slow, 50, seconds)
            )
    return {
        "others": statuses(noisy),
        "failed": failed(noisy),
        "quiet_p99_ms": p99_ms(quiet),
        "p99_ms": p99_ms(noisy),
        "slower": slower(noisy, quiet, 1.1, 40),
        "dripped": statuses(dripped),
    }


async def broken(scale: Scale) -> Figures:
    """An origin answers 503 to everything."""
    seconds = scale.pick(3, 15)
    async with site() as origin:
        with node(_SHORT_LIVED, without=scale.without("retries")) as server:
            remembered = known(origin.url, "known", 20)
            await fire(server.bind, remembered, 20, 1)
            await asyncio.sleep(1.5)
            origin.status = 503
            origin.asked.clear()
            new, old = await asyncio.gather(
                fire(server.bind, many(origin.url, "new", 10_000), 20, seconds),
                fire(server.bind, remembered, 20, seconds),
            )
            asked = sum(count for path, count in origin.asked.items() if path.startswith("/new"))
            origin.status = 200
            back = asyncio.get_running_loop().time()
            while failed(await fire(server.bind, many(origin.url, "back", 1000, int(100 * back)), 10, 0.3)):
                if asyncio.get_running_loop().time() - back > 60:
                    break
            back = asyncio.get_running_loop().time() - back
    return {
        "demand": len(new),
        "asked": asked,
        "remembered_failed": failed(old),
        "new_statuses": statuses(new),
        "polite": sum(is_polite(shot) for shot in new),
        "back_after_s": round(back, 1),
    }


ROWS = (
    Row(
        number="11",
        fault="an origin is killed, another one was never reachable",
        limit="remembered pictures 100 % answered; new ones within 1.3 s, and within 10 ms (median) once it rests",
        run=gone,
        holds=lambda f: f["remembered_failed"] == 0 and f["new_slowest_s"] <= 1.3 and f["rested_p50_ms"] <= 10,
        twin="stale results and the breaker",
    ),
    Row(
        number="12",
        fault="one of five origins drips, at 50 requests/s",
        limit="requests for the other four: none fails, p99 at most 1.1 x + 40 ms",
        run=drip,
        holds=lambda f: f["failed"] == 0 and not f["slower"],
        twin="shares of origins and the least rate",
    ),
    Row(
        number="13",
        fault="an origin answers 503",
        limit=f"it is asked at most 1.1 x + {_MARGIN} times as often as we are; remembered pictures are answered",
        run=broken,
        holds=lambda f: f["asked"] <= 1.1 * f["demand"] + _MARGIN and f["remembered_failed"] == 0,
        twin="the budget of second tries and the breaker",
    ),
)
