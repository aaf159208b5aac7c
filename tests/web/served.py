"""A server to be started as a process: ``python -m tests.web.served '{"bind": "127.0.0.1:8080"}'``.

It echoes the request target as the body, at once; ``/slow/<seconds>`` takes its time, ``/big/<bytes>`` is big.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse

from imgproxy.freshness import FreshnessSettings
from imgproxy.logs import LogSettings, configure
from imgproxy.metrics import Metrics
from imgproxy.model import Client, Deadline
from imgproxy.web.images import Images
from imgproxy.web.ops import Ops
from imgproxy.web.server import Beside, run, start
from imgproxy.web.settings import WebSettings
from tests.web.border import Call, FakeService, Outcome, reply

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def serve(call: Call) -> Outcome:
    _, _, seconds = [*call.target.split("/"), "0"][:3]
    await asyncio.sleep(float(seconds))
    return reply(call.target.encode("latin-1"))


def at_hand(call: Call) -> Outcome | None:
    _, word, number = [*call.target.split("/"), "", ""][:3]
    if word in ("slow", "wait"):
        return None
    return reply(b"x" * int(number) if word == "big" else call.target.encode("latin-1"))


async def probe(_deadline: Deadline) -> None:
    """Nothing: a pool that is always well."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body of the request."""
    await PlainTextResponse(await Request(scope, receive).body())(scope, receive, send)


def say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def main(given: dict[str, str]) -> None:
    metrics_bind, echo_bind = given.pop("metrics_bind", ""), given.pop("echo_bind", "")
    settings = WebSettings.model_validate(given)
    metrics = Metrics()
    images = Images(FakeService(serve, at_hand), settings, FreshnessSettings(), metrics, lambda _: Client())
    ops = Ops(images, settings, probe)
    await run(
        ops,
        settings,
        on_drain=ops.drain,
        beside=[Beside("", bind, app) for bind, app in ((metrics_bind, metrics.asgi()), (echo_bind, echo)) if bind],
        on_ready=say_ready,
    )


if __name__ == "__main__":
    configure(LogSettings(log_format="json"))
    start(main(json.loads(sys.argv[1])))
