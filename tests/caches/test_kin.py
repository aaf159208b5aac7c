"""Which stored result stands in for another size."""

from __future__ import annotations

import pytest

from imgproxy.caches.kin import Kin
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.formats import PNG
from imgproxy.model import Client, Plan, Rendition
from imgproxy.planning import Planner, PlanSettings
from imgproxy.signing import path_of


def plan(*options: str, url: str = "http://example.com/a.png", **settings: object) -> Plan:
    return Planner(PlanSettings.model_validate(settings)).plan(Dialect().read(path_of(url, options)), Client())


def noted(kin: Kin, width: int, height: int, *options: str) -> None:
    kin.note(plan(*options), f"{width}x{height}", Rendition(b"", PNG, width, height, 1000, 500))


def test_the_nearest_comes_first() -> None:
    kin = Kin()
    for width in (100, 200, 400, 800):
        noted(kin, width, width // 2, f"w:{width}")
    assert list(kin.nearest(plan("w:390"))) == ["400x200", "200x100", "800x400"]  # 100 is too small by far
    assert next(iter(kin.nearest(plan("h:60")))) == "100x50"
    assert next(iter(kin.nearest(plan("w:100", "dpr:2")))) == "200x100"
    assert set(kin.nearest(plan())) == {"100x50", "200x100", "400x200", "800x400"}


@pytest.mark.parametrize("options", [("w:200", "bl:3"), ("rs:fill:200:200",), ("w:200", "f:webp"), ("w:200", "rot:90")])
def test_other_pictures_are_no_kin(options: tuple[str, ...]) -> None:
    kin = Kin()
    noted(kin, 200, 100, "w:200")
    assert not list(kin.nearest(plan(*options)))
    assert not list(kin.nearest(plan("w:200", url="http://example.com/b.png")))


def test_quality_and_effort_do_not_matter_and_shapes_of_boxes_do() -> None:
    kin = Kin()
    noted(kin, 300, 200, "rs:fill:300:200", "q:10")
    assert list(kin.nearest(plan("rs:fill:600:400", "q:90", webp_effort=0))) == ["300x200"]
    assert not list(kin.nearest(plan("rs:fill:200:300")))


def test_families_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgproxy.caches.kin._MOST_FAMILIES", 3)
    kin = Kin()
    for angle in (0, 90, 180, 270):
        noted(kin, 10, 10, f"rot:{angle}")
    for width in range(1, 100):
        noted(kin, width, 10, "rot:270", f"w:{width}")
    assert len(kin._families) == 3
    assert max(map(len, kin._families.values())) == 16
