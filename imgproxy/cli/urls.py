"""The commands that write and read URLs: sign, explain."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from imgproxy.cli.addresses import Addresses, Formats, Widths
from imgproxy.cli.output import fail, lines_of, out, settings_of
from imgproxy.errors import ImageError, UnknownPreset
from imgproxy.formats import AVIF, WEBP, Format
from imgproxy.signing import path_of
from imgproxy.srcset import SrcSet, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgproxy.presets import Presets


@click.command()
@click.argument("source")
@click.argument("options", nargs=-1)
@click.option("--base", default="", help="Put before the signed path: http://images.example.com")
@click.option("--base64", "encoded", is_flag=True, help="Write the source in base64 instead of plain.")
@click.option("--preset", help="A preset, before the OPTIONS.")
@click.option("-w", "--width", type=click.IntRange(1, 65535), default=None, help="Width of the picture, in pixels.")
@click.option("--srcset", "widths", type=Widths(), help="Widths for a srcset: 320,640,960, or `preset` for its own.")
@click.option("--sizes", default="", help='How wide the page shows it: "(min-width: 40em) 50vw, 100vw".')
@click.option("--formats", type=Formats(), help="Formats that --picture and --json offer besides: avif,webp.")
@click.option("--alt", default="", help="Text for those who do not see the picture.")
@click.option("--token", default="", help="A token in the place of signatures: see `imgproxy token`.")
@click.option("--html", "form", flag_value="html", help="Print an <img>.")
@click.option(
    "--picture",
    "form",
    flag_value="picture",
    help="Print a <picture>, in AVIF and WebP besides: the preset leaves `format` open.",
)
@click.option("--json", "form", flag_value="json", help="Print JSON; a line for each source of stdin.")
def sign(
    source: str,
    options: tuple[str, ...],
    base: str,
    preset: str | None,
    width: int | None,
    widths: tuple[int, ...] | None,
    sizes: str,
    formats: tuple[Format, ...] | None,
    alt: str,
    token: str,
    form: str | None,
    *,
    encoded: bool,
) -> None:
    """Sign a source URL with OPTIONS, or a whole path; with `-`, each line of stdin.

    imgproxy sign http://example.com/a.jpg rs:fit:300:300 f:webp

    imgproxy sign /rs:fit:300:300/plain/http://example.com/a.jpg

    imgproxy sign http://example.com/a.jpg --preset card --srcset preset --sizes 50vw --html

    The newest key of IMGPROXY_KEY and IMGPROXY_SALT signs. With --preset, -w, --srcset, --token or a form, URLs that
    this server would refuse are findings (exit code 1).
    """
    settings = settings_of()
    addresses = Addresses(settings, base, token)
    plain = not (preset or width or widths is not None or formats or token or form or sizes or alt)
    if plain:
        _each(source, lambda each: addresses.of(_path(each, options, encoded=encoded)))
        return
    _check_usage(source, preset, widths, only_presets=settings.dialect.only_presets, more=bool(width or formats))
    if widths == ():
        widths = _widths_of(settings.presets, preset or "")
    if form == "picture" and formats is None:
        formats = (AVIF, WEBP)
    segments = (*((addresses.preset(preset),) if preset else ()), *options)
    wanted = Wanted(
        source,
        segments,
        width or 0,
        widths or (),
        formats or (),
        sizes,
        alt,
        settings.dialect.arguments_separator,
        encoded,
    )
    indent = None if source == "-" else 2
    _each(source, lambda each: _in_form(addresses.srcset(replace(wanted, source=each)), form, indent))


def _path(source: str, options: tuple[str, ...], *, encoded: bool) -> str:
    return source if source.startswith("/") else path_of(source, options, base64=encoded)


def _check_usage(
    source: str, preset: str | None, widths: tuple[int, ...] | None, *, only_presets: bool, more: bool
) -> None:
    """Raises ``click.UsageError``."""
    if source.startswith("/"):
        raise click.UsageError("A whole path says all that there is to say: give a source URL.")
    if widths == () and not preset:
        raise click.UsageError("--srcset preset needs a --preset.")
    if only_presets and (more or widths is not None or not preset):
        raise click.UsageError("With IMGPROXY_ONLY_PRESETS, a URL says a --preset, and neither widths nor formats.")


def _widths_of(presets: Presets, name: str) -> tuple[int, ...]:
    try:
        widths = presets.widths(name)
    except UnknownPreset as error:
        fail(f"{error}\n{error.remedy}")
    return widths or fail(f"The preset {name!r} has no widths.")


def _in_form(found: SrcSet, form: str | None, indent: int | None) -> str:
    if form == "json":
        return json.dumps(found.as_dict(), indent=indent)
    if form == "picture":
        return found.picture()
    return found.img() if form == "html" else found.text()


def _each(source: str, written: Callable[[str], str]) -> None:
    """Print what is written for a source, or for each line of stdin; exit with 1 if one of them is refused."""
    failed = False
    for place, each in _lines() if source == "-" else (("", source),):
        try:
            click.echo(written(each))
        except ImageError as error:
            failed = True
            click.echo(f"{place}{error}\n{error.remedy}", err=True)
    if failed:
        sys.exit(1)


def _lines() -> Iterator[tuple[str, str]]:
    """The sources of stdin, each with its place."""
    for number, line in enumerate(sys.stdin, 1):
        if source := line.strip():
            yield f"line {number}: ", source


@click.command()
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(url: str, *, as_json: bool) -> None:
    """Say what URL asks for, which key verifies it, and why it fails if it does.

    imgproxy explain http://images.example.com/unsafe/rs:fit:300:300/plain/http://example.com/a.jpg
    """
    from imgproxy.explanation import explain as explain_url  # noqa: PLC0415

    steps = explain_url(url, settings_of())
    failed = any(not step.good for step in steps)
    if as_json:
        click.echo(json.dumps({"good": not failed, "steps": [step.as_dict() for step in steps]}, indent=2))
    else:
        for line in lines_of(steps):
            out.print(line)
    sys.exit(1 if failed else 0)
