"""URLs with mistakes, asked of a server in development mode as a browser does, and of one in production."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import charts
from tests.serving import KEY, SALT, SIGNER, serving, signed

pytestmark = pytest.mark.e2e

PAGE = "text/html,application/xhtml+xml,*/*;q=0.8"
LINK = re.compile(r'<a class="path good" href="([^"]+)">')
SOURCE = "local:///photo.png"


def wrong_urls() -> list[str]:
    good = signed(SOURCE, "w:30", "f:png")
    path = good[good.index("/", 1) :]
    return [
        f"/unsafe{path}",
        path,
        good.replace(path, f"={path}"),
        SIGNER.sign(path.replace("/w:", "/wdth:")),
        SIGNER.sign(path.replace("f:png", "f:pgn")),
        SIGNER.sign("/pr:tiel" + path[len("/w:30/f:png") :]),
        SIGNER.sign("/pr:tile/w:33" + path[len("/w:30/f:png") :]),
    ]


def test_a_click_on_the_correction_shows_the_picture(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(charts.quadrants(60, 40))
    (tmp_path / "shop.toml").write_text(
        'version = 1\nowner = "shop"\n[presets.tile]\ndescription = "Tile"\n'
        'resize = { width = 30, height = 30 }\nwidths = [20, 30]\nallow = ["width"]\n'
    )
    given = {"key": KEY, "salt": SALT, "local_filesystem_root": str(tmp_path), "presets_dir": str(tmp_path)}
    with serving(**given, development_errors_mode="1") as server:
        for url in wrong_urls():
            answer = server.ask(url, accept=PAGE)
            assert answer.status in (403, 404), url
            (corrected,) = LINK.findall(answer.text)
            assert "<mark>" in answer.text
            assert server.ask(corrected).status == 200, corrected
            assert server.ask(corrected).picture.width == 30
            # Nobody from elsewhere gets a URL signed: not through a proxy, not by another page.
            for elsewhere in ({"x_forwarded_for": "1.2.3.4"}, {"origin": "http://evil.test"}):
                page = server.ask(url, accept=PAGE, **elsewhere).text
                assert corrected.split("/")[1] not in page.replace(url.split("/")[1], "")
                assert "Sign this path instead" in page
    with serving(**given) as server:
        for url in wrong_urls():
            answer = server.ask(url, accept=PAGE)
            assert answer.headers["content-type"].startswith("text/plain")
            assert len(answer.text) < 90
