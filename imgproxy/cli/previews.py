"""The commands that show what presets do to pictures: presets preview, diff."""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import click
from rich.text import Text

from imgproxy.cli.output import fail, out, settings_of
from imgproxy.cli.reading import FOLDER, presets_of, read_or_fail
from imgproxy.cli.shots import Pair, Shot, Variant, pairs_of, shots_of, variants_of
from imgproxy.presets import Presets
from imgproxy.presets.changes import ADDED, CHANGED, REMOVED, Change, changes

_SAMPLES = ("koi.jpg", "tomatoes.jpg", "logo.png", "screenshot.png")
"""Of the package: a photograph, one on its side, transparency, text."""
_MARKS = {ADDED: "+", REMOVED: "-", CHANGED: "~"}


def _checked(_context: click.Context, _parameter: click.Parameter, samples: tuple[str, ...]) -> tuple[str, ...]:
    for each in samples:
        if "://" not in each and not Path(each).is_file():
            raise click.BadParameter(f"there is no file {each}")
    return samples


_sample = click.option(
    "--sample",
    "samples",
    multiple=True,
    callback=_checked,
    help="A picture, file or URL, that presets are shown on; repeat it.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=FOLDER)
@_sample
@click.option("--preset", "only", multiple=True, help="Show this preset only; repeat it for several.")
@click.option(
    "--out", "path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="sheet.png or .html"
)
@click.option("--html", "as_html", is_flag=True, help="Write a page, whatever the file is called.")
@_as_json
def preview(
    folder: Path | None, samples: tuple[str, ...], only: tuple[str, ...], path: Path, *, as_html: bool, as_json: bool
) -> None:
    """Write a contact sheet of all presets on samples, as a picture or a page; without samples, on those that we ship.

    imgproxy presets preview presets/ --sample cat.jpg --out sheet.png

    imgproxy presets preview presets/ --out sheet.html
    """
    known, settings = presets_of(folder)
    if unknown := {*only} - {*known.names}:
        raise click.BadParameter(f"no preset is named {min(unknown)!r}", param_hint="--preset")
    variants = variants_of(known, only or known.names)
    if not variants:
        fail("There are no presets to show.")
    shots = asyncio.run(shots_of(variants, samples or _shipped(), settings))
    rows = [*zip(variants, shots, strict=True)]
    _write(path, _page("preview.html.j2", rows=_rows(known, rows)) if as_html or _is_page(path) else _sheet(rows))
    failed = [shot for row in shots for shot in row if shot.rendition is None]
    if as_json:
        cells = [{"preset": each.label, **shot.as_dict()} for each, row in rows for shot in row]
        click.echo(json.dumps({"file": str(path), "pictures": cells}, indent=2))
    else:
        click.echo(f"{path}: {len(variants)} presets on {len(shots[0])} samples")
        for each in failed:
            click.echo(f"{each.sample}: {each.error}", err=True)
    sys.exit(1 if failed else 0)


@click.command()
@click.argument("old", type=FOLDER)
@click.argument("new", type=FOLDER)
@_sample
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with the pictures.")
@_as_json
def diff(old: Path, new: Path, samples: tuple[str, ...], page: Path | None, *, as_json: bool) -> None:
    """Tell what is different between two folders of presets, and how it shows; exit with 1 if anything is.

    imgproxy presets diff main/presets/ presets/ --html diff.html
    """
    settings = settings_of()
    before, after = read_or_fail(old, settings), read_or_fail(new, settings)
    found = [*changes(before, after)]
    samples = samples or (_shipped() if page else ())
    pairs = asyncio.run(pairs_of(found, before, after, samples, settings)) if samples else {}
    if page:
        _write(page, _page("diff.html.j2", changes=found, pairs=pairs, old=str(old), new=str(new)))
    if as_json:
        told = [{**asdict(each), "pictures": [pair.as_dict() for pair in pairs.get(each.name, ())]} for each in found]
        click.echo(json.dumps({"changes": told}, indent=2))
    else:
        for each in found:
            _show(each, pairs.get(each.name, ()))
        if not found:
            click.echo("Nothing is different.", err=True)
    sys.exit(1 if found else 0)


def _shipped() -> tuple[str, ...]:
    return tuple(str(files("imgproxy") / "samples" / name) for name in _SAMPLES)


def _is_page(path: Path) -> bool:
    return path.suffix.lower() in {".html", ".htm"}


def _write(path: Path, body: bytes) -> None:
    try:
        path.write_bytes(body)
    except OSError as error:
        fail(str(error))


def _sheet(rows: Sequence[tuple[Variant, Sequence[Shot]]]) -> bytes:
    from imgproxy.render.sheet import Cell, Row, contact_sheet  # noqa: PLC0415 - libvips is loaded here

    def cell(shot: Shot) -> Cell:
        return Cell(shot.shown, shot.caption) if shot.rendition else Cell(b"", shot.error, failed=True)

    columns = [shot.sample for shot in rows[0][1]]
    return contact_sheet(columns, [Row(each.label, each.note, [*map(cell, row)]) for each, row in rows])


def _rows(known: Presets, rows: Sequence[tuple[Variant, Sequence[Shot]]]) -> list[dict[str, Any]]:
    return [
        {"label": each.label, "note": each.note, "options": each.options, "own": each.own, "shots": row}
        | {"widths": known.widths(each.name)}
        for each, row in rows
    ]


def _page(template: str, **given: Any) -> bytes:  # noqa: ANN401 - a template's names
    import jinja2  # noqa: PLC0415 - few commands write pages

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("imgproxy.cli", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = cast("dict[str, Callable[..., Any]]", environment.filters)
    filters["data"] = _data
    return environment.get_template(template).render(**given).encode()


def _data(body: bytes, media_type: str) -> str:
    """A picture within the page."""
    return f"data:{media_type};base64,{b64encode(body).decode()}"


def _show(change: Change, pairs: Sequence[Pair]) -> None:
    colour = {ADDED: "green", REMOVED: "red", CHANGED: "yellow"}[change.kind]
    _say(Text.assemble((f"{_MARKS[change.kind]} {change.name}", f"bold {colour}"), f"  {change.kind}"))
    for each in change.differences:
        arrow = " → ".join(filter(None, (each.old, each.new))) if each.old and each.new else ""
        one = f"+ {each.new}" if each.new else f"- {each.old}"
        _say(Text(f"    {each.what}: {arrow or one}"))
    for pair in pairs:
        shown = " → ".join(shot.caption for shot in (pair.before, pair.after) if shot)
        label = f"{pair.label.removeprefix(change.name).strip()} " if pair.label != change.name else ""
        _say(Text(f"    {label}{pair.sample}: {shown}{'; ' if pair.verdict else ''}{pair.verdict}", "dim"))


def _say(text: Text) -> None:
    out.print(text)
