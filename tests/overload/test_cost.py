"""Guesses at what a making takes."""

from __future__ import annotations

import os

import pytest

from imgproxy.dialects.imgproxy import Dialect
from imgproxy.formats import JPEG, WEBP
from imgproxy.model import Client, Plan, Rendition, Report, Source
from imgproxy.overload.cost import Costs, Lane
from imgproxy.planning import Planner, PlanSettings
from imgproxy.signing import path_of
from tests import charts

URL = "http://example.com/a.jpg"


def plan(*options: str, url: str = URL, **settings: object) -> Plan:
    return Planner(PlanSettings.model_validate(settings)).plan(Dialect().read(path_of(url, options)), Client())


def source(body: bytes) -> Source:
    fd = os.memfd_create("source")
    os.write(fd, body)
    return Source(fd, len(body), URL)


def report(width: int, height: int, seconds: float, frames: int = 1) -> Report:
    return Report(Rendition(b"x", WEBP, 500, 500, width, height, frames), load_s=seconds)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (plan("w:100"), plan("w:2000")),
        (plan("w:1000", "f:jpeg"), plan("w:1000", "f:webp")),
        (plan("w:1000", "f:avif"), plan("w:1000", "f:avif", avif_speed=5)),
        (plan("w:1000", "f:webp", webp_effort=0), plan("w:1000", "f:webp", webp_effort=6)),
        (plan("w:500", "f:gif"), plan("w:500", "f:gif", max_animation_frames=50)),
        (plan("w:500"), plan("w:500", "dpr:3")),
        (plan("c:200:200", "f:avif"), plan("f:avif")),
        (plan("c:0.5:0", "f:avif"), plan("f:avif")),
        (plan("c:0.5:0.5", "f:avif"), plan("c:0.5:0", "f:avif")),
        (plan("w:500", "h:100"), plan("h:500")),
        (plan("w:5000", "f:jpeg"), plan("w:5000", "el:1", "f:jpeg")),
    ],
)
def test_more_work_costs_more(less: Plan, more: Plan) -> None:
    costs = Costs()
    assert costs.expected(less).seconds < costs.expected(more).seconds


def test_thumbnails_and_monsters() -> None:
    costs = Costs()
    assert costs.expected(plan("w:300")).lane is Lane.LIGHT
    assert costs.expected(plan("f:avif", avif_speed=4)).lane is Lane.HEAVY
    assert costs.expected(plan("w:300", url="http://example.com/a.SVG?x=1")).lane is Lane.VECTOR


def test_what_arrived_is_weighed() -> None:
    costs = Costs()
    small, vector = source(charts.tiny(30)), source(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    large = source(b"\xff\xd8\xff" + b"x" * 12_000_000)
    try:
        assert costs.weighed(plan("w:300"), small).lane is Lane.LIGHT
        assert costs.weighed(plan("w:300", "f:png"), vector).lane is Lane.VECTOR
        assert costs.weighed(plan("w:300"), small).seconds < costs.weighed(plan("w:300"), large).seconds
        assert costs.weighed(plan("f:webp"), large).lane is Lane.HEAVY
    finally:
        for each in (small, vector, large):
            each.close()


def test_it_learns_the_size_of_a_source_and_the_speed_of_the_machine() -> None:
    costs = Costs()
    before = costs.expected(plan("w:500", "f:webp")).seconds
    picture = source(b"\xff\xd8\xff")
    try:
        costs.learn(plan("w:500", "f:webp"), picture, report(10_000, 5_000, 0.0))
        known = costs.expected(plan("w:500", "f:webp")).seconds
        for _ in range(200):
            costs.learn(plan("w:500", "f:webp"), picture, report(10_000, 5_000, 2.0))
    finally:
        picture.close()
    assert costs.expected(plan("w:500", "f:webp")).seconds > 3 * known
    assert costs.expected(plan("w:500", "f:webp")).seconds == pytest.approx(2.0, rel=0.5)
    assert costs.expected(plan("w:500", "f:webp", url="http://example.com/b.jpg")).seconds > before  # a slow machine
    assert JPEG not in costs._pace
    assert costs._known[URL].pixels == 50_000_000


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.overload.cost._MOST_KNOWN", 5)
    costs = Costs()
    picture = source(b"\xff\xd8\xff")
    for n in range(20):
        costs.learn(plan(url=f"{URL}?{n}"), picture, report(10, 10, 0.1))
    picture.close()
    assert len(costs._known) == 5
