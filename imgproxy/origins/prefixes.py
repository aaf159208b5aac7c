"""What lies below a prefix: a scheme, a host, a port and a folder, compared by parts and never as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgproxy.errors import ImageError
from imgproxy.origins.allowed import PORTS, climbs, path_of, plain_host
from imgproxy.origins.targets import parse

if TYPE_CHECKING:
    import httpx

_EXPECTED = "expected scheme://host/folder/ or local:///folder/, with a slash at the end"


def check_prefix(prefix: str) -> None:
    """Raise ``ValueError`` for what is no prefix."""
    try:
        url = parse(prefix)
    except ImageError as error:
        raise ValueError(f"{error}: {_EXPECTED}") from None
    if url.scheme not in (*PORTS, "local"):
        raise ValueError(_EXPECTED)
    if url.userinfo:
        raise ValueError("a prefix holds no user name or password: whoever has the token can read it")
    if not prefix.endswith("/") or "?" in prefix or "#" in prefix:
        raise ValueError(_EXPECTED)
    if climbs(prefix):
        raise ValueError("a prefix holds no `..`")


def is_below(source: str, prefix: str) -> bool:
    """Whether a source lies below a prefix, whatever it says of users, ports and ``..``. Raises ``ImageError``."""
    url, folder = parse(source), parse(prefix)
    path = path_of(url)
    return (
        _place(url) == _place(folder)
        and not url.userinfo
        and path.startswith(path_of(folder))
        # Also where the whole host is meant: what an origin makes of `..` there is its own affair, and rarely meant.
        and not climbs(path)
    )


def _place(url: httpx.URL) -> tuple[str, str, int | None]:
    # The port that a scheme has anyway is none to httpx.
    return url.scheme, plain_host(url.raw_host.decode("ascii")), url.port
