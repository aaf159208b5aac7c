"""What one server remembers: hits, headers, ranges, negotiation, purges, restarts."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from imgproxy.cli import main
from tests import charts
from tests.serving import KEY, SALT, Server, free_port, serving, signed, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.origin import Pictures

pytestmark = pytest.mark.e2e

TOKEN = "a-token"
KEYS = {"key": KEY, "salt": SALT}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    ports = {"prometheus_bind": f"127.0.0.1:{free_port()}", "admin_bind": f"127.0.0.1:{free_port()}"}
    with serving(**KEYS, **ports, admin_token=TOKEN, presets="thumb=rs:fit:40:40") as server:
        server.admin_bind = ports["admin_bind"]
        yield server


def purge(server: Server, **asked: object) -> dict[str, object]:
    body = json.dumps(asked)
    address = f"http://{server.admin_bind}/purge"
    ran = subprocess.run(
        ["curl", "-sS", "--fail", "-H", f"Authorization: Bearer {TOKEN}", "-d", body, address],
        capture_output=True,
        check=True,
    )
    return json.loads(ran.stdout)


def test_the_second_answer_is_the_first_one_from_memory(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("quadrants.png?twice"), "w:50")
    first, second = server.ask(target), server.ask(target)
    assert first.headers["cache-status"] == "imgproxy; fwd=uri-miss; stored"
    assert second.headers["cache-status"].startswith("imgproxy; hit; ttl=")
    assert second.headers["cache-status"].endswith("; detail=memory")
    assert 0 <= int(second.headers["age"]) <= 30
    assert second.body == first.body
    same = first.headers.keys() - {"date", "cache-status", "x-request-id", "age"}
    assert {name: first.headers[name] for name in same} == {name: second.headers[name] for name in same}
    assert len(origin.heads("?twice")) == 1


def test_what_the_metrics_say(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("quadrants.png?counted"), "w:50")
    before = counted(server)
    for _ in range(3):
        server.ask(target)
    after = counted(server)
    for name, count in [
        ('cache_requests_total{result="hit",tier="memory"}', 2),
        ('cache_requests_total{result="miss",tier="source"}', 1),
    ]:
        assert after[name] - before.get(name, 0) == count
    assert after['cache_bytes{tier="memory"}'] > 0
    assert after['cache_entries{tier="source"}'] > 0


def counted(server: Server) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in server.metrics().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_many_at_once_are_one_fetch_and_one_render(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("slow/0.3/quadrants.png?herd"), "w:50")
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: server.ask(target), range(40)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len(origin.heads("?herd")) == 1
    made = [answer for answer in answers if "fwd=" in answer.headers["cache-status"]]
    assert sum("collapsed" not in answer.headers["cache-status"] for answer in made) == 1
    assert len(made) > 1


def test_many_sizes_are_one_fetch(server: Server, origin: Pictures) -> None:
    source = origin.url("quadrants.png?sizes")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda size: server.ask(signed(source, f"w:{size}")), range(20, 80, 10)))
    assert [answer.picture.width for answer in answers] == list(range(20, 80, 10))
    assert len(origin.heads("?sizes")) == 1


def test_one_of_many_leaves_and_the_others_are_served(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("slow/2/quadrants.png?left"), "w:50")
    leaver = server.connect()
    leaver.putrequest("GET", target)
    leaver.endheaders()
    until(lambda: origin.heads("?left"))
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(server.ask, target) for _ in range(3)]
        until(lambda: counted(server)["singleflight_waiters"] == 3)
        leaver.close()
        assert {each.result().status for each in waiting} == {200}
    assert len(origin.heads("?left")) == 1


def test_parts_of_what_is_remembered(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("quadrants.png?parts"), "w:50")
    whole = server.ask(target)
    part = server.ask(target, range="bytes=10-19", if_range=whole.headers["etag"])
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.body)}"
    assert server.ask(target, range="bytes=10-19", if_range='"other"').body == whole.body
    assert server.ask(target, range="bytes=999999-").status == 416


def test_a_purge_by_each_selector(server: Server, origin: Pictures) -> None:
    source = origin.url("quadrants.png?purged")
    targets = [signed(source, "w:50", "ct:summer"), signed(source, "pr:thumb", "ct:summer"), signed(source)]
    for asked, count in [
        ({"source": source}, 3),
        ({"prefix": source[:-3]}, 3),
        ({"tag": "summer"}, 2),
        ({"preset": "thumb"}, 1),
        ({"all": True}, 3),
    ]:
        for target in targets:
            server.ask(target)
        purged = purge(server, **asked)["purged"]
        assert purged == count if "all" not in asked else int(str(purged)) >= count
        hits = ["hit" in server.ask(target).headers["cache-status"] for target in targets]
        assert hits.count(False) == count


def test_a_purge_from_the_command_line(server: Server, origin: Pictures) -> None:
    source = origin.url("quadrants.png?commanded")
    server.ask(signed(source))
    environment = {"IMGPROXY_ADMIN_BIND": server.admin_bind, "IMGPROXY_ADMIN_TOKEN": TOKEN}
    ran = CliRunner().invoke(main, ["purge", "--source", source], env=environment)
    assert (ran.exit_code, "purged 1 entry" in ran.output) == (0, True), ran.output
    wrong = CliRunner().invoke(main, ["purge", "--all"], env=environment | {"IMGPROXY_ADMIN_TOKEN": "wrong"})
    assert (wrong.exit_code, "IMGPROXY_ADMIN_TOKEN" in wrong.output) == (1, True)
    away = CliRunner().invoke(main, ["purge", "--all", "--admin", "http://127.0.0.1:1"], env=environment)
    assert (away.exit_code, "does not answer" in away.output) == (1, True)


def test_a_soft_purge_answers_once_more_with_what_there_is(server: Server, origin: Pictures) -> None:
    source = origin.put("soft.png", charts.quadrants(80, 40))
    target = signed(source)
    assert server.ask(target).picture.width == 80
    origin.put("soft.png", charts.quadrants(90, 40))
    assert purge(server, source=source, soft=True)["purged"] == 1
    stale = server.ask(target)
    assert stale.headers["cache-status"].endswith("/stale")
    assert stale.headers["cache-control"] == "max-age=5, public"
    until(lambda: "/stale" not in server.ask(target).headers["cache-status"])


def test_errors_of_pictures_are_remembered_and_those_of_servers_are_not(server: Server, origin: Pictures) -> None:
    for path, status, asked in [
        ("missing.png?gone", 404, {1}),
        ("status/503?thrice", 502, {3, 4, 5, 6}),  # with what the budget for retries gives
        ("status/500?thrice", 502, {3}),
    ]:
        for _ in range(3):
            assert server.ask(signed(origin.url(path))).status == status
        assert len(origin.heads(path)) in asked


HEADERS = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-datetime",
    "authorization",
    "cache-control",
    "cookie",
    "dnt",
    "dpr",
    "device-memory",
    "downlink",
    "ect",
    "expect-ct",
    "forwarded",
    "from",
    "host-override",
    "if-match",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "referer",
    "rtt",
    "save-data",
    "sec-ch-dpr",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-viewport-width",
    "sec-ch-width",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "te",
    "user-agent",
    "via",
    "viewport-width",
    "width",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-original-url",
    "x-rewrite-url",
]
VALUES = [
    "*/*",
    "image/avif",
    "image/webp",
    "image/avif,image/webp;q=0",
    "image/webp;q=0.1,*/*",
    "1",
    "2",
    "0.5",
    "3.0",
    "8",
    "9",
    "40",
    "100",
    "320",
    "1e3",
    "-1",
    "no-cache",
    "no-store",
    "on",
    "?1",
    "gzip,br",
    "en",
    "example.com",
    "/other",
    "local:///x",
    '"x"',
    "Mozilla/5.0",
]


def test_no_header_reaches_a_render_that_is_not_in_the_key(origin: Pictures) -> None:
    """A server that remembers answers every header as one that does not."""
    assert len(HEADERS) > 40
    settings = {"auto_webp": "1", "auto_avif": "1", "enable_client_hints": "1"}
    target = signed(origin.url("gradient.png?headers"), "mw:40")
    random = Random(7)
    with serving(**KEYS, **settings) as remembers, serving(**KEYS, **settings, memory_cache_size="0") as forgets:
        bodies: dict[str, bytes] = {}
        for _ in range(150):
            chosen = random.sample(HEADERS, random.randint(1, 8)) + random.choices(["accept", "dpr", "width"], k=1)
            headers = {name.replace("-", "_"): random.choice(VALUES) for name in chosen}
            one, other = remembers.ask(target, **headers), forgets.ask(target, **headers)
            assert (one.status, one.body) == (other.status, other.body), headers
            assert bodies.setdefault(one.headers["etag"], one.body) == one.body, headers
        assert "hit" not in forgets.ask(target).headers["cache-status"]
        assert len(bodies) > 8


def test_a_file_store_outlives_the_server_and_purges_do_too(origin: Pictures, tmp_path: Path) -> None:
    def files() -> list[Path]:
        return list(tmp_path.glob("results/??/*/*"))

    store = {**KEYS, "result_store_url": (tmp_path / "results").as_uri()}
    admin = {"admin_bind": f"127.0.0.1:{free_port()}", "admin_token": TOKEN}
    kept, dropped = (origin.put(f"{name}.png", charts.quadrants(60, 40)) for name in ("kept", "dropped"))
    with serving(**store) as one:
        body = one.ask(signed(kept)).body
        one.ask(signed(dropped))
        until(lambda: len(files()) == 2)
    copies = {place: place.read_bytes() for place in files()}
    with serving(**store, **admin) as two:
        two.admin_bind = admin["admin_bind"]
        # The purges that are written in the store are read first.
        until(lambda: two.ask(signed(kept)).headers["cache-status"].endswith("detail=memory"))
        assert two.ask(signed(kept)).body == body
        assert purge(two, source=dropped)["tiers"] == {"memory": 0, "store": 1}
    # As if another node, that was away, had put the old bytes back: the purge's number hides them.
    for place, data in copies.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    origin.put("dropped.png", charts.quadrants(70, 40))
    with serving(**store) as three:
        assert three.ask(signed(dropped)).picture.width == 70
        until(lambda: "hit" in three.ask(signed(kept)).headers["cache-status"])
        assert three.ask(signed(dropped)).picture.width == 70
    assert len(origin.heads("/kept.png")) <= 3
