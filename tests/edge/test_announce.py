"""Announcing purges: what edges have to hear, and that each hears it in the end."""

from __future__ import annotations

import asyncio
import json

import pytest

from imgproxy.edge.announce import Edges, EdgeSettings, expand, sayable
from imgproxy.model import Purge
from imgproxy.presets import Presets
from tests.edge.running import cluster
from tests.origins.origin import running, whole

PRESETS = Presets.parse(
    [
        ("t", "inner=ct:summer/w:1"),
        ("t", "outer=pr:inner/h:1"),
        ("t", "outmost=w:3/pr:outer"),
        ("t", "alone=w:2"),
        ("t", "default=pr:base"),
        ("t", "base=ct:house/q:80"),
    ]
)


def tags(*values: str) -> tuple[Purge, ...]:
    return tuple(Purge("tag", value, generation=5) for value in values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("source-0123456789abcdef", tags("source-0123456789abcdef")),
        ("preset-alone", tags("preset-alone")),
        ("preset-inner", tags("preset-inner", "preset-outer", "preset-outmost")),
        ("preset-outer", tags("preset-outer", "preset-outmost")),
        ("preset-nowhere", tags("preset-nowhere")),
        ("summer", tags("summer", "preset-inner", "preset-outer", "preset-outmost")),
        ("preset-default", (Purge("all", generation=5),)),
        ("preset-base", (Purge("all", generation=5),)),
        ("house", (Purge("all", generation=5),)),
    ],
)
def test_a_tag_concerns_the_presets_that_bring_it(value: str, expected: tuple[Purge, ...]) -> None:
    assert set(expand(Purge("tag", value, generation=5), PRESETS)) == set(expected)


@pytest.mark.parametrize("purge", [Purge("all", generation=1), Purge("prefix", "summer", generation=1)])
def test_other_kinds_are_what_they_are(purge: Purge) -> None:
    assert expand(purge, PRESETS) == (purge,)


def test_without_presets_a_tag_is_itself() -> None:
    for value in ("x", "preset-x"):
        assert expand(Purge("tag", value), Presets()) == (Purge("tag", value),)
    assert expand(Purge("tag", "preset-default"), Presets()) == (Purge("all"),)


def test_what_an_edge_has_no_words_for_becomes_more() -> None:
    assert sayable(Purge("prefix", "http://x/\ny", generation=3)) == Purge("prefix", "http://x/", generation=3)
    assert len(sayable(Purge("prefix", "é" * 4000)).value.encode()) == 4096
    assert sayable(Purge("prefix", "\x00", generation=3)) == Purge("all", generation=3)
    assert sayable(Purge("tag", "a" * 4097, generation=3)) == Purge("all", generation=3)
    assert sayable(Purge("tag", "a b")) == Purge("tag", "a b")


class Inbox:
    """An edge's purge listener that refuses at first."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.heads: list[bytes] = []
        self.taken = asyncio.Event()

    async def answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        self.heads.append(head)
        status = "200 OK" if len(self.heads) > self.refusals else "500 Oops"
        if len(self.heads) > self.refusals:
            self.taken.set()
        writer.write(whole(b"", "Connection: close", status=status))
        writer.close()


@pytest.fixture
async def unused() -> str:
    async with running(Inbox().answer) as origin:
        return origin.url("")


async def test_every_edge_hears_at_once() -> None:
    first, second = Inbox(), Inbox()
    async with (
        running(first.answer) as one,
        running(second.answer) as two,
        Edges([one.url(""), two.url("/")], "secret") as edges,
    ):
        assert await edges.announce([Purge("tag", "a", generation=1)]) == 2
        assert edges.waiting == 0
    for inbox in (first, second):
        assert inbox.heads[0].startswith(b"POST /purge HTTP/1.1")
        assert b"Authorization: Bearer secret" in inbox.heads[0]


async def test_an_edge_that_failed_hears_it_later() -> None:
    inbox = Inbox(refusals=3)
    async with running(inbox.answer) as origin, Edges([origin.url("")], pauses=(0.01,)) as edges:
        assert await edges.announce([Purge("tag", "a", generation=1)]) == 0
        assert edges.waiting == 1
        async with asyncio.timeout(5):
            await inbox.taken.wait()
    assert len(inbox.heads) == 4


async def test_an_edge_that_is_gone_holds_nobody_up(unused: str) -> None:
    async with Edges([unused], pauses=(30.0,)) as edges:
        async with asyncio.timeout(3):
            assert await edges.announce([Purge("tag", "a", generation=1), Purge("tag", "a", generation=2)]) == 0
            assert await edges.announce([Purge("tag", "a", generation=1)]) == 0
        assert edges.waiting == 1


async def test_too_many_become_one_of_everything(unused: str) -> None:
    async with Edges([unused], pauses=(30.0,)) as edges:
        await edges.announce([Purge("tag", f"t{n}", generation=n) for n in range(1, 10_002)])
        assert edges.waiting == 1


async def test_nothing_to_say_or_nobody_to_tell() -> None:
    async with Edges([]) as edges:
        assert await edges.announce([Purge("all", generation=1)]) == 0
    async with Edges(["http://127.0.0.1:1"]) as edges:
        assert await edges.announce([]) == 0
        assert edges.waiting == 0


async def test_a_real_edge_understands_it() -> None:
    odd = [Purge("prefix", 'http://h/é" \\\U0001f600', generation=2), Purge("tag", "a", generation=3)]
    many = [Purge("tag", f"t{n}", generation=10 + n) for n in range(250)]
    with cluster(purge_token="t") as (edge, _):
        async with Edges([f"http://{edge.edge.purge_listen}"], "t") as edges:
            assert await edges.announce([*odd, *many]) == 1
        answer = await asyncio.to_thread(edge.post, b"", "GET", Authorization="Bearer t")
        assert json.loads(answer.body) == {"newest": 259, "all": 0, "tags": 251, "prefixes": 1}


def test_settings_are_checked() -> None:
    settings = EdgeSettings.model_validate({"edge_urls": "http://10.0.0.5:8090, http://[::1]:8090/", "edge_token": "x"})
    assert settings.edge_urls == ("http://10.0.0.5:8090", "http://[::1]:8090/")
    assert "x" not in repr(settings.edge_token)
    for bad in ("10.0.0.5:8090", "http://", "ftp://a", "http://a:b", "http://a/purge"):
        with pytest.raises(ValueError, match="expected URLs"):
            EdgeSettings.model_validate({"edge_urls": bad})
