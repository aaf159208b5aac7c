"""The command that writes an edge's configuration: nginx."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from imgproxy.cli.output import fail, settings_of


@click.command()
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def nginx(
    folder: Path,
    nodes: tuple[str, ...],
    purge_allow: tuple[str, ...],
    *,
    as_json: bool,
    **fields: Any,  # noqa: ANN401
) -> None:
    """Write the configuration of an nginx edge into FOLDER, as fits the nodes' settings in the environment.

    imgproxy nginx /etc/imgproxy-edge --node 10.0.0.1:8080 --node 10.0.0.2:8080
    """
    from imgproxy.edge.configuration import write  # noqa: PLC0415 - only this command needs templates
    from imgproxy.fronting import edge_of  # noqa: PLC0415

    if purge_allow:
        fields["purge_allow"] = purge_allow
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(edge_of(settings_of(), nodes, **fields), folder)
    except (OSError, ValueError) as error:
        fail(str(error))
    place = folder.resolve()
    start = f"nginx -p {place}/ -c {place}/nginx.conf"
    if as_json:
        click.echo(json.dumps({"folder": str(place), "start": start}, indent=2))
    else:
        click.echo(f"Written. Start it:  {start}")
