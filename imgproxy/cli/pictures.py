"""The commands that work on pictures without a server: render."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from imgproxy.cli.output import fail, settings_of
from imgproxy.errors import ImageError


@click.command()
@click.argument("source")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("options", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def render(source: str, out: Path, options: tuple[str, ...], *, as_json: bool) -> None:
    """Render SOURCE, a file or a URL, to the file OUT, as a server with these settings would.

    imgproxy render photo.jpg small.webp rs:fit:300:300 q:70
    """
    from imgproxy.rendering import render as render_one  # noqa: PLC0415 - libvips is loaded here

    try:
        rendition = asyncio.run(render_one(source, out, options, settings_of()))
        out.write_bytes(rendition.body)
    except ImageError as error:
        fail(f"{error}\n{error.remedy}")
    except OSError as error:
        fail(str(error))
    if as_json:
        told = {
            "file": str(out),
            "format": rendition.format.name,
            "width": rendition.width,
            "height": rendition.height,
            "frames": rendition.frames,
            "bytes": len(rendition.body),
        }
        click.echo(json.dumps(told, indent=2))
        return
    size = f"{rendition.width}x{rendition.height}"
    frames = f", {rendition.frames} frames" if rendition.frames > 1 else ""
    click.echo(f"{out}: {rendition.format.name} {size}{frames}, {len(rendition.body)} bytes")
