"""How many operations a render is: each costs 50 to 130 us of Python, and steps that do nothing cost as much."""

from __future__ import annotations

from typing import Any

import pytest
import pyvips

from tests import charts
from tests.render.rendering import render

LARGE = (1200, 800)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that libvips is asked for, in their order."""
    found: list[str] = []
    call = pyvips.Operation.call

    def counted(name: str, *arguments: Any, **options: Any) -> object:
        found.append(name)
        return call(name, *arguments, **options)

    monkeypatch.setattr(pyvips.Operation, "call", staticmethod(counted))
    return found


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        (charts.quadrants(*LARGE, ".jpg"), "rs:fit:300:300/f:webp", "jpegload_source resize copy webpsave_buffer"),
        (charts.quadrants(*LARGE, ".jpg"), "rs:fill:300:300/f:jpg", "jpegload_source resize crop copy jpegsave_buffer"),
        (charts.quadrants(*LARGE, ".png"), "f:png", "pngload_source copy pngsave_buffer"),
        (charts.quadrants(*LARGE, ".webp"), "w:300/f:avif", "webpload_source resize copy heifsave_buffer"),
        (
            charts.alpha_disc(600),
            "w:300/f:webp",
            "pngload_source premultiply resize unpremultiply cast copy webpsave_buffer",
        ),
    ],
)
def test_a_render_is_no_more_than_it_must_be(calls: list[str], source: bytes, options: str, expected: str) -> None:
    calls.clear()
    render(source, options)
    assert " ".join(calls) == expected
