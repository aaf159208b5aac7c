from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import ValidationError

from imgproxy.errors import SourceRefused
from imgproxy.model import Deadline
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.configured import ConfiguredPicture, ConfiguredSettings, fallback, watermark
from imgproxy.origins.fetch import Origins
from tests import charts
from tests.origins.origin import descriptors, running, says, whole

BODY = charts.tiny(3)
BASE64 = base64.b64encode(BODY).decode()


@pytest_asyncio.fixture
async def origins() -> AsyncGenerator[Origins]:
    origins = Origins(OriginSettings(allow_loopback_source_addresses=True))
    yield origins
    await origins.aclose()


async def body(picture: ConfiguredPicture) -> bytes:
    source = await picture.source(Deadline.after(5))
    try:
        return os.pread(source.fd, source.size + 1, 0)
    finally:
        source.close()


async def test_none_is_configured(origins: Origins) -> None:
    settings = ConfiguredSettings()
    assert not watermark(origins, settings)
    assert not fallback(origins, settings)


async def test_data_goes_before_a_path_and_a_path_before_a_url(origins: Origins, tmp_path: Path) -> None:
    file = tmp_path / "other.png"
    file.write_bytes(b"GIF89a from the file")
    given = {"path": str(file), "url": "http://127.0.0.1:1/", "data": BASE64}
    for expected in (BODY, b"GIF89a from the file"):
        settings = {f"watermark_{name}": value for name, value in given.items()}
        settings |= {f"fallback_image_{name}": value for name, value in given.items()}
        parsed = ConfiguredSettings.model_validate(settings)
        for picture in (watermark(origins, parsed), fallback(origins, parsed)):
            assert picture
            assert await body(picture) == expected
            picture.close()
        given.pop("data", None)


async def test_a_url_is_fetched_when_it_is_needed_and_once(origins: Origins) -> None:
    async with running(says(whole(BODY))) as origin:
        picture = watermark(origins, ConfiguredSettings(watermark_url=origin.url()))
        assert picture
        assert origin.requests == []
        before = descriptors()
        assert [await body(picture) for _ in range(3)] == [BODY] * 3
        assert len(origin.requests) == 1
        picture.close()
        assert descriptors() <= before + 1


async def test_first_requests_at_the_same_time_leak_nothing(origins: Origins) -> None:
    async with running(says(whole(BODY), close=False)) as origin:
        picture = watermark(origins, ConfiguredSettings(watermark_url=origin.url()))
        assert await asyncio.gather(*(body(picture) for _ in range(4))) == [BODY] * 4
        kept = descriptors()
        assert await body(picture) == BODY
        picture.close()
        assert descriptors() == kept - 1


async def test_a_url_that_fails_is_asked_again(origins: Origins) -> None:
    async with running(says(whole(b"", status="500 Oops"))) as origin:
        picture = fallback(origins, ConfiguredSettings(fallback_image_url=origin.url()))
        for _ in range(2):
            with pytest.raises(SourceRefused):
                await body(picture)
        assert len(origin.requests) == 2
        picture.close()


@pytest.mark.parametrize(
    ("field", "text", "reason"),
    [
        ("watermark_data", "no base64!", "expected an image file in base64"),
        ("watermark_data", base64.b64encode(b"hello").decode(), "expected an image, of a format"),
        ("watermark_path", __file__, "expected an image, of a format"),
        ("watermark_path", "/nosuch/file.png", "there is no file"),
        ("fallback_image_path", "/", "there is no file"),
    ],
)
def test_mistakes_are_found_at_the_start(field: str, text: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ConfiguredSettings.model_validate({field: text})


def test_data_is_not_printed() -> None:
    assert "b'" not in repr(
        ConfiguredSettings.model_validate({"watermark_data": BASE64, "fallback_image_data": BASE64})
    )


def test_line_breaks_are_no_part_of_base64() -> None:
    lines = "\n".join(BASE64[at : at + 4] for at in range(0, len(BASE64), 4)) + "\n"
    assert ConfiguredSettings.model_validate({"watermark_data": lines}).watermark_data == BODY


async def test_callers_do_not_share_a_position(origins: Origins) -> None:
    """Render processes read the same picture at the same time, each from the start."""
    picture = ConfiguredPicture(origins, BODY, None, "")
    one, other = await picture.source(Deadline.after(5)), await picture.source(Deadline.after(5))
    assert os.read(one.fd, len(BODY)) == BODY
    assert os.read(other.fd, len(BODY)) == BODY
    for source in (one, other):
        source.close()
    picture.close()
