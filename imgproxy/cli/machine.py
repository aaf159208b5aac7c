"""The commands that look at this machine and its settings: doctor."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click

from imgproxy.cli.output import lines_of, out, settings_of

if TYPE_CHECKING:
    from imgproxy.explanation import Step


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """Say whether a server with these settings would be well here; exit with 1 if something is amiss.

    Starts a render process and looks how much of its sandbox holds; asks Redis, and for watermark and fallback image.
    """
    from imgproxy.doctor import examine  # noqa: PLC0415 - only this command needs all of the server's parts

    async def findings() -> list[Step]:
        return [step async for step in examine(settings)]

    settings = settings_of()
    steps = asyncio.run(findings())
    failed = any(not step.good for step in steps)
    if as_json:
        click.echo(json.dumps({"good": not failed, "findings": [step.as_dict() for step in steps]}, indent=2))
    else:
        for line in lines_of(steps):
            out.print(line)
    sys.exit(1 if failed else 0)
