"""The commands that look at this machine: doctor, bench."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from imgproxy.cli.output import fail, out, settings_of
from imgproxy.errors import ImageError

if TYPE_CHECKING:
    from imgproxy.doctor import Finding
    from imgproxy.profiling import Profile

_MARKS = {"good": "[green]✓[/]", "warning": "[yellow]![/]", "bad": "[red]✗[/]"}
_WIDEST = 16
"""Characters of a name that the texts beside it are lined up for."""
_QUICK_S, _FULL_S = 2.0, 9.0
"""For each of the three formats; the whole takes a second or two more."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """Say whether a server with these settings would be well here; exit with 1 if something is amiss.

    ✓ is well, ! can be lived with, ✗ is amiss; below stands what to do. Starts a render process and looks how much of
    its sandbox holds; asks Redis and the result store, and for watermark and fallback image.

    IMGPROXY_REDIS_URL=redis://localhost imgproxy doctor
    """
    from imgproxy.doctor import examine  # noqa: PLC0415 - only this command needs all of the server's parts

    async def findings() -> list[Finding]:
        found: list[Finding] = []
        async for finding in examine(settings):
            found.append(finding)
            if not as_json:
                _show(finding)
        return found

    settings = settings_of()
    found = asyncio.run(findings())
    failed = any(each.level == "bad" for each in found)
    if as_json:
        click.echo(json.dumps({"good": not failed, "findings": [each.as_dict() for each in found]}, indent=2))
    else:
        count = {level: sum(each.level == level for each in found) for level in _MARKS}
        out.print(f"\n{count['good']} well, {count['warning']} to be lived with, {count['bad']} amiss")
    sys.exit(1 if failed else 0)


def _show(finding: Finding) -> None:
    name = escape(f"{finding.name:<{_WIDEST}}")
    out.print(f"{_MARKS[finding.level]}  [bold]{name}[/]  {escape(finding.text)}")
    if finding.remedy:
        out.print(f"{'':{_WIDEST + 5}}[yellow]{escape(finding.remedy)}[/]")


@click.command()
@click.option("--quick", is_flag=True, help="Ten seconds instead of half a minute.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(*, quick: bool, as_json: bool) -> None:
    """Measure how many pictures this machine makes, without a server or a network.

    A picture of 2400x1600 like a photograph is made 512 pixels wide by the real render processes, as many at a time as
    IMGPROXY_WORKERS says. Other load on the machine shows.

    imgproxy bench --quick
    """
    from imgproxy.profiling import FORMATS, profile  # noqa: PLC0415 - libvips is loaded here

    settings = settings_of()
    seconds = _QUICK_S if quick else _FULL_S
    console = Console(stderr=True)
    with console.status(f"About {(seconds + 1) * len(FORMATS):.0f} s …") as status:
        try:
            found = asyncio.run(profile(settings, seconds, lambda name: status.update(f"Making {name} …")))
        except (ImageError, OSError) as error:
            fail(f"It could not be measured: {error}")
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _tell(found)


def _tell(found: Profile) -> None:
    out.print(
        f"{found.cores} cores, {found.workers} render {'process' if found.workers == 1 else 'processes'},"
        f" libvips {found.libvips}; from a JPEG of {found.source_bytes / 1000:.0f} kB\n"
    )
    out.print(f"[bold]{'format':8}{'images/s':>10}{'p50':>10}{'p95':>10}{'size':>10}{'peak memory':>14}[/]")
    for each in found.formats:
        out.print(
            f"{each.format:8}{each.per_second:10.1f}{1000 * each.p50_s:7.0f} ms{1000 * each.p95_s:7.0f} ms"
            f"{each.bytes / 1000:7.0f} kB{each.peak_bytes / 1e6:11.0f} MB"
        )
