"""An origin of pictures by what their paths ask for; in this process, or ``python -m bench.chaos.site PORT``.

``/any/name.png`` is a picture; ``/segv/...`` and the other acts of ``worker.py`` one over which a render process does
that (``/sleep:0.5/...``); ``/late:0.5/...`` comes so many seconds later; ``/noise:90/...`` is 90 pixels square that do
not compress; ``/drip/...`` never ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

import pyvips
from aiohttp import web

from bench.chaos.worker import ACTS, marked
from tests import charts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_DRIP_EVERY_S = 1.0


class Site:
    """The origin, and the count of what it was asked. ``status``: what it answers; 200 with a picture."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.asked: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        if self.status != 200:
            return web.Response(status=self.status)
        word = request.path.split("/")[1]
        act, _, argument = word.partition(":")
        if act == "drip":
            return await _drip(request)
        if act == "late":
            await asyncio.sleep(float(argument))
        headers = {"ETag": '"1"'}
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304, headers=headers)
        return web.Response(body=picture(word), content_type="image/png", headers=headers)


@cache
def picture(word: str) -> bytes:
    """The picture that the first part of a path asks for."""
    act, _, argument = word.partition(":")
    if act in ACTS:
        return marked(charts.quadrants(60, 40), word)
    if act == "noise":
        side = int(argument)
        return pyvips.Image.new_from_memory(os.urandom(3 * side * side), side, side, 3, "uchar").write_to_buffer(".png")
    return charts.quadrants(300, 200)


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": "100000"})
    await response.prepare(request)
    try:
        for byte in picture("any") * 100:
            await response.write(bytes((byte,)))
            await asyncio.sleep(_DRIP_EVERY_S)
    except ConnectionError:
        pass
    return response


@asynccontextmanager
async def site(port: int = 0, host: str = "127.0.0.1") -> AsyncGenerator[Site]:
    """An origin, until the block ends."""
    pictures = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", pictures.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    pictures.url = f"http://{host}:{runner.addresses[0][1]}"
    try:
        yield pictures
    finally:
        await runner.cleanup()


async def _serve(port: int) -> None:
    async with site(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
