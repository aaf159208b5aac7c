"""The command that fills caches before people come: warm."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from imgproxy.cli.output import fail, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgproxy.settings import Settings
    from imgproxy.warming.collecting import Collected
    from imgproxy.warming.journal import Journal
    from imgproxy.warming.places import Item, Place
    from imgproxy.warming.running import Tally


@click.command()
@click.argument("source", metavar="FILE|SITEMAP|-")
@click.option("--preset", "presets", help="The lines are source URLs: ask for each in these presets: card,hero")
@click.option("--base", help="The server or edge to ask, http(s)://host[:port]; that of these settings by default.")
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(1, 64), help="Requests at a time.")
@click.option("--accept", "accepts", multiple=True, help="Accept header to ask with; repeat it to ask with each.")
@click.option(
    "--resume", type=click.Path(dir_okay=False, path_type=Path), help="File of what is finished: go on there."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def warm(
    source: str,
    presets: str | None,
    base: str | None,
    concurrency: int,
    accepts: tuple[str, ...],
    resume: Path | None,
    *,
    as_json: bool,
) -> None:
    """Ask a running server for images, so that they are there when people come; exit with 1 if some failed.

    FILE has a URL or path on each line, - is standard input. SITEMAP is an .xml or .xml.gz, a file or a URL: its
    images are asked for. With --preset the URLs are those of sources, and signed with the key of these settings. No
    host is asked but that of --base, and that of the sitemap for its sitemaps.

    imgproxy warm urls.txt --base https://img.example.com --resume urls.done

    imgproxy warm https://example.com/sitemap.xml --preset card,hero
    """
    from imgproxy.warming.journal import BadJournal, Journal  # noqa: PLC0415 - only this command needs an HTTP client
    from imgproxy.warming.places import items  # noqa: PLC0415
    from imgproxy.warming.running import Tally  # noqa: PLC0415

    settings = settings_of()
    place = _place(base, settings)
    tally = Tally()
    wanted = list(items(_targets(source, presets, place, settings, tally), accepts))
    tally.total = len(wanted) + tally.failed
    if not tally.total:
        fail("There is nothing to ask for.")
    try:
        journal = Journal(resume, place) if resume else None
    except (OSError, BadJournal) as error:
        fail(str(error))
    with journal or nullcontext():
        if journal is not None:
            tally.finished_before = sum(item in journal for item in wanted)
        began = time.monotonic()
        stopped = _run(wanted, place, tally, settings, concurrency, journal)
        seconds = time.monotonic() - began
    if as_json:
        told = {"good": not (tally.failed or stopped), "stopped": stopped, "seconds": round(seconds, 1)}
        click.echo(json.dumps(told | tally.as_dict(), indent=2))
    else:
        _tell(tally, seconds, stopped=stopped, resume=resume)
    sys.exit(1 if tally.failed or stopped else 0)


def _place(base: str | None, settings: Settings) -> Place:
    from imgproxy.warming.places import BadPlace, Place  # noqa: PLC0415
    from imgproxy.web.listening import Address  # noqa: PLC0415

    if base is None:
        own = Address.parse(settings.web.bind)
        host = "127.0.0.1" if own.host in {"", "0.0.0.0", "::"} else own.host  # noqa: S104 - compared, not bound
        return Place("http", "localhost" if own.path else host, own.port or 80, socket=own.path)
    try:
        return Place.parse(base)
    except BadPlace as error:
        raise click.BadParameter(str(error), param_hint="--base") from None


def _targets(source: str, presets: str | None, place: Place, settings: Settings, tally: Tally) -> Iterator[str]:
    """The targets to ask for; what has none is counted as failed."""
    from imgproxy.signing import Signer  # noqa: PLC0415
    from imgproxy.warming.places import BadPlace, shaped  # noqa: PLC0415

    names = _presets(presets, settings)
    signer, prefix = Signer.of(settings.signing), place.path + settings.dialect.path_prefix.rstrip("/")
    collected = _collected(source, place)
    for url, reason in collected.failures:
        tally.fail(url, 0, reason)
    for url in collected.urls:
        if names:
            yield from shaped(url, names, signer, prefix, only_presets=settings.dialect.only_presets)
            continue
        try:
            yield place.target_of(url)
        except BadPlace as error:
            tally.fail(url, 0, str(error))


def _presets(text: str | None, settings: Settings) -> list[str]:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    for name in names:
        if name not in settings.presets:
            known = ", ".join(settings.presets.names) or "none: set IMGPROXY_PRESETS_DIR"
            raise click.BadParameter(f"no preset is named {name!r}; there are {known}", param_hint="--preset")
    if text is not None and not names:
        raise click.BadParameter("expected names of presets", param_hint="--preset")
    return names


def _read(source: str) -> bytes:
    return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()


def _collected(source: str, place: Place) -> Collected:
    from imgproxy.warming.collecting import collect, is_url  # noqa: PLC0415
    from imgproxy.warming.places import BadPlace  # noqa: PLC0415
    from imgproxy.warming.sitemaps import BadSitemap  # noqa: PLC0415

    try:
        body = None if is_url(source) else _read(source)
        collected = asyncio.run(collect(body, source, place))
    except FileNotFoundError:
        raise click.BadParameter(f"there is no file {source}", param_hint="FILE|SITEMAP|-") from None
    except (OSError, BadSitemap, BadPlace) as error:
        fail(str(error))
    if not collected.urls and collected.pages:
        fail(f"The sitemap lists {collected.pages} pages and no images (image:loc).")
    return collected


def _run(
    wanted: list[Item], place: Place, tally: Tally, settings: Settings, concurrency: int, journal: Journal | None
) -> bool:
    """Ask for everything; whether Ctrl-C ended it."""
    from imgproxy.cli.progress import showing  # noqa: PLC0415
    from imgproxy.warming.asking import Asker  # noqa: PLC0415
    from imgproxy.warming.running import warm as run  # noqa: PLC0415

    async def ask(on_change: Callable[[], object]) -> None:
        secret = settings.web.secret.get_secret_value()
        async with Asker(place, concurrency=concurrency, secret=secret) as asker:
            await run(wanted, asker, tally, concurrency=concurrency, journal=journal, on_change=on_change)

    try:
        with showing(tally, Console(stderr=True)) as on_change:
            asyncio.run(ask(on_change))
    except KeyboardInterrupt:
        return True
    except OSError as error:
        fail(f"What is finished could not be written down: {error}")
    return False


def _tell(tally: Tally, seconds: float, *, stopped: bool, resume: Path | None) -> None:
    out = Console(highlight=False, soft_wrap=True)
    before = f", {tally.finished_before} finished before" if tally.finished_before else ""
    mark = "[red]✗[/]" if tally.failed or stopped else "[green]✓[/]"
    out.print(
        f"{mark}  {tally.done} of {tally.total} done{before}: {tally.done - tally.hits} made, {tally.hits} were there;"
        f" {tally.size / 1e6:.1f} MB in {seconds:.1f} s"
    )
    for count, status, reason, urls in tally.kinds():
        out.print(f"[red]{count:6} failed[/]  {f'{status} ' if status else ''}{escape(reason)}")
        for url in urls:
            out.print(f"{'':15}{escape(url)}")
    if tally.gave_up:
        out.print(f"[yellow]The server does not answer: {tally.total - tally.gone_through} were not asked for.[/]")
    if stopped:
        again = f"go on with --resume {resume}" if resume else "with --resume FILE it could go on where it stopped"
        out.print(f"[yellow]Stopped: {escape(again)}.[/]")
