"""The edge that fits a node's settings, and that keeps nothing of other ones."""

from __future__ import annotations

import pytest

from imgproxy.edge.configuration import render
from imgproxy.fronting import edge_of
from imgproxy.settings import Settings

NODES = ("127.0.0.1:1",)
GIVEN = {"IMGPROXY_KEY": "00", "IMGPROXY_SALT": "11", "IMGPROXY_PRESETS": "thumb=w:30"}


def version(**settings: str) -> str:
    given = GIVEN | {f"IMGPROXY_{name.upper()}": value for name, value in settings.items()}
    return edge_of(Settings.read(given), NODES).version


def test_equal_settings_are_one_version_in_every_process() -> None:
    assert version() == version() == version(log_format="json", workers="3")
    assert len(version()) == 12


@pytest.mark.parametrize(
    "changed",
    [
        {"presets": "thumb=w:50"},
        {"key": "01"},
        {"salt": "12"},
        {"secret": "hush"},
        {"allowed_sources": "https://example.com"},
        {"quality": "70"},
        {"auto_webp": "1"},
        {"base_url": "https://example.com/"},
        {"watermark_url": "https://example.com/mark.png"},
    ],
    ids=str,
)
def test_what_says_which_image_a_url_is_and_who_may_have_it_is_another_version(changed: dict[str, str]) -> None:
    assert version(**changed) != version()


def test_the_version_is_told_to_the_edge_and_gives_no_secret_away() -> None:
    files = render(edge_of(Settings.read(GIVEN | {"IMGPROXY_SECRET": "hush"}), NODES))
    assert f'version = "{version(secret="hush")}"' in files["settings.lua"]
    assert not any("hush" in text for text in files.values())


def test_an_older_answer_is_kept_no_longer_than_nodes_would_give_one() -> None:
    settings = Settings.read(GIVEN | {"IMGPROXY_RESULT_CACHE_STALE_WHILE_REVALIDATE": "1h"})
    assert edge_of(settings, NODES).inactive == "3600s"
    assert edge_of(settings, NODES, inactive="7d").inactive == "7d"
