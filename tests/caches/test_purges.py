"""What a purge hides, and what not."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.caches import purges as room
from imgproxy.caches.purges import Marks, Purges, as_tag, host_tags, source_tag, tags_of
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.model import Client, Plan, Purge
from imgproxy.planning import Planner
from imgproxy.presets import Presets
from imgproxy.signing import path_of

URL = "https://example.com/cats/tom.jpg"
TAGS = (source_tag(URL), "host-example.com", "preset-thumb", "summer")


@pytest.mark.parametrize(
    ("purge", "concerned"),
    [
        (Purge("all"), True),
        (Purge("tag", "summer"), True),
        (Purge("tag", "summe"), False),
        (Purge("tag", "winter"), False),
        (Purge("tag", source_tag(URL)), True),
        (Purge("tag", source_tag(URL + "?1")), False),
        (Purge("tag", "host-example.com"), True),
        (Purge("tag", "preset-thumb"), True),
        (Purge("prefix", "https://example.com/cats/"), True),
        (Purge("prefix", URL), True),
        (Purge("prefix", "https://example.com/dogs/"), False),
        (Purge("prefix", "http://"), False),
    ],
)
@pytest.mark.parametrize("soft", [False, True])
def test_what_a_purge_is_about(purge: Purge, concerned: bool, soft: bool) -> None:
    purges = Purges()
    purge = purges.issue(Purge(purge.kind, purge.value, soft))
    assert purge.concerns(URL, TAGS) is concerned
    expected = purge.generation if concerned else 0
    assert purges.marks(URL, TAGS) == (Marks(0, expected) if soft else Marks(expected, 0))


def test_generations_grow() -> None:
    purges = Purges()
    numbers: list[int] = []
    for reached in (0, 49, 7):
        purges.reach(reached)
        numbers.append(purges.issue(Purge("tag", "a")).generation)
    assert numbers == [1, 50, 51]
    assert purges.newest == 51
    assert list(purges) == [Purge("tag", "a", generation=51)]


def test_the_newest_of_those_that_concern_counts() -> None:
    purges = Purges()
    for purge in (
        Purge("tag", "summer", generation=3),
        Purge("prefix", "https://example.com", generation=9),
        Purge("prefix", "https://", generation=4),
        Purge("all", generation=5),
        Purge("tag", "other", generation=100),
    ):
        assert purges.learn(purge)
    assert purges.marks(URL, TAGS) == Marks(9, 0)
    assert purges.marks("local:///a.jpg", ()) == Marks(5, 0)
    assert purges.newest == 100


purge_lists = st.lists(
    st.builds(
        Purge,
        st.just("tag"),
        st.sampled_from("abc"),
        st.booleans(),
        st.integers(1, 50),
    )
    | st.builds(Purge, st.just("prefix"), st.sampled_from(["", "h", "hx"]), st.booleans(), st.integers(1, 50))
    | st.builds(Purge, st.just("all"), st.just(""), st.booleans(), st.integers(1, 50)),
    max_size=30,
)


@given(purge_lists, st.randoms())
def test_order_and_repetition_do_not_matter(news: list[Purge], random: Random) -> None:
    one, other = Purges(), Purges()
    for purge in news:
        one.learn(purge)
    shuffled = news * 2
    random.shuffle(shuffled)
    for purge in shuffled:
        other.learn(purge)
    assert sorted(map(repr, one)) == sorted(map(repr, other))
    assert one.newest == other.newest
    for url, tags in [("hx", ("a",)), ("h", ("b", "c")), ("z", ())]:
        expected = Marks(
            *(
                max((p.generation for p in news if p.soft is soft and p.concerns(url, tags)), default=0)
                for soft in (False, True)
            )
        )
        assert one.marks(url, tags) == expected


def test_too_many_become_one_that_hides_more_and_never_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(room._MOST, "tag", 100)
    purges = Purges()
    for n in range(1000):
        purges.issue(Purge("tag", f"t{n}"))
    assert len(list(purges)) <= 101
    for n in range(1000):
        assert purges.marks("x", (f"t{n}",)).hard >= n + 1
    assert purges.newest == 1000


def planned(*options: str, source: str = URL, presets: str = "") -> Plan:
    lines = [("here", line) for line in presets.split(",") if line]
    path = path_of(source, options)
    return Planner(presets=Presets.parse(lines)).plan(Dialect().read(path), Client())


def test_a_plan_is_tagged_by_all_that_it_can_be_purged_by() -> None:
    presets = "default=q:70,thumb=pr:small/sh:1,small=rs:fit:10:10/ct:tiny,other=q:1"
    plan = planned("pr:thumb", "ct:summer:shop%2F1", presets=presets)
    assert plan.delivery.presets == ("default", "small", "thumb")
    assert set(tags_of(plan)) == {
        source_tag(URL),
        "host-example.com",
        "preset-default",
        "preset-small",
        "preset-thumb",
        "tiny",
        "summer",
        "shop/1",
    }
    assert list(tags_of(plan)) == sorted(tags_of(plan))


def test_tags_are_in_no_key() -> None:
    assert planned("w:10").key == planned("w:10", "ct:summer").key == planned("pr:a", presets="a=w:10").key


@pytest.mark.parametrize(
    ("url", "tags"),
    [
        ("http://Example.COM:81/a", ("host-example.com",)),
        ("http://user:word@example.com/a", ("host-example.com",)),
        ("s3://bucket/key", ("host-bucket",)),
        ("local:///a.jpg", ()),
        ("a.jpg", ()),
        ("http://[1::2/", ()),
        ("http://münchen.example/a", ("host-m%C3%BCnchen.example",)),
    ],
)
def test_hosts(url: str, tags: tuple[str, ...]) -> None:
    assert host_tags(url) == tags


@given(st.text())
def test_a_tag_is_one_word_in_every_header(text: str) -> None:
    assert re.fullmatch(r'[^\s,"\\]*', as_tag(text))
    assert as_tag(text).isascii()


def test_a_node_on_its_own_knows_all_purges_up_to_now() -> None:
    now = 1_000.0
    purges = Purges(lambda: now)
    assert purges.newest == 1_000_000_000
    purge = purges.issue(Purge("all"))
    assert purge.generation > 1_000_000_000
    assert purges.newest == purge.generation
    now = 2_000.0
    assert purges.newest == 2_000_000_000
    purges.reach(3_000_000_000)
    assert purges.newest == purges.last == 3_000_000_000
