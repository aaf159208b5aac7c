"""Purges at the edge: what they concern, how they outlive a restart, and which answers come too late for them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.edge.running import KEPT, Nodes, Running, Says, cluster, edge_before, source_id, standing_in
from tests.serving import until

if TYPE_CHECKING:
    from collections.abc import Iterator

EDGE = tuple[Running, Nodes]
NEWEST = KEPT | {"X-Imgproxy-Generation": str(2**53)}
"""An answer of a node that knows all purges."""
SOURCE = "http://shop.test/cats/1.jpg"
TARGET = f"/s/pr:thumb/ct:summer:a%2Fb/plain/{SOURCE}"
OTHER = "/s/w:1/plain/http://other.test/1.jpg"


@pytest.fixture(scope="module")
def shared() -> Iterator[EDGE]:
    with cluster() as (edge, nodes):
        nodes.say(Says(headers=NEWEST))
        yield edge, nodes


def hits(edge: Running, *targets: str) -> list[bool]:
    return ["; hit" in edge.ask(target).headers["cache-status"] for target in targets]


def rule(kind: str, value: str = "", *, edge: Running) -> dict[str, Any]:
    return {"kind": kind, "value": value, "generation": edge.rules["newest"] + 1}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("tag", f"source-{source_id(SOURCE)}"),
        ("tag", "host-shop.test"),
        ("tag", "preset-thumb"),
        ("tag", "summer"),
        ("tag", "a/b"),
        ("prefix", "http://shop.test/cats/"),
        ("prefix", SOURCE),
    ],
)
def test_a_purge_hides_what_it_is_about_and_nothing_else(shared: EDGE, kind: str, value: str) -> None:
    edge, _ = shared
    hits(edge, TARGET, OTHER)
    assert hits(edge, TARGET, OTHER) == [True, True]
    answer = edge.purge(rule(kind, value, edge=edge))
    assert (answer.status, json.loads(answer.body)["taken"]) == (200, 1)
    # Every worker knows, whichever took it.
    assert hits(edge, TARGET, OTHER) == [False, True]
    assert hits(edge, TARGET, TARGET, TARGET, OTHER) == [True] * 4


def test_everything_can_be_purged(shared: EDGE) -> None:
    edge, _ = shared
    hits(edge, TARGET, OTHER)
    edge.purge(rule("all", edge=edge))
    assert hits(edge, TARGET, OTHER) == [False, False]
    assert edge.rules["all"] == edge.rules["newest"]
    assert edge.rules["tags"] == edge.rules["prefixes"] == 0


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("tag", "source"),
        ("tag", "host-shop"),
        ("tag", "preset-thum"),
        ("tag", "summe"),
        ("prefix", "http://shop.test/d"),
    ],
)
def test_a_purge_of_something_else_hides_nothing(shared: EDGE, kind: str, value: str) -> None:
    edge, _ = shared
    hits(edge, TARGET)
    edge.purge(rule(kind, value, edge=edge))
    assert hits(edge, TARGET) == [True]


def test_a_purge_heard_twice_is_one(shared: EDGE) -> None:
    edge, _ = shared
    given = rule("tag", "summer", edge=edge)
    edge.purge(given)
    hits(edge, TARGET)
    edge.purge(given)
    edge.purge({**given, "generation": given["generation"] - 1})
    assert hits(edge, TARGET) == [True]


def test_an_answer_that_knows_no_purge_is_not_kept(shared: EDGE) -> None:
    edge, nodes = shared
    target = TARGET.replace("cats", "late")
    given = rule("tag", "summer", edge=edge)
    edge.purge(given)
    for headers in ({"X-Imgproxy-Generation": str(given["generation"] - 1)}, {"X-Imgproxy-Generation": ""}):
        nodes.say(Says(headers=KEPT | headers))
        assert [edge.ask(target).headers["cache-status"].endswith("stored") for _ in range(2)] == [False, False]
    nodes.say(Says(headers=KEPT | {"X-Imgproxy-Generation": str(given["generation"])}))
    edge.ask(target)
    assert hits(edge, target) == [True]
    nodes.say(Says(headers=NEWEST))


def test_an_answer_on_its_way_during_a_purge_is_not_found_after_it(shared: EDGE) -> None:
    edge, nodes = shared
    target = TARGET.replace("cats", "slow")
    nodes.forget()
    nodes.say(Says(body=b"old", headers=NEWEST, delay=0.4))
    asking = threading.Thread(target=edge.ask, args=(target,))
    asking.start()
    until(lambda: nodes.requests)
    edge.purge(rule("tag", "summer", edge=edge))
    nodes.say(Says(body=b"new", headers=NEWEST))
    assert edge.ask(target).body == b"new"
    asking.join()
    assert edge.ask(target).body == b"new"


def test_an_encrypted_source_is_concerned_by_every_purge(shared: EDGE) -> None:
    edge, _ = shared
    target = "/s/w:1/enc/Y2lwaGVydGV4dA"
    hits(edge, target)
    assert hits(edge, target) == [True]
    edge.purge(rule("tag", "whatever", edge=edge))
    assert hits(edge, target) == [False]


def test_a_restart_forgets_no_purge() -> None:
    with cluster() as (edge, nodes):
        nodes.say(Says(headers=NEWEST))
        hits(edge, TARGET, OTHER)
        edge.purge(rule("tag", "summer", edge=edge), {"kind": "prefix", "value": "http://x/ y", "generation": 7})
        rules = edge.rules
        edge.stop()
        edge.start()
        assert edge.rules == rules == {"newest": 7, "all": 0, "tags": 1, "prefixes": 1}
        assert hits(edge, TARGET, OTHER) == [False, True]


def test_what_a_crash_left_half_written_does_no_harm() -> None:
    with cluster() as (edge, _):
        edge.purge({"kind": "tag", "value": "one", "generation": 1})
        edge.stop()
        with (edge.folder / "cache" / "purges").open("ab") as file:
            file.write(b"tag 2 tw")
        edge.start()
        edge.purge({"kind": "tag", "value": "three", "generation": 3})
        edge.stop()
        edge.start()
        assert edge.rules == {"newest": 3, "all": 0, "tags": 2, "prefixes": 0}
        assert b"tw" not in (edge.folder / "cache" / "purges").read_bytes()


def test_the_number_of_rules_is_bounded() -> None:
    with cluster(workers="1") as (edge, nodes):
        nodes.say(Says(headers=NEWEST))
        hits(edge, TARGET, OTHER)
        edge.purge(*({"kind": "prefix", "value": f"http://p/{n}", "generation": n} for n in range(1, 502)))
        rules = edge.rules
        assert (rules["newest"], rules["all"]) == (501, 251)
        assert rules["prefixes"] == 250
        # What was folded concerns everything.
        assert hits(edge, TARGET, OTHER) == [False, False]


def test_the_file_is_written_anew_when_it_has_grown() -> None:
    with cluster() as (edge, nodes):
        nodes.say(Says(headers=NEWEST))
        path = edge.folder / "cache" / "purges"
        for start in range(1, 2500, 500):
            given = [{"kind": "tag", "value": "summer", "generation": n} for n in range(start, start + 500)]
            assert edge.purge(*given).status == 200
        assert len(path.read_bytes().splitlines()) < 1600
        assert edge.rules == {"newest": 2500, "all": 0, "tags": 1, "prefixes": 0}
        hits(edge, TARGET)
        assert hits(edge, *[TARGET] * 6) == [True] * 6


def test_workers_that_purge_at_once_lose_nothing() -> None:
    with cluster() as (edge, _):

        def send(start: int) -> None:
            for n in range(start, start + 25):
                assert edge.purge({"kind": "tag", "value": f"t{n}", "generation": n}).status == 200

        threads = [threading.Thread(target=send, args=(start,)) for start in (1, 101, 201, 301)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [edge.rules["tags"] for _ in range(5)] == [100] * 5


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[",
        '"x"',
        "7",
        "[1]",
        '[{"kind":"tag","value":"a"}]',
        '[{"kind":"tag","value":"","generation":1}]',
        '[{"kind":"tag","value":"a\\nb","generation":1}]',
        '[{"kind":"tag","value":"a","generation":0}]',
        '[{"kind":"tag","value":"a","generation":1.5}]',
        '[{"kind":"tag","value":"a","generation":"1"}]',
        '[{"kind":"tag","value":"a","generation":1e300}]',
        '[{"kind":"tag","value":"a","generation":0x10}]',
        '[{"kind":"tag","value":"a","generation":nan}]',
        '[{"kind":"all","value":"a","generation":1}]',
        '[{"kind":"file","value":"a","generation":1}]',
        '[{"kind":{},"value":"a","generation":1}]',
        '[{"kind":"tag","value":"' + "a" * 4097 + '","generation":1}]',
        '[{"kind":"tag","value":"a","generation":1}] x',
        '[{"kind":"tag","value":"a","generation":1},{}]',
        "[[[[[[[[[[]]]]]]]]]]",
        '[{"kind":"tag","value":"\\u12","generation":1}]',
        '[{"kind":"tag","value":"\\x","generation":1}]',
    ],
)
def test_what_is_no_purge_is_refused(shared: EDGE, body: str) -> None:
    edge, _ = shared
    before = edge.rules
    answer = edge.post(body.encode())
    assert answer.status == 400
    assert json.loads(answer.body).keys() == {"error"}
    assert edge.rules == before


def test_json_is_read_in_all_its_spellings(shared: EDGE) -> None:
    edge, _ = shared
    target = "/s/plain/http://shop.test/%F0%9F%98%BA%C3%A9%22.jpg"
    hits(edge, target)
    generation = edge.rules["newest"] + 1
    value = r'"http:\/\/shop.test/\ud83d\uDE3A\u00e9\""'
    body = r' [ { "kind" : "pre\u0066ix" , "soft":false, "x":[true,-1.5e3,{}], "value":' + value
    assert edge.post(f'{body}, "generation":{generation}}} ] '.encode()).status == 200
    assert hits(edge, target, target) == [False, True]


def test_only_who_may_can_purge() -> None:
    purge = {"kind": "all", "generation": 1}
    with standing_in() as nodes:
        with edge_before((nodes[0].bind,), purge_token='s"ecret') as edge:
            for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": 's"ecret'}):
                assert edge.purge(purge, **headers).status == 403
            assert edge.purge(purge, Authorization='Bearer s"ecret').status == 200
            assert edge.post(b"", "GET").status == 403
            assert edge.post(b"", "PUT", Authorization='Bearer s"ecret').status == 405
            assert (edge.folder / "settings.lua").stat().st_mode & 0o077 == 0
            # Not on the listener for everybody.
            assert edge.ask("/purge", Authorization='Bearer s"ecret').headers["cache-status"] == "edge; fwd=bypass"
        with edge_before((nodes[0].bind,), purge_allow=("192.0.2.0/24",)) as edge:
            assert edge.purge(purge).status == 403
