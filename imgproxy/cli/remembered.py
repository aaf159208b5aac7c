"""The commands about what is remembered: purge."""

from __future__ import annotations

import http.client
import json
import sys

import click

from imgproxy.cli.output import fail, request, settings_of


@click.command()
@click.option("--source", help="One picture, by its source URL: every size and format of it.")
@click.option("--prefix", help="All whose source URL begins so.")
@click.option("--tag", help="All with a cache tag: the URL's own (ct:), or host-example.com.")
@click.option("--preset", help="All that a preset shaped.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--soft", is_flag=True, help="Only mark as stale: answered with once more, while it is made anew.")
@click.option(
    "--admin",
    "admins",
    multiple=True,
    help="Admin listener, http://host:port; that of these settings by default. One reaches all nodes that share a"
    " Redis; without Redis, name each.",
)
def purge(
    source: str | None,
    prefix: str | None,
    tag: str | None,
    preset: str | None,
    admins: tuple[str, ...],
    *,
    everything: bool,
    soft: bool,
) -> None:
    """Drop cached results, on all nodes and the edge.

    imgproxy purge --source https://example.com/a.jpg
    """
    named = {"source": source, "prefix": prefix, "tag": tag, "preset": preset}
    asked: dict[str, object] = {name: value for name, value in named.items() if value is not None}
    if everything:
        asked["all"] = True
    if len(asked) != 1:
        fail("Name exactly one of --source, --prefix, --tag, --preset and --all.")
    settings = settings_of().admin
    if not (admins or settings.admin_bind):
        fail("Name an admin listener with --admin, or set IMGPROXY_ADMIN_BIND and IMGPROXY_ADMIN_TOKEN.")
    body = json.dumps(asked | ({"soft": True} if soft else {})).encode()
    headers = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}", "Content-Type": "application/json"}
    failed = False
    for admin in admins or (settings.admin_bind,):
        try:
            status, text = request("POST", admin.rstrip("/"), "/purge", body, headers)
        except (OSError, ValueError, http.client.HTTPException) as error:
            status, text = 0, f"it does not answer: {error}"
        failed |= not 200 <= status < 300
        click.echo(f"{admin}: {text.strip()}", err=status == 0)
    sys.exit(1 if failed else 0)
