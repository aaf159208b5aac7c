"""The command that shows settings: config."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from dotenv import dotenv_values
from rich.markup import escape

from imgproxy.cli.output import fail, out
from imgproxy.settings import PREFIX, BadSettings, Settings, meant, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgproxy.configuration.effective import Effective, Unknown
    from imgproxy.configuration.moving import Move, Moved
    from imgproxy.settings import Given

_COLOURS = {"same": "green", "not needed": "green", "other default": "yellow"}


@click.command()
@click.option("--changed", is_flag=True, help="Only what differs from its default.")
@click.option("--explain", "explained", metavar="NAME", help="Tell all about one setting.")
@click.option(
    "--from-imgproxy",
    "theirs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar=".env",
    help="Say what becomes of each variable in an env file of imgproxy's, Pro included.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config(*, changed: bool, explained: str | None, theirs: Path | None, as_json: bool) -> None:
    """Show the settings that are in force and where they come from; exit with 1 if something is wrong with them.

    imgproxy config --changed

    imgproxy config --explain workers

    imgproxy config --from-imgproxy .env
    """
    if sum((changed, explained is not None, theirs is not None)) > 1:
        raise click.UsageError("Give one of --changed, --explain and --from-imgproxy.")
    if theirs is not None:
        _move(theirs, as_json=as_json)
    try:
        given = variables()
    except BadSettings as error:
        fail(str(error))
    if explained is not None:
        _explain(explained, given, as_json=as_json)
    else:
        _list(given, changed=changed, as_json=as_json)


def _list(given: Mapping[str, Given], *, changed: bool, as_json: bool) -> None:
    from imgproxy.configuration.effective import effective, unknown  # noqa: PLC0415

    settings = [each for each in effective(given) if each.changed or not changed]
    strangers = list(unknown(given))
    mistakes = _mistakes()
    failed = bool(mistakes) or any(not each.harmless for each in strangers)
    if as_json:
        told: dict[str, Any] = {
            "good": not failed,
            "settings": [each.as_dict() for each in settings],
            "unknown": [each.as_dict() for each in strangers],
            "mistakes": mistakes,
        }
        click.echo(json.dumps(told, indent=2))
    else:
        _show(settings, strangers, mistakes)
    sys.exit(1 if failed else 0)


def _show(settings: list[Effective], strangers: list[Unknown], mistakes: list[str]) -> None:
    width = max((len(each.name) for each in settings), default=0)
    room = ""
    for each in settings:
        if each.room != room:
            out.print(f"[dim]# {each.room}[/]")
            room = each.room
        place = "" if each.place == "default" else f"  [dim]{escape(each.place)}[/]"
        value = f"[bold]{escape(each.value)}[/]" if each.changed else escape(each.value)
        out.print(f"{each.name:<{width}}  {value or '[dim]none[/]'}{place}")
    if not settings:
        out.print("All settings have their defaults.")
    for each in strangers:
        mark = "[yellow]![/]" if each.harmless else "[red]✗[/]"
        out.print(f"{mark}  {escape(each.name)}: {escape(each.text)}")
    for line in mistakes:
        out.print(f"[red]✗[/]  {escape(line)}")


def _mistakes() -> list[str]:
    try:
        Settings.read()
    except BadSettings as error:
        return str(error).splitlines()
    return []


def _explain(name: str, given: Mapping[str, Given], *, as_json: bool) -> None:
    from imgproxy.configuration import incumbent  # noqa: PLC0415
    from imgproxy.configuration.effective import effective  # noqa: PLC0415
    from imgproxy.settings import ROOMS, names  # noqa: PLC0415

    wanted = PREFIX + name.upper().removeprefix(PREFIX)
    spelled = {
        each: all_[0]
        for room in ROOMS.values()
        for all_ in (names(*at) for at in room.model_fields.items())
        for each in all_
    }
    if wanted not in spelled:
        theirs = incumbent.find(wanted.removeprefix(PREFIX))
        close = meant(wanted)
        if theirs is not None:
            fail(f"{wanted} is a setting of imgproxy's; {theirs.fate} here: {theirs.text}")
        hint = f", did you mean {close}?" if close else "; `imgproxy config` lists all"
        raise click.BadParameter(f"{wanted} is not a setting of this server{hint}", param_hint="--explain")
    found = next(each for each in effective(given) if each.name == spelled[wanted])
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
        return
    out.print(f"[bold]{found.name}[/]\n  {escape(found.about)}")
    out.print(f"  value    {escape(found.value) or 'none'}  [dim]({escape(found.place)})[/]")
    out.print(f"  default  {escape(found.default) or 'none'}")
    if found.imgproxy is not None:
        out.print(f"  imgproxy {escape(found.imgproxy)}")
    if found.why:
        out.print(f"  why      {escape(found.why)}")


def _move(path: Path, *, as_json: bool) -> None:
    from imgproxy.configuration.moving import moved  # noqa: PLC0415

    try:
        theirs = {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {error}")
    result = moved(theirs)
    if as_json:
        told = {
            "good": result.good,
            "variables": [each.as_dict() for each in result.moves],
            "other_defaults": [each.as_dict() for each in result.defaults],
            "mistakes": list(result.mistakes),
        }
        click.echo(json.dumps(told, indent=2))
    else:
        _tell(result)
    sys.exit(0 if result.good else 1)


def _tell(result: Moved) -> None:
    def line(move: Move, width: int) -> None:
        colour = _COLOURS.get(move.verdict, "red")
        out.print(f"[{colour}]{move.verdict:<{13}}[/]  {move.name:<{width}}  {escape(move.text)}".rstrip())

    width = max((len(each.name) for each in (*result.moves, *result.defaults)), default=0)
    for each in result.moves:
        line(each, width)
    if not result.moves:
        out.print("There is no variable of imgproxy's in it.")
    for text in result.mistakes:
        out.print(f"[red]refused[/]        {escape(text)}")
    if result.defaults:
        out.print("\nNot set there, and with another default here:")
        for each in result.defaults:
            line(each, width)
    todo = sum(each.bad for each in result.moves) + len(result.mistakes)
    verdict = f"[red]{todo} to look after.[/]" if todo else "[green]It can be used as it is.[/]"
    out.print(f"\n{len(result.moves)} variables: {verdict}")
