"""The commands that work on pictures without a server: render, info."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgproxy.cli.output import fail, settings_of
from imgproxy.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgproxy.render.facts import Facts


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


@click.command()
@click.argument("source")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--all", "everything", is_flag=True, help="Print all EXIF, also where the picture was taken.")
def info(source: str, *, as_json: bool, everything: bool) -> None:
    """Say what SOURCE is, a file or a URL: size, colours, placeholders, EXIF.

    imgproxy info photo.jpg
    """
    from imgproxy.render.facts import SUMMARY  # noqa: PLC0415 - libvips is loaded here
    from imgproxy.rendering import describe  # noqa: PLC0415

    try:
        facts = asyncio.run(describe(source, settings_of()))
    except ImageError as error:
        fail(f"{error}\n{error.remedy}")
    except OSError as error:
        fail(str(error))
    known = dict(facts.exif)
    exif = known if everything else {name: known[name] for name in SUMMARY if name in known}
    if as_json:
        click.echo(json.dumps(_in_json(facts, exif), indent=2))
        return
    for name, text in (*_in_words(facts), *exif.items()):
        # What a file says of itself is not for the terminal to obey.
        click.echo(f"{name:<18} {''.join(each if each.isprintable() else '?' for each in text)}")


def _in_json(facts: Facts, exif: dict[str, str]) -> dict[str, object]:
    """Under imgproxy's names where it has them."""
    return {
        "format": facts.format.name,
        "mime_type": facts.format.media_type,
        "size": facts.bytes,
        "width": facts.width,
        "height": facts.height,
        "orientation": facts.orientation,
        "frames": facts.frames,
        "pages_number": facts.pages,
        "alpha": facts.alpha,
        "bits": facts.bits,
        "colorspace": facts.space,
        "profile": facts.profile,
        "average": facts.average,
        "dominant": facts.dominant,
        "blurhash": facts.blurhash,
        "thumbhash": facts.thumbhash,
        "exif": exif,
    }


def _in_words(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "format", f"{facts.format.name}, {facts.bytes:,} bytes"
    turned = f", turned by EXIF orientation {facts.orientation}" if facts.orientation > 1 else ""
    yield "size", f"{facts.width} x {facts.height}{turned}"
    if facts.frames > 1:
        yield "frames", str(facts.frames)
    if facts.pages > 1:
        yield "pages", str(facts.pages)
    alpha = ", with transparency" if facts.alpha else ""
    yield "colours", f"{facts.space}, {facts.bits} bits a channel{alpha}"
    yield "profile", facts.profile or "none"
    yield "average", facts.average
    yield "dominant", facts.dominant
    yield "blurhash", facts.blurhash
    yield "thumbhash", facts.thumbhash
