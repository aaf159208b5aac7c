"""What the settings alone tell."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from imgproxy.doctor import written
from imgproxy.settings import Settings

GOOD = bytes(range(3, 35)).hex()
SALT = bytes(range(7, 39)).hex()


def keys(**settings: str) -> tuple[str, str]:
    """The level of the keys, and what is said of them."""
    read = Settings.read({f"IMGPROXY_{name.upper()}": value for name, value in settings.items()})
    (found,) = (each for each in written.findings(read) if each.name == "signing keys")
    assert found.level == "good" or found.remedy
    return found.level, found.text


@pytest.mark.parametrize(
    ("key", "level", "text"),
    [
        (GOOD, "good", "1"),
        ("", "bad", "none"),
        ("943b421c9eb07c830af81030552c86009268de4e532ba2ee2eab8247c6da0881", "bad", "example"),
        ("736563726574", "bad", "example"),
        (GOOD[:20], "bad", "fewer than 16 bytes"),
        ("ab" * 32, "bad", "too few different bytes"),
        (SALT, "warning", "its own salt"),
    ],
)
def test_keys(key: str, level: str, text: str) -> None:
    found = keys(key=key, salt=SALT if key else "")
    assert found[0] == level
    assert text in found[1]


def test_every_key_is_looked_at() -> None:
    assert keys(key=f"{GOOD},{'00' * 32}", salt=f"{SALT},{SALT}")[0] == "bad"


def test_trusted_signatures() -> None:
    assert keys(key=GOOD, salt=SALT, trusted_signatures="x,y") == (
        "warning",
        "1, and 2 texts that are accepted without a check",
    )


def test_presets_that_should_be_gone(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(
        'version = 1\nowner = "shop"\n[presets.old]\ndescription = "Old."\noptions = "w:3"\n'
        "deprecated = { since = 2026-01-01, remove = 2026-06-01 }\n"
    )
    known = Settings.read({"IMGPROXY_PRESETS_DIR": str(tmp_path)}).presets
    assert written.presets(known, date(2026, 5, 31)).text == "1, 1 of them deprecated"
    late = written.presets(known, date(2026, 6, 1))
    assert (late.level, late.text) == ("warning", "to be removed by now: old")
    assert written.presets(Settings.read({}).presets, date(2026, 6, 1)).text == "0"
