"""The command that makes tokens for loaders: token."""

from __future__ import annotations

import json
import re

import click

from imgproxy.cli.addresses import Addresses
from imgproxy.cli.output import fail, settings_of
from imgproxy.clock import unix_seconds
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.errors import UnknownPreset
from imgproxy.signing import Signer, path_of
from imgproxy.tokens import Token, Tokens

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_S = 2**31


class Lifetime(click.ParamType[int]):
    """Seconds, or a number with a unit: 90s, 30m, 12h, 7d, 4w."""

    name = "lifetime"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]{1,10})([smhdw]?)", value)
        seconds = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
        if not 0 < seconds <= _LONGEST_S:
            self.fail(f"expected a lifetime such as 90s, 30m, 12h, 7d or 4w, got {value!r}", param, ctx)
        return seconds


@click.command()
@click.option("--preset", required=True, help="The preset that the token is for.")
@click.option("--source", help="The one picture that it is for, by its URL.")
@click.option("--prefix", help="All pictures below: scheme://host/folder/, with a slash at the end.")
@click.option("--expires", type=Lifetime(), default=0, help="How long it is good: 12h, 7d, 4w. For ever by default.")
@click.option("--base", default="", help="Put before the path in JSON: http://images.example.com")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the token, what it permits, and a URL to fill in.")
def token(preset: str, source: str | None, prefix: str | None, expires: int, base: str, *, as_json: bool) -> None:
    """Make a token that a front end may have: for one preset, of one source or of all below a prefix.

    imgproxy token --preset card --prefix https://cdn.example.com/products/ --expires 7d

    It stands in the place of a signature, /<token>/pr:card/w:640/plain/https://…, and beside the preset such a URL may
    say only what the preset's `widths` and `allow` leave open. The newest key of IMGPROXY_KEY and IMGPROXY_SALT signs.
    """
    if (source is None) == (prefix is None):
        raise click.UsageError("Name one of --source and --prefix.")
    settings = settings_of()
    signer = Signer.of(settings.signing)
    if not signer.pairs:
        fail("No key is configured, so that nothing is checked: set IMGPROXY_KEY and IMGPROXY_SALT.")
    try:
        open_, widths = settings.presets.left_open(preset), settings.presets.widths(preset)
    except UnknownPreset as error:
        fail(f"{error}\n{error.remedy}")
    end = int(unix_seconds()) + expires if expires else 0
    tokens = Tokens(signer.pairs)
    try:
        # What is compared is what will be fetched.
        made = (
            Token.below(preset, prefix, end)
            if prefix is not None
            else Token.of(preset, Dialect(settings.dialect).rewritten(source or ""), end)
        )
        text = tokens.make(made)
    except ValueError as error:
        fail(str(error))
    if not as_json:
        click.echo(text)
        return
    addresses = Addresses(settings, base, text)
    width = f"w{settings.dialect.arguments_separator}{{width}}"
    segments = (addresses.preset(preset), *((width,) if widths and not settings.dialect.only_presets else ()))
    path = path_of(source, segments) if source is not None else f"/{'/'.join(segments)}/plain/{{source}}"
    said = {
        "token": text,
        "preset": preset,
        "source": source,
        "prefix": prefix,
        "expires": end or None,
        "key": tokens.key_ids[-1],
        "widths": widths,
        "allow": open_,
        "url": addresses.of(path),
    }
    click.echo(json.dumps(said, indent=2))
