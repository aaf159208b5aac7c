from __future__ import annotations

from datetime import date

import pytest

from imgproxy.presets.advice import advice
from tests.presets.test_files import presets, tile

OLD = "deprecated = { since = 2026-01-01, remove = 2026-06-01 }"
DAY = date(2026, 6, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (tile(f"width = 5\n{OLD}"), "preset 'tile' was to be removed on 2026-06-01"),
        (tile("width = 5\ndeprecated = true", "old") + tile('extends = "old"'),
         "preset 'tile' uses 'old', which is deprecated"),
        (tile("width = 5") + "[presets.tile.canary]\nshare = 0\nquality = 5\n",
         "preset 'tile' tries its canary on no sources: "),
        (tile("width = 5") + "[presets.tile.canary]\nshare = 1\nquality = 5\n",
         "preset 'tile' tries its canary on all sources: "),
    ],
)  # fmt: skip
def test_what_is_hardly_meant(text: str, told: str) -> None:
    (found,) = advice(presets(text), DAY)
    assert found.startswith("a.toml:")
    assert told in found


@pytest.mark.parametrize(
    "text",
    [
        tile(f"width = 5\n{OLD.replace('2026-06-01', '2026-06-02')}"),
        tile("width = 5\ndeprecated = true"),
        tile("width = 5\ndeprecated = true", "old") + '[presets.older]\nalias = "old"\ndeprecated = true\n',
        tile('width = 5\nwidths = [5]\nallow = ["size"]'),
        tile('width = 5\nwidths = [5]\nallow = ["dpr"]'),
        tile("width = 5\nwidths = [5]"),
        tile("width = 5\nallow = []"),
        tile("width = 5") + "[presets.tile.canary]\nshare = 0.5\nquality = 5\n",
    ],
)
def test_what_is_meant_well(text: str) -> None:
    assert [*advice(presets(text), DAY)] == []
