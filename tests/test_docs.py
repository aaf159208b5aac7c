"""The documentation is current, its URLs parse, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

from imgproxy.cli import main
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.model import Client
from imgproxy.planning import Planner
from imgproxy.presets import BadPresets
from imgproxy.presets.files import PRESET_KEYS, read_files
from imgproxy.presets.settings import PresetSettings
from tests.documents import blocks

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))

PRESETS = ROOT / "docs" / "presets.md"

CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
IMAGE_URL = re.compile(r"(?:https?://[\w.:-]+)?(/[^\s\"'`<>/:]+/(?:[a-z_-]+:[^\s\"'`<>]*/)*plain/[^\s\"'`<>]+)")
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def test_generated_pages_are_current() -> None:
    run = [sys.executable, "docs/generate.py", "--check"]
    # Whatever the machine and the environment: the pages come from the code alone.
    strange = {"PATH": os.environ["PATH"], "IMGPROXY_QUALITY": "1", "PYTHONHASHSEED": "7", "LC_ALL": "C", "PORT": "1"}
    checked = subprocess.run(run, cwd=ROOT, env=strange, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def image_urls() -> list[str]:
    # The URLs of presets.md name presets: its commands are run.
    pages = (page for page in PAGES if page != PRESETS)
    found = (block for page in pages for block in CODE.findall(page.read_text(encoding="utf-8")))
    return sorted({url for block in found for url in IMAGE_URL.findall(block) if "<" not in url})


def test_there_are_urls_to_look_at() -> None:
    assert len(image_urls()) >= 3


@pytest.mark.parametrize("url", image_urls())
def test_every_url_parses(url: str) -> None:
    dialect = Dialect()
    signed = dialect.split(url.encode().decode("latin-1"))
    plan = Planner().plan(dialect.read(signed.path), Client())
    assert plan.source.url.startswith(("http://", "https://", "local://"))


def commands(page: str) -> list[tuple[str, str]]:
    """What a page's consoles show: commands, and what they print."""
    shown = "".join(CONSOLE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")))
    return [(command, printed) for command, _, printed in (each.partition("\n") for each in shown.split("$ ")[1:])]


def test_what_the_page_on_placeholders_shows_is_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imgproxy").symlink_to(ROOT / "imgproxy")
    monkeypatch.chdir(tmp_path)
    shown = commands("placeholders.md")
    assert len(shown) == 7
    for command, printed in shown:
        name, *arguments = command.split()
        if name == "cat":
            assert Path(*arguments).read_text(encoding="utf-8") == printed.rstrip("\n")
        else:
            assert CliRunner().invoke(main, arguments).output == printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    for link in (one or other for one, other in LINK.findall(CODE.sub("", text))):
        if link.startswith("#"):
            assert link[1:] in headings, link
        elif "://" not in link:
            assert (page.parent / unquote(link)).exists(), link


def toml() -> list[tuple[str, str]]:
    text = PRESETS.read_text(encoding="utf-8")
    return [(each.name or f"line-{each.line}.toml", each.text) for each in blocks(text) if each.language == "toml"]


def test_every_preset_file_is_good() -> None:
    files = [file for file in toml() if file[0] != "wrong.toml"]
    assert len(files) >= 5
    mistakes: list[str] = []
    read_files(files, ":", mistakes)
    assert mistakes == []


def test_mistakes_are_told_as_shown(tmp_path: Path) -> None:
    for name, text in toml():
        (tmp_path / name).write_text(text)
    (shown,) = [block.text for block in blocks(PRESETS.read_text(encoding="utf-8")) if block.language == "text"]
    with pytest.raises(BadPresets) as caught:
        PresetSettings(presets_dir=tmp_path).read(":")
    assert str(caught.value) == shown.rstrip("\n")


def test_every_key_of_a_preset_is_described() -> None:
    described = re.findall(r"^\| `(\w+)` \| ", PRESETS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(described) == sorted(PRESET_KEYS)
