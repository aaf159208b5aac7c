"""Serving: the listeners, and how they end.

SIGTERM: not ready, while connections are still taken for ``drain_delay`` (the load balancer notices) →
listeners closed → requests in flight end, at most ``graceful_stop_timeout`` → ``run`` returns.
SIGINT is the same without the delay. A second signal ends everything at once; a third one kills.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn

from imgproxy.web.crowd import Crowd, most_connections
from imgproxy.web.listening import BACKLOG, listening
from imgproxy.web.protocol import Prompt, limited

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Generator, Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from imgproxy.web.settings import WebSettings

_log = logging.getLogger("imgproxy.server")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def start(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` to its end on uvloop, or on asyncio's own loop where there is no uvloop."""
    try:
        import uvloop  # noqa: PLC0415  optional
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


class App(Prompt, Protocol):
    """An ASGI application that has some answers at hand."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


@dataclass(frozen=True, slots=True)
class Beside:
    """An application with a listener of its own."""

    variable: str
    """The setting that says where."""
    bind: str
    app: ASGIApp


async def run(
    app: App,
    settings: WebSettings,
    *,
    on_drain: Callable[[], None],
    beside: Iterable[Beside] = (),
    on_ready: Callable[[], None] | None = None,
    bodies: bool = False,
) -> None:
    """Serve ``app`` until a signal ends it; and the applications ``beside`` it until after that.

    ``on_ready`` is called when everything listens, ``on_drain`` when the end begins. Raises ``OSError`` for an address
    that cannot be had. ``bodies``: whether the application takes any.
    """
    beside = tuple(beside)
    with ExitStack() as sockets:
        listener = sockets.enter_context(listening(settings.bind, "IMGPROXY_BIND"))
        most = most_connections()
        server = _Server(app, settings, listener, most, bodies=bodies, prompt=app)
        others = [
            # Operators send bodies, and are few.
            _Server(each.app, settings, sockets.enter_context(listening(each.bind, each.variable)), most, bodies=True)
            for each in beside
        ]
        ending = _Ending(server, settings, on_drain)
        async with asyncio.TaskGroup() as group:
            for each in others:
                group.create_task(each.serve_socket())
            serving = group.create_task(server.serve_socket())
            with ending.on_signals():
                sequence = group.create_task(ending.sequence())
                for each in (server, *others):
                    await each.up.wait()
                _log.info(
                    "listening", extra={"fields": {"bind": settings.bind, "beside": [each.bind for each in beside]}}
                )
                if on_ready is not None:
                    on_ready()
                await serving
                sequence.cancel()
            for each in others:
                each.should_exit = True
    _log.info("stopped")


class _Ending:
    """How a server ends: what the signals mean, and in which order things happen."""

    def __init__(self, server: _Server, settings: WebSettings, on_drain: Callable[[], None]) -> None:
        self._server = server
        self._delay = settings.drain_delay
        self._on_drain = on_drain
        self._first: signal.Signals | None = None
        self._asked = asyncio.Event()
        self._urgent = asyncio.Event()

    @contextmanager
    def on_signals(self) -> Generator[None]:
        """Listen to SIGTERM and SIGINT while inside."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._receive, number)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _receive(self, number: signal.Signals) -> None:
        if self._first is None:
            self._first = number
            self._asked.set()
            return
        self._urgent.set()
        self._server.drop_everything()
        for each in _SIGNALS:  # the next one finds the system's own handler
            asyncio.get_running_loop().remove_signal_handler(each)

    async def sequence(self) -> None:
        await self._asked.wait()
        _log.info("stopping", extra={"fields": {"signal": self._first.name if self._first else None}})
        self._on_drain()
        if self._first is signal.SIGTERM:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._delay):
                    await self._urgent.wait()
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """A uvicorn server on a socket of ours, without signal handlers of its own."""

    def __init__(
        self,
        app: ASGIApp,
        settings: WebSettings,
        listener: socket.socket,
        most: int,
        *,
        bodies: bool = False,
        prompt: Prompt | None = None,
    ) -> None:
        self.crowd = Crowd(most)
        head, body = settings.read_request_timeout, settings.write_response_timeout
        config = uvicorn.Config(
            app,
            http=limited(self.crowd, head, body, bodies=bodies, prompt=prompt),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=math.ceil(settings.keep_alive_timeout),
            timeout_graceful_shutdown=math.ceil(settings.stop_seconds),
        )
        super().__init__(config)
        self.up = asyncio.Event()
        self._listener = listener

    async def serve_socket(self) -> None:
        await self.serve([self._listener])

    def drop_everything(self) -> None:
        """Stop without waiting for anybody."""
        self.should_exit = self.force_exit = True
        for connection in list(self.server_state.connections):
            if (transport := connection.transport) is not None:  # pyright: ignore[reportUnnecessaryComparison]
                transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        # uvicorn cancels what is late without looking back; its cleaning up needs the loop, and the pool.
        if tasks := set(self.server_state.tasks):
            await asyncio.wait(tasks, timeout=1)
