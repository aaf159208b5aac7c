"""The commands that run servers: serve, demo, health, version."""

from __future__ import annotations

import http.client
import json
import platform
import sys

import click

from imgproxy import __version__
from imgproxy.cli.output import fail, out, request, settings_of
from imgproxy.errors import ImageError


@click.command()
def serve() -> None:
    """Run the server, configured by IMGPROXY_* variables. What `imgproxy` alone does, too.

    IMGPROXY_BIND=:8080 imgproxy serve
    """
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
    """Run a server on this machine with sample pictures, a random key and clickable signed URLs.

    imgproxy demo --port 8080
    """
    from imgproxy.demo import run  # noqa: PLC0415 - only this command needs the samples

    try:
        run(port, out.print)
    except (OSError, ImageError) as error:
        fail(f"The demo could not start: {error}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def health(*, as_json: bool) -> None:
    """Ask the server that these settings describe whether it works; exit with 1 if not.

    IMGPROXY_BIND=:8080 imgproxy health
    """
    bind = settings_of().web.bind
    try:
        status, text = _ask_health(bind)
    except (OSError, http.client.HTTPException) as error:
        status, text = 0, f"The server does not answer: {error}"
    good = status == http.client.OK
    if as_json:
        click.echo(json.dumps({"good": good, "address": bind, "status": status, "text": text}, indent=2))
    else:
        click.echo(text, err=not status)
    sys.exit(0 if good else 1)


def _ask_health(bind: str) -> tuple[int, str]:
    return request("GET", bind, "/health")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: libvips' version and formats, too.")
def version(*, as_json: bool) -> None:
    """Print the version.

    imgproxy version --json
    """
    if not as_json:
        click.echo(__version__)
        return
    from imgproxy.formats import FORMATS  # noqa: PLC0415
    from imgproxy.render.specimen import libvips_version  # noqa: PLC0415 - libvips is loaded here

    told = {
        "version": __version__,
        "python": platform.python_version(),
        "libvips": libvips_version(),
        "reads": [each.name for each in FORMATS if each.readable],
        "writes": [each.name for each in FORMATS if each.writable],
    }
    click.echo(json.dumps(told, indent=2))
