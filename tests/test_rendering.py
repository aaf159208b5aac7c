from __future__ import annotations

from pathlib import Path

import pytest

from imgproxy.errors import (
    AddressForbidden,
    BadOption,
    SchemeForbidden,
    SourceTooLarge,
    UnknownPreset,
    UnsupportedFormat,
)
from imgproxy.model import Rendition
from imgproxy.options import read_segment
from imgproxy.presets import Presets
from imgproxy.rendering import Darkroom, describe, render
from imgproxy.settings import Settings
from tests import charts
from tests.origins.origin import running, says, whole


@pytest.fixture
def photo(tmp_path: Path) -> str:
    file = tmp_path / "photo.png"
    file.write_bytes(charts.quadrants(300, 200))
    return str(file)


async def rendered(source: str, out: str, *options: str, **given: str) -> Rendition:
    settings = Settings.read({f"IMGPROXY_{name.upper()}": value for name, value in given.items()})
    return await render(source, Path(out), options, settings)


@pytest.mark.parametrize(
    ("out", "options", "format_"),
    [
        ("a.webp", [], "webp"),
        ("a.JPG", [], "jpeg"),
        ("a.webp", ["f:gif"], "gif"),
        ("a.webp", ["ext:avif", "f:tiff"], "tiff"),
        ("a", [], "png"),
        ("a.dat", [], "png"),
    ],
)
async def test_the_extension_names_the_format_unless_an_option_does(
    photo: str, out: str, options: list[str], format_: str
) -> None:
    rendition = await rendered(photo, out, "rs:fit:90:90", *options)
    assert rendition.format.name == format_
    assert (rendition.width, rendition.height) == (90, 60)
    assert (rendition.source_width, rendition.source_height) == (300, 200)


async def test_a_url_is_fetched_under_the_servers_rules(photo: str) -> None:
    async with running(says(whole(charts.quadrants(300, 200)))) as origin:
        rendition = await rendered(origin.url(), "a.png", "w:30", allow_loopback_source_addresses="1")
        assert rendition.width == 30
    root = str(Path(photo).parent)
    assert (await rendered("local:///photo.png", "a.png", local_filesystem_root=root)).width == 300
    with pytest.raises(SchemeForbidden):
        await rendered("local:///photo.png", "a.png")


async def test_presets_watermark_and_limits_are_the_servers(photo: str, tmp_path: Path) -> None:
    (tmp_path / "mark.png").write_bytes(charts.mark())
    assert (await rendered(photo, "a.png", "pr:small", presets="small=w:30")).width == 30
    assert (await rendered(photo, "a.png", "rs_fit_30_30", arguments_separator="_")).width == 30
    plain = await rendered(photo, "a.png")
    marked = await rendered(photo, "a.png", "wm:1", watermark_path=str(tmp_path / "mark.png"))
    assert plain.body != marked.body
    with pytest.raises(SourceTooLarge):
        await rendered(photo, "a.png", max_src_resolution="0.01")


async def test_mistakes(photo: str) -> None:
    with pytest.raises(BadOption, match="did you mean"):
        await rendered(photo, "a.png", "wdth:3")
    with pytest.raises(BadOption, match="'width' has no arguments"):
        await rendered(photo, "a.png", "width")
    with pytest.raises(UnsupportedFormat):
        await rendered(photo, "a.jxl")
    with pytest.raises(FileNotFoundError):
        await rendered(photo + "x", "a.png")
    with pytest.raises(OSError, match="is not a file"):
        await rendered(str(Path(photo).parent), "a.png")
    with pytest.raises(BadOption, match="nothing to render"):
        await rendered(photo, "a.png", "raw:1")


async def test_many_pictures_in_one_go(photo: str, tmp_path: Path) -> None:
    (tmp_path / "mark.png").write_bytes(charts.mark())
    settings = Settings.read({"IMGPROXY_WATERMARK_PATH": str(tmp_path / "mark.png"), "IMGPROXY_AUTO_WEBP": "1"})
    other = Presets.parse([("", "small=w:20/wm:1")])
    before = descriptors()
    async with Darkroom(settings) as room:
        asked = read_segment("preset", ["small"])
        for _ in range(3):
            made = await room.render(photo, asked, other, room.browser)
            assert (made.width, made.format.name) == (20, "webp")
        assert (await room.render(photo, ())).format.name == "png"
        with pytest.raises(UnknownPreset):
            await room.render(photo, asked)
    assert descriptors() == before


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_source_is_described_as_it_is_whatever_the_server_would_make_of_it(photo: str) -> None:
    given = {"IMGPROXY_PRESETS": "default=w:30", "IMGPROXY_AUTO_ROTATE": "false", "IMGPROXY_ENFORCE_AVIF": "1"}
    facts = await describe(photo, Settings.read(given))
    assert (facts.format.name, facts.width, facts.height) == ("png", 300, 200)
    with pytest.raises(SourceTooLarge):
        await describe(photo, Settings.read({"IMGPROXY_MAX_SRC_RESOLUTION": "0.01"}))
    with pytest.raises(FileNotFoundError):
        await describe(photo + "x", Settings.read({}))


async def test_what_is_described_is_fetched_under_the_servers_rules() -> None:
    async with running(says(whole(charts.quadrants(300, 200)))) as origin:
        facts = await describe(origin.url(), Settings.read({"IMGPROXY_ALLOW_LOOPBACK_SOURCE_ADDRESSES": "1"}))
        assert facts.width == 300
        with pytest.raises(AddressForbidden):
            await describe(origin.url(), Settings.read({}))
