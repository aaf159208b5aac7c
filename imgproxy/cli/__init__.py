"""The command line, a file for each group of verbs. Bare, it serves."""

from __future__ import annotations

import click

from imgproxy.cli.configured import config
from imgproxy.cli.edge import nginx
from imgproxy.cli.machine import bench, doctor
from imgproxy.cli.pictures import info, render
from imgproxy.cli.presets import presets
from imgproxy.cli.remembered import purge
from imgproxy.cli.serving import demo, health, serve, version
from imgproxy.cli.tokens import token
from imgproxy.cli.urls import explain, sign
from imgproxy.cli.warming import warm

COMMANDS = (
    serve,
    demo,
    sign,
    token,
    explain,
    render,
    info,
    presets,
    warm,
    purge,
    nginx,
    config,
    doctor,
    bench,
    health,
    version,
)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """An image transformation server: a signed URL in, the right image out."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


for each in COMMANDS:
    main.add_command(each)
