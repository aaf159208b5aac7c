"""From sources to addresses, as settings have them: what the commands that write URLs share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from imgproxy.dialects.imgproxy import Dialect
from imgproxy.formats import BY_NAME, Format
from imgproxy.model import Client, ImageRequest
from imgproxy.negotiation import Negotiator
from imgproxy.planning import Planner
from imgproxy.signing import Signer, path_of
from imgproxy.srcset import Box, SrcSet, Wanted, srcset
from imgproxy.tokens import Tokens

if TYPE_CHECKING:
    from imgproxy.settings import Settings


class Widths(click.ParamType[tuple[int, ...]]):
    """Widths in pixels, separated by commas; or those of the preset, which is an empty tuple."""

    name = "widths"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if value == "preset":
            return ()
        widths = [each.strip() for each in value.split(",")]
        if not all(re.fullmatch("[0-9]{1,5}", each) and 0 < int(each) < 65536 for each in widths):
            self.fail(f"expected widths such as 320,640,960, or the word preset, got {value!r}", param, ctx)
        return tuple(int(each) for each in widths)


class Formats(click.ParamType[tuple[Format, ...]]):
    """Names of formats, separated by commas."""

    name = "formats"

    def convert(
        self, value: str | tuple[Format, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Format, ...]:
        if isinstance(value, tuple):
            return value
        names = [each.strip() for each in value.split(",")]
        if unknown := next((each for each in names if each not in BY_NAME), None):
            self.fail(f"unknown format {unknown!r}; known are {', '.join(BY_NAME)}", param, ctx)
        return tuple(BY_NAME[each] for each in names)


class Addresses:
    """From paths to addresses, as these settings have them. ``token``: in the place of signatures."""

    def __init__(self, settings: Settings, base: str = "", token: str = "") -> None:
        self._before = base.rstrip("/") + settings.dialect.path_prefix.rstrip("/")
        self._token = token
        self._dialect, self._settings = Dialect(settings.dialect), settings
        self._signer = Signer.of(settings.signing)
        self._planner = Planner(
            settings.plan, settings.presets, Negotiator(settings.negotiation), watermark="configured"
        )

    def of(self, path: str) -> str:
        """The address of a path."""
        return self._before + (f"/{self._token}{path}" if self._token else self._signer.sign(path))

    def checked(self, path: str) -> str:
        """The address of a path that this server would serve. Raises ``RequestError`` for another."""
        request = self._request(path)
        if self._token:
            token, _ = Tokens(self._signer.pairs).read(self._token)
            token.check(request, self._settings.presets)
        self._planner.plan(request, Client())
        return self.of(path)

    def srcset(self, wanted: Wanted) -> SrcSet:
        """All addresses of a picture. Raises ``RequestError``."""
        request = self._request(path_of(wanted.source, wanted.options))
        return srcset(wanted, self.checked, Box.of(request.settings, self._settings.presets, request.source.url))

    def preset(self, name: str) -> str:
        """The segment that names a preset."""
        quoted, dialect = quote(name, safe=""), self._settings.dialect
        return quoted if dialect.only_presets else f"pr{dialect.arguments_separator}{quoted}"

    def _request(self, path: str) -> ImageRequest:
        return self._dialect.read(path.encode().decode("latin-1"))
