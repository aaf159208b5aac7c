"""The commands that write and read URLs: sign, explain."""

from __future__ import annotations

import json
import sys

import click

from imgproxy.cli.output import lines_of, out, settings_of


@click.command()
@click.argument("source")
@click.argument("options", nargs=-1)
@click.option("--base", default="", help="Put before the signed path: http://images.example.com")
@click.option("--base64", "encoded", is_flag=True, help="Write the source in base64 instead of plain.")
def sign(source: str, options: tuple[str, ...], base: str, *, encoded: bool) -> None:
    """Sign a source URL with OPTIONS, or a whole path.

    imgproxy sign http://example.com/a.jpg rs:fit:300:300 f:webp

    imgproxy sign /rs:fit:300:300/plain/http://example.com/a.jpg

    The newest key of IMGPROXY_KEY and IMGPROXY_SALT signs.
    """
    from imgproxy.signing import Signer, path_of  # noqa: PLC0415

    settings = settings_of()
    path = source if source.startswith("/") else path_of(source, options, base64=encoded)
    click.echo(base.rstrip("/") + settings.dialect.path_prefix.rstrip("/") + Signer.of(settings.signing).sign(path))


@click.command()
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(url: str, *, as_json: bool) -> None:
    """Say what URL asks for, which key verifies it, and why it fails if it does."""
    from imgproxy.explanation import explain as explain_url  # noqa: PLC0415

    steps = explain_url(url, settings_of())
    failed = any(not step.good for step in steps)
    if as_json:
        click.echo(json.dumps({"good": not failed, "steps": [step.as_dict() for step in steps]}, indent=2))
    else:
        for line in lines_of(steps):
            out.print(line)
    sys.exit(1 if failed else 0)
