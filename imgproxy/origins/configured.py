"""The pictures that the operator names: the watermark and the fallback image. Each is fetched once and kept."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from imgproxy.environment import RoomSettings
from imgproxy.formats import SNIFF_BYTES, sniff
from imgproxy.model import Source, SourceRef, StillGood
from imgproxy.origins.landing import seal

if TYPE_CHECKING:
    from imgproxy.model import Deadline
    from imgproxy.origins.fetch import Origins


def _data(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        # Line breaks, as the base64 command makes them, are no part of it.
        body = base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        raise ValueError("expected an image file in base64") from None
    return _image(body)


def _file(value: object) -> object:
    if not value or not isinstance(value, str):
        return value or None
    if not Path(value).is_file():
        raise ValueError(f"there is no file {value}")
    with Path(value).open("rb") as file:
        _image(file.read(SNIFF_BYTES))
    return Path(value)


def _image(body: bytes) -> bytes:
    """The start of a file that is an image, as far as its first bytes tell."""
    if body and sniff(body) is None:
        raise ValueError("expected an image, of a format that is known here")
    return body


Data = Annotated[bytes, BeforeValidator(_data)]
File = Annotated[Path | None, BeforeValidator(_file)]


class ConfiguredSettings(RoomSettings):
    """The watermark and the fallback image: each as data, a file or a URL, the first of them that is given."""

    watermark_data: Data = Field(default=b"", repr=False, description="The watermark, base64-encoded.")
    watermark_path: File = Field(default=None, description="The watermark's file.")
    watermark_url: str = Field(default="", description="The watermark's URL, fetched when it is first needed.")
    fallback_image_data: Data = Field(
        default=b"",
        repr=False,
        description="The image that is answered with when a source cannot be had, base64-encoded.",
    )
    fallback_image_path: File = Field(default=None, description="The fallback image's file.")
    fallback_image_url: str = Field(
        default="", description="The fallback image's URL, fetched when it is first needed."
    )


class ConfiguredPicture:
    """A picture that requests share. Falsy if none is configured."""

    def __init__(self, origins: Origins, data: bytes, path: Path | None, url: str) -> None:
        self._origins = origins
        self._url = url
        self._kept: Source | None = None
        self.identity = url
        """What the picture is, for cache keys: a digest where its bytes are configured, else its URL; empty if none."""
        if body := data or (path.read_bytes() if path else b""):
            self._kept = _in_memory(body)
            self.identity = hashlib.sha256(body).hexdigest()

    def __bool__(self) -> bool:
        return self._kept is not None or bool(self._url)

    async def source(self, deadline: Deadline) -> Source:
        """The picture with a descriptor of the caller's own. Raises ``SourceError`` while its URL does not answer."""
        if self._kept is None:
            # Two first requests may both fetch: the later one's descriptor is closed.
            fetched = await self._origins.fetch(SourceRef(self._url), max_bytes=0, deadline=deadline)
            if isinstance(fetched, StillGood):  # pragma: no cover - only a conditional request is answered with 304
                raise AssertionError("an unconditional fetch gave nothing")
            if self._kept is None:
                self._kept = fetched
            else:
                fetched.close()
        # Opened anew, not duplicated: duplicates share one position, and two render processes would read each
        # other's bytes.
        return replace(self._kept, fd=os.open(f"/proc/self/fd/{self._kept.fd}", os.O_RDONLY | os.O_CLOEXEC))

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def watermark(origins: Origins, settings: ConfiguredSettings) -> ConfiguredPicture:
    """The watermark, as configured."""
    return ConfiguredPicture(origins, settings.watermark_data, settings.watermark_path, settings.watermark_url)


def fallback(origins: Origins, settings: ConfiguredSettings) -> ConfiguredPicture:
    """The fallback image, as configured."""
    return ConfiguredPicture(
        origins, settings.fallback_image_data, settings.fallback_image_path, settings.fallback_image_url
    )


def _in_memory(body: bytes) -> Source:
    fd = os.memfd_create("configured", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, body)
    seal(fd)
    return Source(fd, len(body), url="")
