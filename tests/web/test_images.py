from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from imgproxy.errors import BadOption, ImageError, QueueFull, RenderTimeout, SourceTooLarge
from imgproxy.metrics import Metrics
from imgproxy.model import Conditions, Found, RawReply, Unchanged, Validators
from imgproxy.web.images import MAX_TARGET_BYTES, _cache
from tests.web.border import BODY, Call, FakeService, Outcome, ask, images, plan, raw, reply


class Lines(logging.Handler):
    """Keeps the request lines of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    logger, handler = logging.getLogger("imgproxy.request"), Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler.records
    logger.removeHandler(handler)


def scope(method: str = "GET", raw_path: bytes = b"/unsafe/plain/x", *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": raw_path.decode("latin-1"),
        "raw_path": raw_path,
        "headers": list(headers),
        "client": ("::ffff:192.0.2.1", 1234),
    }


class Wire:
    """The server's side of ASGI: a client that leaves when it is told to."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)
        self.sent.append(message)


async def test_a_range_of_a_version_that_may_be_gone_is_not_asked_for() -> None:
    service = FakeService(reply())
    await ask(images(service), "/sig/raw:1/plain/x:y", range="bytes=5-9", if_range='"old"')
    assert service.calls[0].conditions == Conditions()


async def test_get() -> None:
    service = FakeService(reply())
    answer = await ask(
        images(service), "/sig/w:300/plain/https:%2F%2Fx%2Fa%3Ab//c?v=1", if_none_match='"e"', range="bytes=0-1"
    )
    assert (answer.status_code, answer.content) == (206, BODY[:2])
    (call,) = service.calls
    assert call.target == "/sig/w:300/plain/https:%2F%2Fx%2Fa%3Ab//c"
    assert call.conditions == Conditions(if_none_match='"e"', range="bytes=0-1")
    assert 9 < call.deadline.remaining <= 10


async def test_head_is_get_without_the_body() -> None:
    service = FakeService(reply())
    got = await ask(images(service), x_request_id="a")
    headed = await ask(images(service), method="HEAD", x_request_id="a")
    assert headed.status_code == 200
    assert headed.content == b""
    assert dict(headed.headers) == dict(got.headers)
    assert len(service.calls) == 2


async def test_a_range_of_an_image_is_of_the_version_that_the_client_has() -> None:
    app = images(reply(validators=Validators('"new"')))
    part = await ask(app, range="bytes=1-3", if_range='"new"')
    assert (part.status_code, part.content) == (206, BODY[1:4])
    whole = await ask(app, range="bytes=1-3", if_range='"old"')
    assert (whole.status_code, whole.content) == (200, BODY)


async def test_head_has_no_ranges() -> None:
    service = FakeService(reply())
    answer = await ask(images(service), method="HEAD", range="bytes=1-3")
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(BODY)))
    assert service.calls[0].conditions == Conditions()


async def test_before_an_edge_answers_tell_it_how_long_to_keep_them() -> None:
    assert "x-accel-expires" not in (await ask(images(reply()))).headers
    assert (await ask(images(reply(), behind_edge=True))).headers["x-accel-expires"] == "0"


async def test_head_of_raw_closes_the_stream_unread() -> None:
    given = raw(("Content-Length", "6"))
    answer = await ask(images(given), method="HEAD")
    assert answer.headers["content-length"] == "6"
    assert answer.content == b""
    with pytest.raises(StopAsyncIteration):
        await anext(given.body)


async def test_raw_streams() -> None:
    answer = await ask(images(raw(("Content-Length", "6"), ("Content-Type", "image/png"), status=206)))
    assert (answer.status_code, answer.content) == (206, b"onetwo")


async def test_unchanged() -> None:
    answer = await ask(images(Unchanged(plan(), Validators('"e"'))))
    assert (answer.status_code, answer.content) == (304, b"")


async def test_options_needs_no_secret_and_no_service() -> None:
    service = FakeService(reply())
    answer = await ask(images(service, secret="s", allow_origin="*"), method="OPTIONS")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-max-age"] == "86400"
    assert service.calls == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
async def test_other_methods(method: str) -> None:
    answer = await ask(images(reply()), method=method)
    assert (answer.status_code, answer.text) == (405, "Method not allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("authorization", "status"),
    [("Bearer s3cre", 403), ("Bearer s3cret", 200), ("bearer s3cret", 403), ("s3cret", 403), (None, 403)],
)
async def test_secret(method: str, authorization: str | None, status: int) -> None:
    headers = {"authorization": authorization} if authorization else {}
    answer = await ask(images(reply(), secret="s3cret"), method=method, **headers)
    assert answer.status_code == status
    if method == "GET" and status == 403:
        assert answer.text == "Forbidden"


async def test_a_secret_of_odd_bytes_is_only_wrong() -> None:
    wire = Wire()
    await images(reply(), secret="secret")(
        scope("GET", b"/x", (b"authorization", b"Bearer \xff")), wire.receive, wire.send
    )
    assert wire.sent[0]["status"] == 403


async def test_too_long_a_target_is_refused_unread() -> None:
    service = FakeService(reply())
    answer = await ask(images(service), "/" + "a" * MAX_TARGET_BYTES)
    assert (answer.status_code, answer.text) == (404, "Invalid URL")
    assert service.calls == []


async def test_bytes_that_are_no_text_are_an_invalid_url() -> None:
    refused = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    wire = Wire()
    await images(refused)(scope("GET", b"/unsafe/plain/\xff\xfe"), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 404
    wire = Wire()
    await images(refused)(scope("GET", b"/unsafe/plain/ascii"), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 500  # then it is our own mistake


@pytest.mark.parametrize(
    ("given", "kept"), [("a-B_9", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("", False)]
)
async def test_request_id(given: str, kept: bool) -> None:
    answer = await ask(images(reply()), x_request_id=given)
    found = answer.headers["x-request-id"]
    assert (found == given) is kept
    assert 10 < len(found) <= 128 or kept


async def test_errors_have_their_status_and_their_public_text() -> None:
    answer = await ask(images(SourceTooLarge("51 megapixels at /var/data")))
    assert (answer.status_code, answer.text) == (422, "Invalid source image")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-length"] == "20"
    assert "cache-control" not in answer.headers


async def test_retry_after() -> None:
    assert (await ask(images(QueueFull("full")))).headers["retry-after"] == "1"
    assert "retry-after" not in (await ask(images(BadOption("x")))).headers


async def test_a_service_past_its_deadline_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def hang(_call: Call) -> Outcome:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        return reply()

    answer = await ask(images(hang, timeout="10ms"))
    assert (answer.status_code, answer.text) == (503, "Timeout")
    assert cancelled.is_set()


async def test_unknown_exceptions_are_internal_errors_with_a_traceback_in_the_log(
    lines: list[logging.LogRecord],
) -> None:
    answer = await ask(images(ZeroDivisionError("secret /path")))
    assert (answer.status_code, answer.text) == (500, "Internal error")
    (line,) = lines
    assert line.levelname == "ERROR"
    assert line.exc_info
    assert "ZeroDivisionError" in logging.Formatter().formatException(line.exc_info)


async def test_in_a_crowd_only_what_is_at_hand_is_answered() -> None:
    release = asyncio.Event()

    async def remember_one(call: Call) -> Outcome:
        if call.target == "/unsafe/plain/remembered":
            return reply()
        if call.crowded:
            return QueueFull("crowded")
        await release.wait()
        return reply()

    app = images(remember_one, max_clients=2)
    async with asyncio.TaskGroup() as group:
        first = [group.create_task(ask(app)) for _ in range(2)]
        await asyncio.sleep(0.01)
        refused = await ask(app)
        remembered = await ask(app, "/unsafe/plain/remembered")
        release.set()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert remembered.status_code == 200
    assert [(await task).status_code for task in first] == [200, 200]
    assert (await ask(app)).status_code == 200


async def test_without_a_limit_there_is_no_crowd() -> None:
    service = FakeService(reply())
    await ask(images(service, max_clients=0))
    assert not service.calls[0].crowded


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client"),
    [((), b"198.51.100.7", "192.0.2.1"), (("192.0.2.0/24",), b"10.0.0.1, 198.51.100.7", "198.51.100.7")],
)
async def test_the_client_is_whom_trusted_proxies_name(
    trusted: tuple[str, ...], forwarded: bytes, client: str, lines: list[logging.LogRecord]
) -> None:
    service, wire = FakeService(reply()), Wire()
    app = images(service, trusted=tuple(ip_network(each) for each in trusted))
    await app(scope("GET", b"/x", (b"x-forwarded-for", forwarded)), wire.receive, wire.send)
    assert service.calls[0].journey.client == client
    assert getattr(lines[0], "fields", {})["client_ip"] == client


async def test_a_request_that_has_been_here_before_is_refused() -> None:
    service = FakeService(reply())
    app = images(service, is_loop=lambda passed: "me" in passed)
    looped = await ask(app, cdn_loop="other, me")
    assert (looped.status_code, looped.text) == (403, "Forbidden")
    assert service.calls == []
    assert (await ask(app, cdn_loop="other")).status_code == 200


async def test_a_client_that_goes_away_takes_its_work_with_it(lines: list[logging.LogRecord]) -> None:
    wire, cancelled = Wire(), asyncio.Event()

    async def hang(_call: Call) -> Outcome:
        wire.gone.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        return reply()

    metrics = Metrics()
    await images(hang, metrics=metrics)(scope(), wire.receive, wire.send)
    assert cancelled.is_set()
    assert wire.sent == []
    assert [getattr(line, "fields", {})["status"] for line in lines] == [499]
    assert 'status_codes_total{status="499"} 1.0' in metrics.text()
    assert "requests_in_progress 0.0" in metrics.text()


async def test_a_client_that_goes_away_ends_the_stream() -> None:
    wire, closed = Wire(), asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"more"
                wire.gone.set()
        finally:
            closed.set()

    await images(RawReply(plan(), 200, (), endless()))(scope(), wire.receive, wire.send)
    assert closed.is_set()
    assert wire.sent[-1].get("more_body") is True


@pytest.mark.parametrize("fault", [RuntimeError("reset"), SourceTooLarge("too long")])
async def test_a_broken_stream_is_never_completed(fault: Exception, lines: list[logging.LogRecord]) -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"half"
        raise fault

    wire = Wire()
    await images(RawReply(plan(), 200, (), broken()))(scope(), wire.receive, wire.send)
    assert wire.sent[-1] == {"type": "http.response.body", "body": b"half", "more_body": True}
    assert len(lines) == 1
    assert getattr(lines[0], "fields", {})["code"] == (fault.code if isinstance(fault, ImageError) else "internal")


async def test_a_stop_leaves_a_word(lines: list[logging.LogRecord]) -> None:
    wire = Wire()

    async def hang(_call: Call) -> Outcome:
        await asyncio.sleep(60)
        return reply()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(images(hang)(scope(), wire.receive, wire.send))
        await asyncio.sleep(0.01)
        task.cancel()
    assert task.cancelled()
    assert wire.sent[0]["status"] == 503
    assert getattr(lines[0], "fields", {})["code"] == "draining"


async def test_a_request_body_ends_the_connection() -> None:
    wire = Wire()
    await images(reply())(scope("GET", b"/x", (b"content-length", b"5")), wire.receive, wire.send)
    assert (b"connection", b"close") in wire.sent[0]["headers"]


async def test_the_log_line(lines: list[logging.LogRecord]) -> None:
    async def serve(call: Call) -> Outcome:
        call.journey.source_bytes = 5000
        call.journey.stages["queue"] = 0.0015
        return reply()

    wire = Wire()
    await images(serve)(scope("GET", b"/signature/x", (b"x-request-id", b"abc")), wire.receive, wire.send)
    (line,) = lines
    fields: dict[str, object] = getattr(line, "fields", {})
    assert isinstance(fields.pop("dur_ms"), float)
    assert fields == {
        "request_id": "abc",
        "method": "GET",
        "status": 200,
        "stages": {"queue": 1.5},
        "source": "https://example.com",
        "options": "",
        "cache": None,
        "format": "jpeg",
        "source_bytes": 5000,
        "body_bytes": len(BODY),
        "code": None,
        "reason": None,
        "client_ip": "192.0.2.1",
    }
    assert line.levelname == "INFO"


async def test_the_log_never_holds_what_a_source_url_hides(lines: list[logging.LogRecord]) -> None:
    await ask(images(BadOption("cannot read 'https://u:pw@example.com/path?token=1' here")))
    assert getattr(lines[0], "fields", {})["reason"] == "cannot read 'https://example.com/...' here"
    assert lines[0].levelname == "WARNING"


async def test_metrics() -> None:
    async def serve(call: Call) -> Outcome:
        call.journey.source_bytes = 5000
        call.journey.stages.update({"queue": 0.1, "unheard of": 1})
        return reply() if len(service.calls) == 1 else RenderTimeout("slow")

    service, metrics = FakeService(serve), Metrics()
    app = images(service, metrics=metrics)
    await ask(app)
    await ask(app)
    text = metrics.text()
    for line in (
        "requests_total 2.0",
        'status_codes_total{status="200"} 1.0',
        'status_codes_total{status="503"} 1.0',
        'errors_total{type="timeout"} 1.0',
        "source_bytes_total 10000.0",
        f'result_bytes_total{{format="jpeg"}} {len(BODY)}.0',
        'request_span_duration_seconds_count{span="queue"} 2.0',
        "request_duration_seconds_count 2.0",
    ):
        assert line + "\n" in text
    assert "unheard of" not in text


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (Found("memory", ttl=5), "memory"),
        (Found("redis", ttl=-5), "redis/stale"),
        (Found("store", "stale", ttl=0), "store/stale"),
        (Found("", "stale", renewed=True, ttl=60), "renewed"),
        (Found("", "uri-miss", collapsed=True), "collapsed"),
        (Found("", "uri-miss"), "made"),
    ],
)
def test_where_an_answer_came_from_in_one_word(found: Found, word: str) -> None:
    assert _cache(found) == word
