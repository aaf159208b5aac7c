"""Clients that leave, and too many of them: rows 24 and 31."""

from __future__ import annotations

import asyncio
import time
from itertools import islice

from bench.chaos.load import many, shoot
from bench.chaos.node import node, numbers, summed, until_numbers
from bench.chaos.row import Figures, Row, Scale, failed, statuses
from bench.chaos.site import site
from bench.openloop import Gun, fire
from tests.serving import signed


async def vanish(scale: Scale) -> Figures:
    """Five hundred clients break their connections while their pictures are on their way."""
    count = int(scale.pick(150, 500))
    async with site() as origin:
        with node({"origin_share": "100"}, without=scale.without("leaving")) as server:
            before = server.descriptors()
            writers = []
            for _, target in islice(many(origin.url, "late:4", 1000), count):
                _, writer = await asyncio.open_connection(*server.bind.split(":"))
                writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                writers.append(writer)
            busy = await until_numbers(server, lambda scrape: scrape["requests_in_progress"] >= 30, 3)
            at_once = (await numbers(server))["requests_in_progress"]
            for writer in writers:
                writer.transport.abort()
            settled = await until_numbers(server, lambda scrape: not scrape["requests_in_progress"], 3)
            after = await shoot(server.bind, signed(f"{origin.url}/any.png", "rs:fit:50:50"))
            scrape = await numbers(server)
            return {
                "clients": count,
                "in_progress": at_once,
                "all_came": busy is not None,
                "nobody_left_after_s": None if settled is None else round(settled, 2),
                "images_in_progress": scrape["images_in_progress"],
                "restarts": summed(scrape, "render_worker_restarts_total"),
                "descriptors": server.descriptors() - before,
                "next_request": after.status,
            }


async def descriptors(scale: Scale) -> Figures:
    """A node with 64 descriptors, and 500 clients who stay."""
    count = int(scale.pick(150, 500))
    limit = ("prlimit", "--nofile=64:64")
    async with site() as origin:
        with node(before=limit, without=scale.without("crowd")) as server:
            gun = Gun(server.bind)
            targets = list(islice(many(origin.url, "any", 20), count))
            await asyncio.gather(*(gun.shoot(kind, target, time.monotonic()) for kind, target in targets))
            answered = [shot for shot in gun.shots if shot.status]
            gun.close()
            await asyncio.sleep(0.5)
            later = await fire(server.bind, many(origin.url, "later", 5), 10, 1)
            alive = server.process.poll() is None
            ready = (await shoot(server.bind, "/readyz")).status
            reasons = {line["reason"] for line in server.lines() if line["status"] == 500}
        # Room for more than one idle connection to an origin.
        with node(before=("prlimit", "--nofile=128:128"), without=scale.without("crowd")) as server:
            beside = await _beside_silence(server.bind, origin.url, count)
    return {
        "clients": count,
        "answered": statuses(answered),
        "sent_away": len(gun.shots) - len(answered),
        "our_fault": sum(shot.status == 500 for shot in answered),
        "reasons": sorted(reasons),
        "alive": alive,
        "ready": ready,
        "beside_silent_ones": beside,
        "later_failed": failed(later),
    }


async def _beside_silence(bind: str, url: str, count: int) -> list[int]:
    """What five requests get, one after the other, while so many others have connected and say nothing."""
    writers = [(await asyncio.open_connection(*bind.split(":")))[1] for _ in range(count)]
    got: list[int] = []
    for _, target in islice(many(url, "beside", 5), 5):
        try:
            async with asyncio.timeout(2):
                got.append((await shoot(bind, target)).status)
        except TimeoutError:
            got.append(0)
    for writer in writers:
        writer.transport.abort()
    return got


ROWS = (
    Row(
        number="24",
        fault="500 clients vanish",
        limit="nothing is in progress after 1 s, no render process is lost, the next request is answered",
        run=vanish,
        holds=lambda f: (
            f["all_came"]
            and f["nobody_left_after_s"] is not None
            and f["nobody_left_after_s"] <= 1
            and f["restarts"] == f["images_in_progress"] == 0
            and f["next_request"] == 200
        ),
        twin="the look for clients that have left",
    ),
    Row(
        number="31",
        fault="64 descriptors, and 500 clients who stay",
        limit="no crash, no 500; who asks is answered beside those who are silent, and when they are gone",
        run=descriptors,
        holds=lambda f: (
            f["alive"]
            and f["our_fault"] == 0
            and f["ready"] == 200
            and set(f["beside_silent_ones"]) == {200}
            and f["later_failed"] == 0
        ),
        twin="the bound on connections",
    ),
)
