"""The command line: serve, demo, sign, explain, render, purge, nginx, doctor, health, version. Bare, it serves."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from imgproxy import __version__
from imgproxy.errors import ImageError
from imgproxy.settings import BadSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgproxy.explanation import Step

_PATIENCE_S = 6

_out = Console(highlight=False, soft_wrap=True)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """An image transformation server: a signed URL in, the right image out."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


@main.command()
def serve() -> None:
    """Run the server, configured by IMGPROXY_* variables."""
    from imgproxy.app import run  # noqa: PLC0415 - only this command needs the whole server

    settings = _settings()
    try:
        run(settings)
    except (OSError, ValueError, ImageError) as error:
        _fail(f"The server could not start: {error}")


@main.command()
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Port to listen at; a free one, 8080 if it is, by default."
)
def demo(port: int) -> None:
    """Run a server on this machine with sample pictures, a random key and clickable signed URLs."""
    from imgproxy.demo import run  # noqa: PLC0415 - only this command needs the samples

    try:
        run(port, _out.print)
    except (OSError, ImageError) as error:
        _fail(f"The demo could not start: {error}")


@main.command()
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

    settings = _settings()
    path = source if source.startswith("/") else path_of(source, options, base64=encoded)
    click.echo(base.rstrip("/") + settings.dialect.path_prefix.rstrip("/") + Signer.of(settings.signing).sign(path))


@main.command()
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(url: str, *, as_json: bool) -> None:
    """Say what URL asks for, which key verifies it, and why it fails if it does."""
    from imgproxy.explanation import explain as explain_url  # noqa: PLC0415

    steps = explain_url(url, _settings())
    failed = any(not step.good for step in steps)
    if as_json:
        click.echo(json.dumps({"good": not failed, "steps": [step.as_dict() for step in steps]}, indent=2))
    else:
        for line in _lines(steps):
            _out.print(line)
    sys.exit(1 if failed else 0)


def _lines(steps: list[Step]) -> Iterator[str]:
    """No table: it would fold or cut URLs, which are there to be copied."""
    width = max(len(step.name) for step in steps)
    for step in steps:
        mark = "[green]✓[/]" if step.good else "[red]✗[/]"
        yield f"{mark}  [bold]{step.name:<{width}}[/]  {escape(step.text)}"
        if step.remedy:
            yield f"{'':{width + 5}}[yellow]{escape(step.remedy)}[/]"


@main.command()
@click.argument("source")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("options", nargs=-1)
def render(source: str, out: Path, options: tuple[str, ...]) -> None:
    """Render SOURCE, a file or a URL, to the file OUT, as a server with these settings would.

    imgproxy render photo.jpg small.webp rs:fit:300:300 q:70
    """
    from imgproxy.rendering import render as render_one  # noqa: PLC0415 - libvips is loaded here

    try:
        rendition = asyncio.run(render_one(source, out, options, _settings()))
        out.write_bytes(rendition.body)
    except ImageError as error:
        _fail(f"{error}\n{error.remedy}")
    except OSError as error:
        _fail(str(error))
    size = f"{rendition.width}x{rendition.height}"
    frames = f", {rendition.frames} frames" if rendition.frames > 1 else ""
    click.echo(f"{out}: {rendition.format.name} {size}{frames}, {len(rendition.body)} bytes")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """Say whether a server with these settings would be well here; exit with 1 if something is amiss.

    Starts a render process and looks how much of its sandbox holds; asks Redis, and for watermark and fallback image.
    """
    from imgproxy.doctor import examine  # noqa: PLC0415 - only this command needs all of the server's parts

    async def findings() -> list[Step]:
        return [step async for step in examine(settings)]

    settings = _settings()
    steps = asyncio.run(findings())
    failed = any(not step.good for step in steps)
    if as_json:
        click.echo(json.dumps({"good": not failed, "findings": [step.as_dict() for step in steps]}, indent=2))
    else:
        for line in _lines(steps):
            _out.print(line)
    sys.exit(1 if failed else 0)


@main.command()
def health() -> None:
    """Ask the server that these settings describe whether it works; exit with 1 if not."""
    try:
        status, text = _ask_health(_settings().web.bind)
    except (OSError, http.client.HTTPException) as error:
        _fail(f"The server does not answer: {error}")
    click.echo(text)
    sys.exit(0 if status == http.client.OK else 1)


def _ask_health(bind: str) -> tuple[int, str]:
    return _request("GET", bind, "/health")


def _request(
    method: str, address: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Status and text of an answer of the server at ``address``: as in IMGPROXY_BIND, or http(s)://host:port."""
    scheme, _, bind = address.rpartition("://")
    if scheme and not re.search(r":[0-9]+$", bind):
        bind += ":443" if scheme == "https" else ":80"
    host, _, port = ("", "", "80") if bind.startswith("unix:") else bind.rpartition(":")
    host = host.strip("[]")
    host = "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    with closing(kind(host, int(port), timeout=_PATIENCE_S)) as connection:
        if bind.startswith("unix:"):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(_PATIENCE_S)
            connection.sock.connect(bind.removeprefix("unix:"))
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read(4096).decode(errors="replace")


@main.command()
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
        _fail("Name exactly one of --source, --prefix, --tag, --preset and --all.")
    settings = _settings().admin
    if not (admins or settings.admin_bind):
        _fail("Name an admin listener with --admin, or set IMGPROXY_ADMIN_BIND and IMGPROXY_ADMIN_TOKEN.")
    body = json.dumps(asked | ({"soft": True} if soft else {})).encode()
    headers = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}", "Content-Type": "application/json"}
    failed = False
    for admin in admins or (settings.admin_bind,):
        try:
            status, text = _request("POST", admin.rstrip("/"), "/purge", body, headers)
        except (OSError, ValueError, http.client.HTTPException) as error:
            status, text = 0, f"it does not answer: {error}"
        failed |= not 200 <= status < 300
        click.echo(f"{admin}: {text.strip()}", err=status == 0)
    sys.exit(1 if failed else 0)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--node", "nodes", multiple=True, required=True, help="host:port of a node; repeat it for each.")
@click.option("--listen", default="8080", show_default=True, help="Where the edge listens, as nginx writes it.")
@click.option("--purge-listen", default="127.0.0.1:8090", show_default=True, help="Where it takes purges from nodes.")
@click.option("--purge-allow", multiple=True, help="Address or network that may purge; repeat it. Loopback by default.")
@click.option("--cache-dir", default="/var/cache/imgproxy-edge", show_default=True)
@click.option("--cache-size", default="10g", show_default=True, help="Disk for results.")
@click.option("--min-free", default="1g", show_default=True, help="Disk that is left free: ten seconds of misses.")
@click.option("--keys-zone", default="64m", show_default=True, help="Memory for keys: 8000 of them in 1 MB.")
@click.option("--user", default="", help="Whom nginx's workers run as.")
@click.option("--cdn-tags", is_flag=True, help="Pass Surrogate-Key and Cache-Tag on, to a CDN before the edge.")
def nginx(folder: Path, nodes: tuple[str, ...], purge_allow: tuple[str, ...], **fields: Any) -> None:  # noqa: ANN401
    """Write the configuration of an nginx edge into FOLDER, as fits the nodes' settings in the environment.

    imgproxy nginx /etc/imgproxy-edge --node 10.0.0.1:8080 --node 10.0.0.2:8080
    """
    from imgproxy.edge.configuration import write  # noqa: PLC0415 - only this command needs templates
    from imgproxy.fronting import edge_of  # noqa: PLC0415

    if purge_allow:
        fields["purge_allow"] = purge_allow
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(edge_of(_settings(), nodes, **fields), folder)
    except (OSError, ValueError) as error:
        _fail(str(error))
    place = folder.resolve()
    click.echo(f"Written. Start it:  nginx -p {place}/ -c {place}/nginx.conf")


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)


def _settings() -> Settings:
    try:
        return Settings.read()
    except BadSettings as error:
        _fail(f"These settings are wrong:\n{error}")


def _fail(text: str) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(1)
