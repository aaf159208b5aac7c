"""The commands about what is remembered: purge."""

from __future__ import annotations

import http.client
import json
import sys
from dataclasses import dataclass
from typing import Any, cast

import click

from imgproxy.cli.output import fail, request, settings_of


@click.command()
@click.option("--source", help="One picture, by its source URL: every size and format of it.")
@click.option("--prefix", help="All whose source URL begins so.")
@click.option("--tag", help="All with a cache tag: the URL's own (ct:), or host-example.com.")
@click.option("--preset", help="All that a preset shaped.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--soft", is_flag=True, help="Only mark as stale: answered with once more, while it is made anew.")
@click.option("--dry-run", is_flag=True, help="Purge nothing: say what would be.")
@click.option(
    "--admin",
    "admins",
    multiple=True,
    help="Admin listener, http://host:port; that of these settings by default. One reaches all nodes that share a"
    " Redis; without Redis, name each.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def purge(
    source: str | None,
    prefix: str | None,
    tag: str | None,
    preset: str | None,
    admins: tuple[str, ...],
    *,
    everything: bool,
    soft: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Drop cached results, on all nodes and the edge; exit with 1 if a node did not take it.

    imgproxy purge --source https://example.com/a.jpg

    imgproxy purge --tag summer --dry-run
    """
    named = {"source": source, "prefix": prefix, "tag": tag, "preset": preset}
    asked: dict[str, object] = {name: value for name, value in named.items() if value is not None}
    if everything:
        asked["all"] = True
    if len(asked) != 1:
        raise click.UsageError("Name exactly one of --source, --prefix, --tag, --preset and --all.")
    settings = settings_of().admin
    if not (admins or settings.admin_bind):
        fail("Name an admin listener with --admin, or set IMGPROXY_ADMIN_BIND and IMGPROXY_ADMIN_TOKEN.")
    body = asked | ({"soft": True} if soft else {}) | ({"dry_run": True} if dry_run else {})
    token = settings.admin_token.get_secret_value()
    answers = [_ask(admin, body, token) for admin in admins or (settings.admin_bind,)]
    if as_json:
        told = [{"admin": each.admin, "status": each.status, **each.said} for each in answers]
        click.echo(json.dumps({"good": all(each.good for each in answers), "answers": told}, indent=2))
    else:
        for each in answers:
            click.echo(f"{each.admin}: {each.words}", err=not each.good)
    sys.exit(0 if all(each.good for each in answers) else 1)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a node says to a purge."""

    admin: str
    status: int
    """0 without an answer."""
    said: dict[str, Any]

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def words(self) -> str:
        said = self.said
        if "would_purge" in said:
            unknown = [f"{name} is searched only by a purge" for name, count in said["tiers"].items() if count is None]
            return "; ".join((f"would purge {_counted(said['would_purge'], said['tiers'])}", *unknown))
        if "purged" not in said:
            return str(said.get("error", "no answer that is understood"))
        verb = "marked as stale" if said.get("soft") else "purged"
        parts = [f"{verb} {_counted(said['purged'], said['tiers'])}"]
        parts += [f"{name} was not reached" for name, count in said["tiers"].items() if count is None]
        if edges := said.get("edges"):
            parts.append(f"{edges} {'edge' if edges == 1 else 'edges'} told")
        if (told := said.get("nodes_told")) is not None:
            parts.append("the other nodes are told" if told else "the other nodes are told when Redis answers again")
        return "; ".join(parts)


def _counted(entries: int, tiers: dict[str, int | None]) -> str:
    each = ", ".join(f"{count} in {name}" for name, count in tiers.items() if count is not None)
    return f"{entries} {'entry' if entries == 1 else 'entries'}" + (f" ({each})" if each else "")


def _ask(admin: str, body: dict[str, object], token: str) -> _Answer:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        status, text = request("POST", admin.rstrip("/"), "/purge", json.dumps(body).encode(), headers)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _Answer(admin, 0, {"error": f"it does not answer: {error}"})
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return _Answer(admin, status, {"error": text.strip()})
    return _Answer(admin, status, cast("dict[str, Any]", said))
