"""The settings of the playground, and what is wrong or worrying about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from imgproxy.environment import GoBool, RoomSettings, Words
from imgproxy.fields import is_loopback
from imgproxy.web.listening import Address

if TYPE_CHECKING:
    from imgproxy.web.settings import WebSettings

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


class PlaygroundSettings(RoomSettings):
    """The playground at `/`: a page to try options and presets with. For development; see security.md."""

    playground: GoBool = Field(
        default=False, description="Serve the playground at `/`. It signs what its user asks for: not for the internet."
    )
    playground_hosts: Words = Field(
        default=(),
        description="Hosts, beside localhost and loopback addresses, that the playground may be opened under: "
        "`images.internal`.",
    )
    playground_upload_dir: str = Field(
        default="",
        description="Folder within IMGPROXY_LOCAL_FILESYSTEM_ROOT for files dropped on the playground, which are kept "
        "until the server stops. Empty: none are taken.",
    )

    @field_validator("playground_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"expected names or addresses without scheme, port and path, got {host!r}")
        return tuple(host.lower() for host in hosts)


def mistakes(settings: PlaygroundSettings, local_root: str) -> Iterator[str]:
    """What the server must not start with."""
    folder = settings.playground_upload_dir
    if not settings.playground or not folder:
        return
    if not local_root or not Path(folder).resolve().is_relative_to(Path(local_root).resolve()):
        yield "IMGPROXY_PLAYGROUND_UPLOAD_DIR: expected a folder within IMGPROXY_LOCAL_FILESYSTEM_ROOT"
    elif not Path(folder).is_dir():
        yield f"IMGPROXY_PLAYGROUND_UPLOAD_DIR: there is no folder {folder}"


def warnings(settings: PlaygroundSettings, web: WebSettings, *, signed: bool) -> Iterator[str]:
    """What an operator should know."""
    if settings.playground and signed and not is_private(web.bind):
        yield (
            f"IMGPROXY_PLAYGROUND is on, and the server listens at {web.bind}: whoever reaches it can have "
            "any URL signed; listen at 127.0.0.1, or switch it off"
        )
    if settings.playground and web.secret.get_secret_value():
        yield "IMGPROXY_PLAYGROUND is on, but its page cannot send IMGPROXY_SECRET: it will show no pictures"


def is_private(bind: str) -> bool:
    """Whether only this machine can connect to what listens there."""
    address = Address.parse(bind)
    return bool(address.path) or is_loopback(address.host)
