"""What all commands share: settings, findings, failures, and requests to a running server."""

from __future__ import annotations

import http.client
import re
import socket
import sys
from contextlib import closing
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from imgproxy.settings import BadSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgproxy.explanation import Step

_PATIENCE_S = 6

# No emoji: the options ct:key:sun are none.
out = Console(highlight=False, soft_wrap=True, emoji=False)


def settings_of() -> Settings:
    try:
        return Settings.read()
    except BadSettings as error:
        fail(f"These settings are wrong:\n{error}")


def fail(text: str) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(1)


def lines_of(steps: list[Step]) -> Iterator[str]:
    """No table: it would fold or cut URLs, which are there to be copied."""
    width = max(len(step.name) for step in steps)
    for step in steps:
        mark = "[green]✓[/]" if step.good else "[red]✗[/]"
        yield f"{mark}  [bold]{step.name:<{width}}[/]  {escape(step.text)}"
        if step.remedy:
            yield f"{'':{width + 5}}[yellow]{escape(step.remedy)}[/]"


def request(
    method: str, address: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Status and text of an answer of the server at ``address``: as in IMGPROXY_BIND, or http(s)://host:port."""
    scheme, _, bind = address.rpartition("://")
    if scheme and not re.search(r":[0-9]+$", bind):
        bind += ":443" if scheme == "https" else ":80"
    host, _, port = ("", "", "80") if bind.startswith("unix:") else bind.rpartition(":")
    host = host.strip("[]")
    host = "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    with closing(kind(host, int(port), timeout=_PATIENCE_S)) as connection:
        if bind.startswith("unix:"):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(_PATIENCE_S)
            connection.sock.connect(bind.removeprefix("unix:"))
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read(4096).decode(errors="replace")
