"""The benchmark's tables, chart and page from made-up results, and its requests; nothing is timed here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from bench.race import chart, checks, contestants, limit, page, results, table
from bench.race.contestants import ours
from bench.race.pictures import stand_in
from bench.race.targets import TARGETS
from bench.race.works import MISSES, Work
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.model import Client
from imgproxy.options import Resize
from imgproxy.planning import Planner
from imgproxy.rendering import render
from imgproxy.settings import Settings
from tests import charts
from tests.serving import SIGNER

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


def cell(rates: list[float], score: float | None = 70.0, size: int = 20_000, note: str = "") -> dict[str, Any]:
    return {"rates": rates, "cpu_ms": [20.0], "peak_mib": 100.0, "bytes": size, "score": score, "note": note}


def made_up(**misses: dict[str, Any]) -> dict[str, Any]:
    """A run of one work, 2.8 MP to 512 JPEG."""
    told = {name: {"title": name, "settings": "defaults"} for name in ("libvips", "ours", "thumbor", "ipx", "oximg")}
    return {
        "when": "2026-01-02 03:04 UTC",
        "form": "quick",
        "cores": 2,
        "libvips": "8.18.7",
        "pictures": "photographs",
        "contestants": told,
        "missing": {"imgproxy": "no imgproxy on the path"},
        "misses": {"p3-jpeg": misses},
    }


RUN = made_up(
    libvips=cell([100, 110, 90]),
    ours=cell([80, 99, 63], score=66.0),
    thumbor=cell([40, 50, 70], score=60.0),
    ipx=cell([], note="422 no such format"),
    oximg=cell([60, 60, 60], score=77.5, size=30_000),
)


def test_ratios_are_taken_round_by_round() -> None:
    assert results.ratios(RUN["misses"]["p3-jpeg"], "ours", "libvips") == pytest.approx([0.8, 0.9, 0.7])
    assert results.ratios(RUN["misses"]["p3-jpeg"], "ours", "ipx") == []
    assert results.ratios(RUN["misses"]["p3-jpeg"], "ours", "imgproxy") == []


def test_a_spread_is_a_median_and_a_range() -> None:
    assert results.spread([0.9, 0.7, 0.8]) == "0.80 (0.70-0.90)"
    assert results.spread([]) == "-"


def test_a_file_keeps_the_newest_runs(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "results.json"
    assert results.read(path) == []
    for number in range(5):
        results.write(path, results.added(results.read(path), {"number": number, "misses": 1}, keep=3))
    assert [run["number"] for run in results.read(path)] == [2, 3, 4]


def test_what_is_measured_anew_replaces_only_that() -> None:
    runs = [{"when": "1"}, {"when": "2", "form": "quick", "misses": {"a": 1, "b": 1}, "hits": {"c": 1}}]
    new = {"when": "3", "form": "full", "misses": {"b": 2}, "kills": {"d": 2}}
    amended = results.added(runs, new, keep=2, amend=True)
    assert amended[0] == {"when": "1"}
    assert amended[1] == {
        "when": "2",
        "form": "quick",
        "amended": "3 (full)",
        "misses": {"a": 1, "b": 2},
        "hits": {"c": 1},
        "kills": {"d": 2},
    }


def test_the_table_says_ratios_and_who_is_left_out() -> None:
    told = table.text(RUN)
    row = next(line for line in told.splitlines() if line.startswith("  thumbor ") and "(" in line)
    assert row.split()[1:6] == ["50.0", "(40.0-70.0)", "0.45", "(0.40-0.78)", "1.98"]
    assert row.split()[6:] == ["(0.90-2.00)", "20.0", "1.00", "100", "20.0", "60.0"]
    assert "left out: 422 no such format" in told
    assert "left out: imgproxy: no imgproxy on the path" in told


def test_the_chart_has_a_circle_for_each_that_was_scored() -> None:
    root = ET.fromstring(chart.svg(RUN))
    circles = root.findall(f".//{SVG}circle")
    titles = {circle.findtext(f"{SVG}title") for circle in circles}
    assert titles == {"libvips 20 KB", "ours 20 KB", "thumbor 20 KB", "oximg 30 KB"}
    by_title = {circle.findtext(f"{SVG}title"): circle.attrib for circle in circles}
    best, first = by_title["oximg 30 KB"], by_title["ours 20 KB"]
    assert float(best["cy"]) < float(first["cy"])
    assert float(best["cx"]) < float(first["cx"])
    assert float(best["r"]) ** 2 / float(first["r"]) ** 2 == pytest.approx(1.5, rel=0.05)


def test_who_is_beaten_in_both_is_not_on_the_frontier() -> None:
    found = chart.points(RUN["misses"]["p3-jpeg"], {})
    assert [point.name for point in chart.frontier(found)] == ["oximg", "ours"]


def test_targets_are_met_by_their_medians() -> None:
    by_what = {(target.number, target.what): target for target in TARGETS}
    limit_ = by_what["T1", "2.8 MP → 512 JPEG"]
    assert limit_.values(RUN) == pytest.approx([0.8, 0.9, 0.7])
    assert limit_.met(limit_.values(RUN)) is False
    peer = by_what["T3", "2.8 MP → 512 JPEG"]
    assert peer.met(peer.values(RUN)) is True
    gap = by_what["T3", "2.8 MP → 512 JPEG, score"]
    assert gap.values(RUN) == [6.0]


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    empty = made_up()
    assert all(target.met(target.values(empty)) is None for target in TARGETS)


def test_every_target_is_there() -> None:
    assert {target.number for target in TARGETS} == {f"T{n}" for n in range(1, 11)}


def test_the_page_has_a_column_for_each_run_and_says_why_targets_are_missed(tmp_path: Path) -> None:
    file, notes = tmp_path / "performance.json", tmp_path / "performance.toml"
    assert "Nothing was measured yet" in page.page(file, notes)
    file.write_text(json.dumps({"runs": [RUN, RUN]}))
    notes.write_text('T1 = "Fetching takes it."\nT3 = "Not needed."\n')
    told = page.page(file, notes)
    assert (
        "| T1 | 2.8 MP → 512 JPEG | bare libvips | ≥ 0.9 | 80.0/s | 0.80 (0.70-0.90) | 0.80 (0.70-0.90) | no |" in told
    )
    assert "- **T1**: Fetching takes it." in told
    assert "Not needed" not in told


@pytest.mark.parametrize("work", MISSES, ids=lambda work: work.name)
def test_each_contestant_is_asked_for_the_same(work: Work) -> None:
    url = f"http://127.0.0.1:8000/7/{work.picture}"
    asked = Dialect().split(ours().target(work, url))
    SIGNER.verify(asked.signature, asked.path)
    plan = Planner().plan(Dialect().read(asked.path), Client())
    assert plan.source.url == url
    assert (plan.options[Resize].width, plan.options[Resize].height) == (work.side, work.side)
    assert plan.formats.requested is not None
    assert plan.formats.requested.name == work.format
    assert dict(plan.encoding.quality)[work.format] == work.quality
    assert contestants.thumbor_target(work, url) == (
        f"/unsafe/fit-in/{work.side}x{work.side}/filters:format({work.format}):quality({work.quality})"
        f"/127.0.0.1:8000/7/{work.picture}"
    )
    assert f"s_{work.side}x{work.side},fit_inside,f_{work.format},q_{work.quality}" in contestants.ipx_target(work, url)


def test_our_settings_are_settings() -> None:
    contestant = ours(webp_effort="4")
    given = {name: value.replace("{port}", "8000") for name, value in contestant.environment.items()}
    settings = Settings.read(given)
    assert settings.warnings == ()
    assert settings.cache.memory_cache_size == settings.cache.source_cache_size == 0
    assert contestant.command[1:] == ("-m", "imgproxy")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sources") / "big.jpg"
    stand_in(2600, 1800).jpegsave(str(path), Q=80)
    return path


@pytest.mark.parametrize(("side", "format_"), [(500, "jpeg"), (200, "webp")])
async def test_bare_libvips_does_what_the_server_does(photo: Path, side: int, format_: str) -> None:
    quality = {"jpeg": 80, "webp": 79}[format_]
    wanted = await render(str(photo), photo.with_suffix(f".{format_}"), [f"rs:fit:{side}:{side}"], Settings.read({}))
    assert limit.render(str(photo), side, format_, quality) == wanted.body


async def test_bare_libvips_does_the_same_to_transparency_and_animations(tmp_path: Path) -> None:
    settings = Settings.read({"IMGPROXY_MAX_ANIMATION_FRAMES": "100"})
    for name, body, animated in (("a.png", charts.alpha_disc(), False), ("b.gif", charts.counter(), True)):
        path = tmp_path / name
        path.write_bytes(body)
        wanted = await render(str(path), path.with_suffix(".webp"), ["rs:fit:60:60"], settings)
        assert limit.render(str(path), 60, "webp", 79, animated=animated) == wanted.body


def test_an_answer_that_was_not_asked_for_is_a_fault(photo: Path) -> None:
    work = Work("w", "", photo.name, 200, "jpeg")
    good = limit.render(str(photo), 200, "jpeg", 80)
    assert checks.fault(work, photo, good) == ""
    assert "webpload" in checks.fault(work, photo, limit.render(str(photo), 200, "webp", 80))
    assert "100x69" in checks.fault(work, photo, limit.render(str(photo), 100, "jpeg", 80))
    assert checks.fault(work, photo, b"no such thing") == "not an image"
