from __future__ import annotations

import pytest

from imgproxy.profiling import FORMATS, percentile, profile
from imgproxy.settings import Settings


@pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.95, 10), (0.0, 1), (1.0, 10)])
def test_percentiles(share: float, value: float) -> None:
    assert percentile(range(1, 11), share) == value
    assert percentile([3.0], share) == 3.0


async def test_a_profile_has_every_format() -> None:
    heard: list[str] = []
    found = await profile(Settings.read({"IMGPROXY_WORKERS": "1"}), 0.01, heard.append)
    assert heard == [each.name for each in FORMATS] == [each.format for each in found.formats]
    for each in found.formats:
        assert each.images >= 1
        assert each.bytes > 5000  # as a photograph has
        assert each.peak_bytes > 30_000_000
    assert found.as_dict()["formats"][0]["format"] == "jpeg"
