"""The paths that are no images: the landing page, and the health checks of load balancers and clusters."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.responses import Response
from starlette.routing import Route, Router

from imgproxy import __version__
from imgproxy.model import Deadline
from imgproxy.web.responses import POLICY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from imgproxy.web.exchange import Exchange
    from imgproxy.web.images import Images
    from imgproxy.web.playground import Playground
    from imgproxy.web.responses import Answer
    from imgproxy.web.settings import WebSettings

_log = logging.getLogger("imgproxy.health")

PROBE_SECONDS = 5.0
FRESH_SECONDS = 1.0

LANDING = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>imgproxy</title><meta name="viewport" content="width=device-width">
<style>
body {{ font: 18px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 15vh auto; padding: 0 1rem }}
code {{ font: 15px/1.6 ui-monospace, monospace; background: #f4f4f4; padding: .2em .4em }}
</style>
<h1>It works.</h1>
<p>This is an image transformation server, version {__version__}. An image has an address such as</p>
<p><code>/signature/rs:fit:300:200/plain/https://example.com/cat.jpg</code></p>
</html>
"""


class Pulse:
    """Whether the render processes work: a real probe, at most one a second and one at a time."""

    def __init__(self, probe: Callable[[Deadline], Awaitable[object]]) -> None:
        self._probe = probe
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._alive = False

    async def beats(self) -> bool:
        async with self._lock:
            if time.monotonic() - self._checked_at > FRESH_SECONDS:
                self._alive = await self._check()
                self._checked_at = time.monotonic()
            return self._alive

    async def _check(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._probe(Deadline.after(PROBE_SECONDS))
        except Exception as cause:  # noqa: BLE001  whatever stops a probe, the answer is "no"
            _log.error("the health probe failed", extra={"fields": {"reason": repr(cause)}})
            return False
        return True


class Ops:
    """Answers ``paths``, and hands everything else to ``images``.

    The look-up is a set: images do not pay for the routing of these few paths. ``obstacle`` says why this node had
    better get no requests now; nothing if it may. ``notes``: what else ``/readyz?verbose`` tells, a line for each; this
    path is for everybody. ``playground`` stands in the place of the landing page.
    """

    def __init__(
        self,
        images: Images,
        settings: WebSettings,
        probe: Callable[[Deadline], Awaitable[object]],
        *,
        path_prefix: str = "",
        playground: Playground | None = None,
        obstacle: Callable[[], str] = str,
        notes: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.draining = False
        self._notes = notes
        self._obstacle = obstacle
        self._images = images
        self._pulse = Pulse(probe)
        self._headers = {
            "Server": settings.server_name,
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-cache",
        }
        routes = {
            "/": self._greet,
            "/favicon.ico": self._nothing,
            "/health": self._health,
            "/livez": self._livez,
            "/readyz": self._readyz,
        }
        if settings.health_check_path:
            routes["/" + settings.health_check_path.strip("/")] = self._health
        prefixes = dict.fromkeys(("", path_prefix.rstrip("/")))
        places = {prefix + path: answer for prefix in prefixes for path, answer in routes.items()}
        own = [
            route
            for prefix in prefixes
            for route in (playground.routes(prefix, settings.server_name) if playground else ())
        ]
        self.paths = frozenset((*places, *(route.path for route in own)))
        self._well_known = tuple(prefix + "/.well-known/" for prefix in prefixes)
        self._router = Router([*own, *_routes(places.items())], default=self._default)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_ours(scope["path"]):
            await self._router(scope, receive, send)
        else:
            await self._images(scope, receive, send)

    def at_once(self, exchange: Exchange) -> Answer | None:
        """The image's answer, if nothing has to be waited for."""
        target = exchange.target
        ours = self._is_ours(unquote(target) if "%" in target else target)
        return None if ours else self._images.at_once(exchange)

    def account(self, exchange: Exchange) -> None:
        self._images.account(exchange)

    def _is_ours(self, path: str) -> bool:
        return path in self.paths or path.startswith(self._well_known)

    def drain(self) -> None:
        """Be not ready from now on: the server is about to stop."""
        self.draining = True

    async def _greet(self, _request: Request) -> Response:
        return self._say(LANDING, media_type="text/html")

    async def _nothing(self, _request: Request) -> Response:
        """The 404 for what browsers and crawlers ask for unasked; not worth a line in the log."""
        return self._say("", 404)

    async def _health(self, _request: Request) -> Response:
        # imgproxy's words: there are probes that look for them.
        alive = await self._pulse.beats()
        return self._say("imgproxy is running") if alive else self._say("imgproxy cannot render", 500)

    async def _livez(self, _request: Request) -> Response:
        """The event loop answers: nothing more, or a busy cluster would restart itself to death."""
        return self._say("ok")

    async def _readyz(self, request: Request) -> Response:
        """Whether requests are welcome; ``?verbose`` tells of each part, as Kubernetes' own do."""
        obstacle = self._obstacle()
        busy = self.draining or obstacle
        # At a stop the render processes may be gone already.
        alive = not busy and await self._pulse.beats()
        verdict = "draining" if self.draining else obstacle or ("ok" if alive else "cannot render")
        lines = [verdict]
        if "verbose" in request.query_params:
            lines += [
                f"draining: {'yes' if self.draining else 'no'}",
                f"event loop: {obstacle or 'ok'}",
                f"render processes: {'not asked' if busy else 'ok' if alive else 'cannot render'}",
                *self._notes(),
            ]
        return self._say("\n".join(lines), 200 if alive else 503)

    def _say(self, text: str, status: int = 200, media_type: str = "text/plain") -> Response:
        return Response(text, status, self._headers, media_type)

    async def _default(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._say("", 404)(scope, receive, send)


def _routes(places: Iterable[tuple[str, Callable[[Request], Awaitable[Response]]]]) -> list[Route]:
    return [Route(path, answer, methods=["GET", "HEAD", "OPTIONS"]) for path, answer in places]
