from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.errors import UnknownPreset
from imgproxy.options import Padding, Resize, SkipProcessing
from imgproxy.options.base import Setting
from imgproxy.presets import Presets
from imgproxy.presets.tracing import Traced, origins, overridden, trace
from tests.presets.test_files import asked, presets, tile

KNOWN = presets(
    tile("width = 5\nheight = 6\nskip_processing = 'gif'"),
    tile('extends = "tile"\nwidth = 9\nskip_processing = "svg"', "zoom")
    + "[presets.zoom.canary]\nshare = 1\nquality = 40\n",
)


def test_each_setting_has_its_preset_and_place() -> None:
    found = [*trace(KNOWN, asked("h:1/pr:zoom"))]
    tile_, zoom = "a.toml:3:10", "b.toml:3:10"
    assert [(each.preset, each.place, each.canary) for each in found] == [
        ("", "", False),
        ("tile", tile_, False),
        ("tile", tile_, False),
        ("tile", tile_, False),
        ("zoom", zoom, False),
        ("zoom", zoom, False),
        ("zoom", zoom, True),
    ]
    assert found[0] == Traced(asked("h:1")[0])


def test_the_last_to_set_a_field_is_its_origin_unless_they_add_up() -> None:
    found = [*trace(KNOWN, asked("pr:zoom"))]
    whence = origins(found)
    assert [each.preset for each in whence[Resize, "width"]] == ["zoom"]
    assert [each.preset for each in whence[Resize, "height"]] == ["tile"]
    assert [each.preset for each in whence[SkipProcessing, "formats"]] == ["tile", "zoom"]
    assert (Padding, "top") not in whence
    assert overridden(found) == (True, False, False, False, False, False)


def test_what_is_overridden_in_part_counts() -> None:
    found = [*trace(KNOWN, asked("rs:fit:5:6/w:7"))]
    assert overridden(found) == (False, False)
    assert overridden([*trace(KNOWN, asked("w:7/rs:fit:5:6"))]) == (True, False)


def test_unknown_presets() -> None:
    with pytest.raises(UnknownPreset):
        list(trace(Presets(), asked("pr:x")))


@given(
    st.lists(st.sampled_from(["w:5", "pr:tile", "pr:zoom", "pr:zoom:tile", "q:5"]), min_size=1).map("/".join), st.text()
)
def test_it_is_what_expand_says(text: str, source: str) -> None:
    settings: list[Setting] = asked(text)
    assert [each.setting for each in trace(KNOWN, settings, source)] == [*KNOWN.expand(settings, source)]
