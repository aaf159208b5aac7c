from __future__ import annotations

import logging
from datetime import date

import pytest

from imgproxy.metrics import Metrics
from imgproxy.presets import Presets
from imgproxy.presets.files import read_files
from imgproxy.presets.use import PresetUse

HEAD = 'version = 1\nowner = "news"\n[defaults]\nquality = 70\n'
HERO = '[presets.hero]\ndescription = "Opener"\nwidth = 900\n'
LEAD = '[presets.lead]\nalias = "hero"\ndeprecated = { since = 2026-11-01, remove = 2027-03-01, note = "use hero" }\n'
OLD = '[presets.old]\nalias = "hero"\ndeprecated = true\n'


def presets(*tables: str) -> Presets:
    mistakes: list[str] = []
    definitions = read_files([("news.toml", HEAD + "".join(tables))], ":", mistakes)
    return Presets.checked(definitions, mistakes)


def counted(metrics: Metrics) -> dict[str, float]:
    """What each series of presets says: ``{"requests hero": 1}``."""
    found: dict[str, float] = {}
    for line in metrics.text().splitlines():
        name, _, rest = line.partition('{preset="')
        if rest:
            preset, _, value = rest.partition('"} ')
            found[f"{name.removesuffix('_total')} {preset}"] = float(value)
    return found


def fields(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, str]]:
    return [getattr(record, "fields", {}) for record in caplog.records if record.getMessage() == message]


def test_requests_and_time_are_counted_by_preset() -> None:
    metrics = Metrics()
    use = PresetUse(presets(HERO), metrics)
    use.note(("default", "hero"), 0.5)
    use.note(("default", "hero"), 0.0)
    assert counted(metrics) == {"preset_requests hero": 2, "preset_processing_seconds hero": 0.5}


def test_only_configured_presets_become_labels() -> None:
    metrics = Metrics()
    use = PresetUse(presets(HERO, LEAD), metrics)
    use.note(("nobody", "hero"), 0.0)
    use.adopt(presets(HERO.replace("hero", "opener")))
    use.note(("hero", "opener"), 0.0)  # planned before the change
    assert counted(metrics) == {"preset_requests opener": 1, "preset_processing_seconds opener": 0}


def test_a_deprecated_preset_is_counted_always_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    use = PresetUse(presets(HERO, LEAD), metrics, today=lambda: date(2026, 12, 1))
    assert counted(metrics)["deprecated_preset_requests lead"] == 0  # there from the start: rate() sees the first one
    for _ in range(3):
        use.note(("hero", "lead"), 0.0)
    use.adopt(presets(HERO, LEAD))
    use.note(("hero", "lead"), 0.0)
    assert counted(metrics)["deprecated_preset_requests lead"] == 4
    assert "deprecated_preset_requests hero" not in counted(metrics)
    assert fields(caplog, "a deprecated preset is used") == [
        {
            "preset": "lead",
            "owner": "news",
            "place": "news.toml:8:10",
            "since": "2026-11-01",
            "remove": "2027-03-01",
            "note": "use hero",
        }
    ]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_what_was_to_be_gone_by_now_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    today = date(2027, 2, 28)
    use = PresetUse(presets(HERO, LEAD, OLD), Metrics(), today=lambda: today)
    assert caplog.records == []
    today = date(2027, 3, 1)
    use.adopt(presets(HERO, LEAD, OLD))
    use.adopt(presets(HERO, LEAD))
    (said,) = fields(caplog, "a preset was to be removed by now")
    assert said["preset"] == "lead"


def test_a_deprecation_without_dates_says_what_there_is(caplog: pytest.LogCaptureFixture) -> None:
    use = PresetUse(presets(HERO, OLD), Metrics())
    use.note(("hero", "old"), 0.0)
    assert fields(caplog, "a deprecated preset is used") == [
        {"preset": "old", "owner": "news", "place": "news.toml:8:10"}
    ]
