"""The commands about presets as they are written: presets list, show, check, schema, convert."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgproxy.cli.converting import convert
from imgproxy.cli.output import out, settings_of
from imgproxy.cli.previews import diff, preview
from imgproxy.cli.reading import FOLDER, Finding, files_of, findings_of, presets_of, read_folder, show_findings
from imgproxy.cli.tables import show_rows
from imgproxy.errors import BadOption, ImageError
from imgproxy.model import Client, ImageRequest, SourceRef
from imgproxy.options import CacheTags, Options, Preset, meant
from imgproxy.options.base import Setting
from imgproxy.planning import Planner
from imgproxy.presets import DEFAULT, BadPresets, Presets
from imgproxy.presets.advice import advice
from imgproxy.presets.canaries import settled
from imgproxy.presets.definition import Definition
from imgproxy.presets.schema import schema_text
from imgproxy.presets.tracing import Traced, overridden, trace
from imgproxy.presets.writing import deprecation_of, said_of, table_of
from imgproxy.settings import BadSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def presets() -> None:
    """Look at presets, check them, see what they do to pictures, and convert them.

    DIR is a folder of preset files; without it, the commands look at the presets of these settings, as a server would.
    They exit with 0 if all is well, with 1 if there is something to look at, and with 2 if they were called wrongly.
    """


for each in (preview, diff, convert):
    presets.add_command(each)


@presets.command("list")
@click.argument("folder", metavar="[DIR]", required=False, type=FOLDER)
@_AS_JSON
def list_(folder: Path | None, *, as_json: bool) -> None:
    """List all presets: name, owner, widths, what is special, and what they are for.

    imgproxy presets list presets/
    """
    known, _ = presets_of(folder)
    if as_json:
        click.echo(json.dumps([_summary(known, name) for name in known.names], indent=2))
        return
    rows = [
        (
            name,
            known[name].owner,
            ", ".join(map(str, known.widths(name))),
            "; ".join(_marks(known[name])),
            known[name].description,
        )
        for name in known.names
    ]
    show_rows(("name", "owner", "widths", "", "what it is for"), rows, (bool(known[n].deprecated) for n in known.names))


def _marks(own: Definition) -> Iterator[str]:
    if own.canary is not None:
        yield f"canary {own.canary.share:.0%}"
    if own.deprecated is not None:
        until = f" until {own.deprecated.remove}" if own.deprecated.remove else ""
        yield f"deprecated{until}"


def _summary(known: Presets, name: str) -> dict[str, Any]:
    own = known[name]
    allow = known.allowed(name)
    return {
        "name": name,
        "description": own.description,
        "owner": own.owner,
        "place": own.place,
        "extends": [*own.uses],
        "widths": [*known.widths(name)],
        "allow": None if allow is None else [*allow],
        "canary": None if own.canary is None else own.canary.share,
        "deprecated": None if own.deprecated is None else deprecation_of(own.deprecated),
    }


@presets.command()
@click.argument("name")
@click.argument("folder", metavar="[DIR]", required=False, type=FOLDER)
@_AS_JSON
def show(name: str, folder: Path | None, *, as_json: bool) -> None:
    """Show one preset: all of its options, where each comes from, and its text as a file has it.

    imgproxy presets show product-zoom presets/
    """
    known, _ = presets_of(folder)
    if name not in known:
        instead = meant(name, known.names) or f"; there are {', '.join(known.names) or 'none'}"
        raise click.BadParameter(f"no preset is named {name!r}{instead}", param_hint="NAME")
    names = tuple(dict.fromkeys(each for each in (DEFAULT, name) if each in known))
    traced = [*trace(settled(known), (Setting(Preset, (("names", names),)),))]
    options = Options().merge(each.setting for each in traced)
    if as_json:
        origins = [_origin(each, gone=gone) for each, gone in zip(traced, overridden(traced), strict=True)]
        click.echo(json.dumps({**_summary(known, name), "options": str(options), "from": origins}, indent=2))
        return
    _show_facts(known, name, options)
    rows = [
        (said_of(each.setting), each.preset, each.place, "overridden" if gone else "")
        for each, gone in zip(traced, overridden(traced), strict=True)
    ]
    click.echo()
    show_rows(("option", "set by", "at", ""), rows, overridden(traced))
    click.echo(f"{'' if out.is_terminal else chr(10)}{_text(known[name])}", nl=False)


def _origin(each: Traced, *, gone: bool) -> dict[str, Any]:
    return {"option": said_of(each.setting), "preset": each.preset, "place": each.place, "overridden": gone}


def _show_facts(known: Presets, name: str, options: Options) -> None:
    own = known[name]
    allow = known.allowed(name)
    facts = {
        "owner": own.owner,
        "at": own.place,
        "for": own.description,
        "stands on": ", ".join(own.uses),
        "options": str(options.without(CacheTags)),
        "tags": ", ".join(options[CacheTags].tags),
        "widths": ", ".join(map(str, known.widths(name))),
        "allow": "anything" if allow is None else ", ".join(allow) or "nothing",
        "canary": f"{own.canary.share:.0%} of the sources: {'/'.join(map(said_of, own.canary.settings))}"
        if own.canary
        else "",
        "deprecated": deprecation_of(own.deprecated) if own.deprecated else "",
    }
    out.print(name, style="bold", markup=False)
    for key, text in facts.items():
        if text:
            out.print(f"{key:<10}  {text}", markup=False)


def _text(own: Definition) -> str:
    try:
        return table_of(own)
    except BadOption as error:  # a name, from a line, that no file can have
        return f"# {error}\n"


@presets.command()
@click.argument("folders", metavar="[DIR]...", nargs=-1, type=click.Path(exists=True, path_type=Path))
@_AS_JSON
def check(folders: tuple[Path, ...], *, as_json: bool) -> None:
    """Tell all mistakes in preset files, with file, line and column; exit with 1 if there is one.

    imgproxy presets check presets/

    Of a file, its folder is checked: presets extend those of other files. Warnings do not change the exit code.
    """
    mistakes: list[Finding] = []
    warnings: list[Finding] = []
    total = 0
    for folder in dict.fromkeys(each if each.is_dir() else each.parent for each in folders) or (None,):
        try:
            known, settings = _read(folder)
        except (BadPresets, BadSettings) as error:
            mistakes += findings_of(error)
            continue
        total += len(known.names)
        warnings += map(Finding.of, (*advice(known, datetime.now(UTC).date()), *_unusable(known, settings)))
    if as_json:
        said = {key: [_told(each) for each in those] for key, those in (("mistakes", mistakes), ("warnings", warnings))}
        click.echo(json.dumps({"good": not mistakes, "presets": total, **said}, indent=2))
    else:
        show_findings(mistakes, "red")
        show_findings(warnings, "yellow", "warning: ")
        click.echo(_verdict(total, len(mistakes), len(warnings)), err=True)
    sys.exit(1 if mistakes else 0)


def _read(folder: Path | None) -> tuple[Presets, Settings]:
    """Raises ``BadPresets``, and ``BadSettings`` where the settings' own presets are asked for."""
    if folder is None:
        settings = Settings.read()
        return settings.presets, settings
    if not files_of(folder):
        raise click.UsageError(f"there is no preset file (*.toml) in {folder}")
    settings = settings_of()
    return read_folder(folder, settings.dialect.arguments_separator), settings


def _told(finding: Finding) -> dict[str, Any]:
    return {"file": finding.file, "line": finding.line, "column": finding.column, "text": finding.text}


def _unusable(known: Presets, settings: Settings) -> Iterator[str]:
    """Presets whose every request a server with these settings would refuse."""
    planner = Planner(settings.plan, settled(known))
    for name in known.names:
        try:
            planner.plan(ImageRequest(SourceRef("local:///"), _asking_for(name)), Client())
        except ImageError as error:
            yield f"{known[name].place}: preset {name!r} cannot be used with these settings: {error}"


def _asking_for(name: str) -> tuple[Setting, ...]:
    return () if name == DEFAULT else (Setting(Preset, (("names", (name,)),)),)


def _verdict(total: int, mistakes: int, warnings: int) -> str:
    if mistakes:
        return f"{mistakes} mistake{'s' * (mistakes != 1)}"
    told = f"; {warnings} warning{'s' * (warnings != 1)}" if warnings else ""
    return f"{total} preset{'s' * (total != 1)}, no mistake{told}"


@presets.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, which a schema is anyway.")
def schema(*, as_json: bool) -> None:  # noqa: ARG001 - as all verbs have it
    """Print the JSON Schema of preset files, for editors.

    imgproxy presets schema > presets.schema.json

    A file names it in its first line: #:schema ./presets.schema.json
    """
    click.echo(schema_text(), nl=False)
