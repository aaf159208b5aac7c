"""The commands that run servers: serve, demo, health, version."""

from __future__ import annotations

import http.client
import sys

import click

from imgproxy import __version__
from imgproxy.cli.output import fail, out, request, settings_of
from imgproxy.errors import ImageError


@click.command()
def serve() -> None:
    """Run the server, configured by IMGPROXY_* variables."""
    from imgproxy.app import run  # noqa: PLC0415 - only this command needs the whole server

    settings = settings_of()
    try:
        run(settings)
    except (OSError, ValueError, ImageError) as error:
        fail(f"The server could not start: {error}")


@click.command()
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Port to listen at; a free one, 8080 if it is, by default."
)
def demo(port: int) -> None:
    """Run a server on this machine with sample pictures, a random key and clickable signed URLs."""
    from imgproxy.demo import run  # noqa: PLC0415 - only this command needs the samples

    try:
        run(port, out.print)
    except (OSError, ImageError) as error:
        fail(f"The demo could not start: {error}")


@click.command()
def health() -> None:
    """Ask the server that these settings describe whether it works; exit with 1 if not."""
    try:
        status, text = _ask_health(settings_of().web.bind)
    except (OSError, http.client.HTTPException) as error:
        fail(f"The server does not answer: {error}")
    click.echo(text)
    sys.exit(0 if status == http.client.OK else 1)


def _ask_health(bind: str) -> tuple[int, str]:
    return request("GET", bind, "/health")


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)
