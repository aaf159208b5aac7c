"""Keys: equal exactly where plans are equal, whatever URL, preset, setting or client they come from."""

from __future__ import annotations

from random import Random

import pytest

from imgproxy.caches.base import key_of
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.model import Client, Plan
from imgproxy.negotiation import NegotiationSettings, Negotiator
from imgproxy.planning import Planner, PlanSettings
from imgproxy.presets import Presets
from imgproxy.signing import path_of

SOURCES = ("http://example.com/a.jpg", "http://example.com/a.jpg?", "https://example.com/a.jpg", "local:///a\nb.jpg")
SEGMENTS = (
    *("w:10", "width:10", "h:20", "rs:fit:10:20", "rs:fit:10:20:0", "s:10:20", "rs:fill:10:20", "rt:fill", "rt:fit"),
    *("el:1", "el:0", "ex:1", "ex:1:no", "ex:0", "g:no", "g:ce", "gravity:no:0:0", "g:fp:0.5:0.5", "g:sm", "c:10:10"),
    *(
        "dpr:1",
        "dpr:2",
        "z:1",
        "z:2:1",
        "mw:3",
        "bl:2",
        "bl:2.0",
        "blur:0",
        "sh:1",
        "pix:3",
        "pd:1",
        "pd:1:1",
        "bg:fff",
    ),
    *("bg:255:255:255", "bg:000", "wm:0.5", "wm:0.5:ce", "wm:0", "ar:1", "ar:0", "rot:90", "rot:450", "fl:1", "fl:0:1"),
    *("q:80", "q:0", "q:70", "fq:jpeg:70", "fq:jpeg:70:webp:60", "f:webp", "f:png", "ext:webp", "mb:1000", "mb:0"),
    *("cb:1", "cb:", "exp:4000000000", "fn:name", "att:1", "ct:a:b", "sm:1", "sm:0", "kcr:0", "scp:1", "t:10", "raw:0"),
    *("plh:lqip", "plh:blurhash", "plh:blurhash:4:3", "plh:thumbhash", "plh:"),
    *("pr:small", "pr:same", "pr:nested", "skp:png", "exar:1", "ph:1", "eth:1"),
)
PRESETS = Presets.parse([("", "small=w:10/h:20"), ("", "same=rs:fit:10:20"), ("", "nested=pr:small/q:70")])
PLANNERS = tuple(
    Planner(PlanSettings.model_validate(settings), PRESETS, Negotiator(NegotiationSettings(**auto)), watermark=mark)
    for settings, auto, mark in [
        ({}, {}, ""),
        ({"quality": 70}, {}, ""),
        ({}, {"auto_webp": True, "auto_avif": True, "enable_client_hints": True}, ""),
        ({}, {}, "one"),
        ({}, {}, "other"),
        ({"watermark_opacity": 0.5}, {"enforce_webp": True}, "one"),
        ({"max_src_resolution": 10, "use_linear_colorspace": True}, {}, ""),
    ]
)
CLIENTS = (
    Client(),
    Client(frozenset({"webp"})),
    Client(frozenset({"webp", "avif"})),
    Client(dpr=2.0),
    Client(width=10),
)


def planned(random: Random, segments: list[str]) -> Plan:
    planner = PLANNERS[0] if random.random() < 0.6 else random.choice(PLANNERS)
    client = CLIENTS[0] if random.random() < 0.7 else random.choice(CLIENTS)
    source = SOURCES[0] if random.random() < 0.8 else random.choice(SOURCES)
    path = path_of(source, segments, base64=random.random() < 0.5)
    return planner.plan(Dialect().read(path), client)


def pairs(seed: int, count: int) -> tuple[int, int]:
    """How many of the pairs were equal, and how many were not; asserts the law for each."""
    random = Random(seed)
    equal = 0
    for _ in range(count):
        segments = random.choices(SEGMENTS, k=random.randint(0, 4))
        others = list(segments)
        if random.random() < 0.4:
            random.shuffle(others)
        if random.random() < 0.5:
            others.insert(random.randint(0, len(others)), random.choice(SEGMENTS))
        if others and random.random() < 0.3:
            others.pop(random.randrange(len(others)))
        one, other = planned(random, segments), planned(random, others)
        assert (one == other) is (one.key == other.key) is (key_of(one) == key_of(other)), (segments, others)
        equal += one == other
    return equal, count - equal


@pytest.mark.parametrize("seed", range(4))
def test_equal_plans_have_equal_keys_and_only_they(seed: int) -> None:
    equal, different = pairs(seed, 1_500)
    assert min(equal, different) > 150  # both sides of the law are tried


@pytest.mark.soak
def test_a_million_pairs() -> None:
    equal, different = pairs(2026, 1_000_000)
    print(f"{equal:,} pairs of equal plans, {different:,} of different ones")  # noqa: T201
    assert min(equal, different) > 100_000


@pytest.mark.parametrize(
    ("segments", "digest"),
    [
        ([], "5fc04dae1b1917a87b6659af7490cf2172e19d60b1e62be0e270166d0ec0fe65"),
        (
            ["rs:fill:300:200", "g:no", "q:70", "f:webp"],
            "f80a1ec04381af91c8bbfaa73cfc7aa0b96ced86404c8fa4260cdccc9eb4f5b0",
        ),
        (["w:10", "t:10", "bg:fff", "qp:best"], "0340b50e6206c46ef5083547fa25019312bbf52a061c737ff472ed8329ad1281"),
    ],
)
def test_keys_last(segments: list[str], digest: str) -> None:
    """A change here makes every result that is remembered anywhere anew: not by the way, and not without a reason."""
    path = path_of("http://example.com/a.jpg", segments)
    assert Planner().plan(Dialect().read(path), Client()).key == digest


def test_what_a_key_is_made_of() -> None:
    """Each field of a plan that shapes the image is in its key; the delivery is not."""
    plan = planned(Random(1), ["w:10"])
    source, _, digest = key_of(plan).partition("-")
    assert (len(source), len(digest)) == (16, 64)
    assert planned(Random(1), ["w:10", "exp:4000000000", "fn:x", "att:1", "ct:x"]).key == plan.key
    assert planned(Random(1), ["w:10", "cb:1"]).key != plan.key
