"""imgproxy's URL grammar: ``/<signature>/<options>/<source>`` (spec §1.1-1.4).

A path is handled as text in which each character stands for one byte of the request target (latin-1), because
the signature covers the raw bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from imgproxy.environment import GoBool, RoomSettings, Words
from imgproxy.errors import BadOption, InvalidUrl
from imgproxy.fields import is_path
from imgproxy.formats import BY_NAME
from imgproxy.geometry import Fit
from imgproxy.model import ImageRequest, SourceRef
from imgproxy.options import Options, Raw, ResultFormat, read_segment
from imgproxy.options.base import Setting
from imgproxy.options.values import as_text, from_base64, percent_decoded

# A collapsed "scheme:/x"; "local" has an empty host, so it gets one slash more.
_COLLAPSED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/(?!/)")
_SEPARATOR = re.compile(r"(?:(?![A-Za-z0-9/?#%])[!-~])+")
_REFERENCE = re.compile(r"\$\{([0-9]{1,3})\}")


def _replacements(value: object) -> object:
    """``pattern=replacement;…``: ``*`` matches within one path part, ``${1}`` refers back."""
    if not isinstance(value, str):
        return value
    pairs: list[tuple[str, str]] = []
    for each in filter(None, value.split(";")):
        pattern, equals, replacement = each.partition("=")
        if not equals or not pattern:
            raise ValueError(f'expected "pattern=replacement;…", got {each!r}')
        pairs.append((pattern, replacement))
    return tuple(pairs)


Replacements = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_replacements)]


def _prefix(value: str) -> str:
    """With one slash before it and none behind; empty if there is nothing between."""
    if not is_path(value):
        raise ValueError("expected a path such as /images, without blanks, braces, escapes or a query")
    bare = value.strip("/")
    return f"/{bare}" if bare else ""


def _separator(value: str) -> str:
    if not _SEPARATOR.fullmatch(value):
        raise ValueError(
            "expected one of , ; : ! $ & ' ( ) * + = @ ~ _ - . or several: letters and digits are in names and values,"
            " and / ? # % have a meaning in URLs"
        )
    return value


Prefix = Annotated[str, AfterValidator(_prefix)]
Separator = Annotated[str, AfterValidator(_separator)]


class DialectSettings(RoomSettings):
    """How URLs are written."""

    path_prefix: Prefix = Field(default="", description="Path that all URLs begin with.")
    arguments_separator: Separator = Field(default=":", description="What separates the arguments of an option.")
    base_url: str = Field(default="", description="Put before every source URL that does not begin with it.")
    url_replacements: Replacements = Field(
        default=(),
        description="Rewrites source URLs: `pattern=replacement;…`, `*` within one path part, `${1}` for what it met.",
    )
    base64_url_includes_filename: GoBool = Field(
        default=False,
        description="The last segment of a base64 source is a file name for search engines, and ignored.",
    )
    allowed_processing_options: Words = Field(
        default=(),
        description="Names of options that URLs may use, each spelling by itself; empty for all. Presets are exempt.",
    )
    only_presets: GoBool = Field(
        default=False,
        description="URLs name presets and nothing else: `/<signature>/<preset>:<preset>/<source>`.",
    )


@dataclass(frozen=True, slots=True)
class SignedPath:
    """A request target cut in two, and repaired: what the signature says, and what it covers."""

    signature: str
    path: str
    """With its leading slash."""


class Dialect:
    """imgproxy's grammar as an operator has set it up."""

    def __init__(self, settings: DialectSettings | None = None) -> None:
        self._settings = settings = settings or DialectSettings()
        self._prefix = f"{settings.path_prefix}/"
        self._allowed = frozenset(settings.allowed_processing_options)
        self._replacements = [
            # Each "*" becomes a group that stays within one path part.
            (re.compile("([^/]*)".join(map(re.escape, pattern.split("*")))), replacement)
            for pattern, replacement in settings.url_replacements
        ]

    def split(self, target: str) -> SignedPath:
        """The signature and the repaired path of a raw request target. Raises ``InvalidUrl``."""
        path = target.partition("?")[0]
        if not path.startswith(self._prefix):
            raise InvalidUrl(f"the path does not begin with {self._prefix}")
        signature, _, rest = path.removeprefix(self._prefix).partition("/")
        if not rest:
            raise InvalidUrl("expected /<signature>/<options>/<source>")
        return SignedPath(signature, repair("/" + rest))

    def read(self, path: str) -> ImageRequest:
        """What the path after the signature asks for. Raises ``InvalidUrl`` or ``BadOption``."""
        segments = path.removeprefix("/").split("/")
        if self._settings.only_presets:
            settings = [*read_segment("preset", self._arguments(segments[0]))]
            source = segments[1:]
        else:
            settings, source = self._read_options(segments)
        if not any(source):
            raise InvalidUrl("the source is missing: the path ends with its options")
        url, extension = self._read_source(source)
        # imgproxy does not even look at the extension of a raw source.
        if extension and not Options().merge(settings)[Raw].enabled:
            settings.append(_format(extension))
        return ImageRequest(SourceRef(self.rewritten(url)), tuple(settings))

    @property
    def prefix(self) -> str:
        """What paths begin with before the signature: "/" or "/images/"."""
        return self._prefix

    def cut(self, path: str) -> tuple[list[str], str]:
        """The option segments of a path after the signature, empty ones included, and the source behind them."""
        segments = path.removeprefix("/").split("/")
        ends = [place for place, each in enumerate(segments) if each and len(self._arguments(each)) == 1]
        first = 1 if self._settings.only_presets else next(iter(ends), len(segments))
        return segments[:first], "/".join(segments[first:])

    @property
    def separator(self) -> str:
        return self._settings.arguments_separator

    @property
    def only_presets(self) -> bool:
        return self._settings.only_presets

    def _arguments(self, segment: str) -> list[str]:
        return segment.split(self._settings.arguments_separator)

    def _read_options(self, segments: list[str]) -> tuple[list[Setting], list[str]]:
        """The settings up to the first segment without a separator, and the segments from there on.

        Empty segments are passed over: some clients leave one before the source, and sign it.
        """
        if segments[0] in tuple(Fit):
            raise InvalidUrl("this is the basic URL format, which imgproxy removed; write rs:<type>:<width>:<height>")
        settings: list[Setting] = []
        for place, segment in enumerate(segments):
            if not segment:
                continue
            name, *arguments = self._arguments(segment)
            if not arguments:
                return settings, segments[place:]
            if self._allowed and name not in self._allowed:
                raise BadOption(f"option {name!r} is not among IMGPROXY_ALLOWED_PROCESSING_OPTIONS")
            settings += read_segment(name, arguments)
        return settings, []

    def _read_source(self, segments: list[str]) -> tuple[str, str]:
        if segments[0] == "plain" and len(segments) > 1:
            return _read_plain("/".join(segments[1:]))
        if segments[0] == "enc" and len(segments) > 1:
            raise InvalidUrl("encrypted sources (enc/) are not served here: write plain/<URL> or base64")
        if self._settings.base64_url_includes_filename and len(segments) > 1:
            segments = segments[:-1]
        return _read_base64("".join(segments))

    def rewritten(self, url: str) -> str:
        """A source URL after the operator's replacements, with the base URL before it."""
        for pattern, replacement in self._replacements:
            if match := pattern.match(url):
                url = _filled(replacement, match) + url[match.end() :]
        base = self._settings.base_url
        return url if url.startswith(base) else base + url


def repair(path: str) -> str:
    """Undo what clients and proxies do to paths: ``%3A`` for ":" in the options, "//" of a plain URL collapsed.

    imgproxy: "redenormalise"; only the upper-case ``%3A``, and the signature is computed over the result.
    """
    options, plain, source = path.partition("/plain/")
    match = _COLLAPSED.match(source)
    if match:
        slashes = "///" if match[1] == "local" else "//"
        source = f"{match[1]}:{slashes}{source[match.end() :]}"
    return options.replace("%3A", ":") + plain + source


def _read_plain(text: str) -> tuple[str, str]:
    url, _, extension = text.partition("@")
    if "@" in extension:
        raise InvalidUrl('a plain source may hold one "@", before the format; encode others as %40')
    if not url:
        raise InvalidUrl("the plain source is empty")
    return percent_decoded(url), extension


def _read_base64(text: str) -> tuple[str, str]:
    encoded, _, extension = text.partition(".")
    if "." in extension:
        raise InvalidUrl('a base64 source may hold one ".", before the format')
    try:
        url = as_text(from_base64(encoded))
    except ValueError:
        # Not quoted: it is a source all the same, and this text goes to the log.
        raise InvalidUrl(
            "what follows the options is neither an option (those have arguments), nor plain/<URL>, nor URL-safe base64"
        ) from None
    if not url:
        raise InvalidUrl("the source is empty")
    return url, extension


def _format(extension: str) -> Setting:
    if not extension.isalnum():
        # Not quoted: it is the rest of a source, and this text goes to the log.
        raise BadOption("what follows the last @ is no result format; an @ of the source is written %40")
    if extension not in BY_NAME:
        raise BadOption(f"unknown result format {extension!r}; known are {', '.join(BY_NAME)}")
    return Setting(ResultFormat, (("format", BY_NAME[extension]),))


def _filled(replacement: str, match: re.Match[str]) -> str:
    """The replacement with ``${1}`` and so on filled in; a group that is not there is empty, as in Go."""
    groups = (match[0], *match.groups())
    return _REFERENCE.sub(lambda each: groups[int(each[1])] if int(each[1]) < len(groups) else "", replacement)
