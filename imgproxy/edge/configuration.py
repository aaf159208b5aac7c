"""nginx's configuration as an edge before the nodes: one record in, the text of every file out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from ipaddress import ip_network
from typing import TYPE_CHECKING, cast

import jinja2

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MODULES = ("/usr/lib/nginx/modules/ndk_http_module.so", "/usr/lib/nginx/modules/ngx_http_lua_module.so")
"""What the Lua code needs of nginx, where Debian puts it."""

_FILES = resources.files("imgproxy.edge") / "nginx"
_LUA = ("edge.lua", "urls.lua", "purges.lua", "json.lua")
_SIZE = re.compile(r"[0-9]+[kKmMgG]?")
_PLACE = re.compile(r"[\w.\-*:\[\]]+|unix:[\w./\-]+")
_FORMS = (
    ("nodes", re.compile(r"(?:[\w.\-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}"), "host:port"),
    ("listen", _PLACE, "a port or address:port"),
    ("purge_listen", _PLACE, "a port or address:port"),
    ("cache_size", _SIZE, "a size such as 512m or 10g"),
    ("min_free", _SIZE, "a size such as 512m or 10g"),
    ("keys_zone", _SIZE, "a size such as 64m"),
    ("inactive", re.compile(r"[0-9]+(?:ms|[smhdwMy])?"), "a time such as 12h or 30d"),
    ("version", re.compile(r"[0-9a-f]{0,32}"), "hexadecimal digits"),
    ("loop_id", re.compile(r"[A-Za-z0-9.-]*"), "letters, digits, hyphens and dots"),
    ("workers", re.compile(r"auto|[1-9][0-9]*"), 'a number or "auto"'),
)
"""What fields have to look like."""

_PLAIN = re.compile(r"[^\x00-\x1f\x7f]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One nginx before the nodes. Paths are those of the machine where it runs; sizes and times as nginx writes them.

    What is about URLs and clients has to be what the nodes' settings say.
    """

    nodes: tuple[str, ...]
    """``host:port`` of each. The same words on every edge: they decide which source goes where."""
    listen: str = "8080"
    purge_listen: str = "127.0.0.1:8090"
    purge_allow: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses and networks that may purge."""
    purge_token: str = ""
    """What purges must bring as ``Authorization: Bearer``; empty for nothing."""

    cache_dir: str = "/var/cache/imgproxy-edge"
    """Exists and belongs to the user that nginx's workers run as. Results and the purges are kept in it."""
    cache_size: str = "10g"
    min_free: str = "1g"
    keys_zone: str = "64m"
    """Memory for keys: 1 MB holds about 8000."""
    inactive: str = "1d"
    """How long a result is kept that nobody asks for; also how old an answer can be that is given while a newer one is
    fetched, so not above the nodes' IMGPROXY_RESULT_CACHE_STALE_WHILE_REVALIDATE."""
    access_log: str = "/dev/stdout"
    error_log: str = "stderr"
    pid: str = "/run/imgproxy-edge.pid"
    temp_dir: str = "/var/cache/imgproxy-edge"
    user: str = ""
    """Whom the workers run as, where nginx is started by root; empty for nginx's default."""
    workers: str = "auto"
    open_files: int = 16384
    """Descriptors for each worker: half of them for connections, an eighth for files that are kept open."""
    file_threads: bool = False
    """Whether files are read in threads: for slow disks. From memory a hit takes twice the processor time then."""
    modules: tuple[str, ...] = MODULES
    lua_path: str = "/usr/share/lua/5.1/?.lua;;"

    timeout: float = 10.0
    """The nodes' IMGPROXY_TIMEOUT."""
    lock_seconds: float = 3.0
    """How long a request waits for another one that wants the same. Longer than nearly all renders."""
    keep_alive: float = 10.0
    """The nodes' IMGPROXY_KEEP_ALIVE_TIMEOUT."""
    path_prefix: str = ""
    health_check_path: str = ""
    arguments_separator: str = ":"
    only_presets: bool = False
    base64_url_includes_filename: bool = False
    base_url: str = ""
    url_replacements: tuple[tuple[str, str], ...] = ()
    formats: tuple[str, ...] = ()
    """Which of "avif" and "webp" nodes choose by Accept."""
    client_hints: bool = False
    authorization: bool = False
    """Whether nodes want an Authorization header (IMGPROXY_SECRET)."""
    version: str = ""
    """A word for the settings of the nodes; part of every key, so that a change of it starts anew."""
    loop_id: str = ""
    """The nodes' name in CDN-Loop: requests that carry it came from them, and are refused. Empty: none are."""
    cdn_tags: bool = False
    """Whether Surrogate-Key and Cache-Tag are passed on, to a CDN before this edge."""

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ValueError("an edge needs nodes to stand before")
        for name, form, expected in _FORMS:
            value = getattr(self, name)
            for each in cast("tuple[str, ...]", value if isinstance(value, tuple) else (value,)):
                if not form.fullmatch(each):
                    raise ValueError(f"{name}: expected {expected}, got {each!r}")
        for network in self.purge_allow:
            ip_network(network, strict=False)

    @property
    def idle_seconds(self) -> float:
        """How long a connection to a node is kept for the next request."""
        return max(self.keep_alive * 0.8, 0.1)

    @property
    def purges_path(self) -> str:
        """Beside the folder of results, not in it: nginx deletes there what it does not know."""
        return f"{self.cache_dir}/purges"

    @property
    def uncached(self) -> tuple[str, ...]:
        """The paths that nodes answer for themselves, and never twice alike."""
        paths = ["/health", "/livez", "/readyz"]
        if self.health_check_path:
            paths.append("/" + self.health_check_path.strip("/"))
        return tuple(dict.fromkeys(prefix + path for prefix in ("", self.path_prefix) for path in paths))


EXAMPLE = Edge(
    nodes=("node1:8080", "node2:8080", "node3:8080"),
    listen="8080",
    purge_listen="8090",
    purge_allow=("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    pid="/var/cache/imgproxy-edge/pid",
    formats=("avif", "webp"),
)
"""The edge of deploy/compose.yaml, which mounts the folder ``nginx/``: ``write(EXAMPLE, Path("nginx"))``."""


def render(edge: Edge) -> dict[str, str]:
    """The files of an edge by their names; they belong into one folder.

    Raises ``ValueError`` for what nginx cannot be told.
    """
    template = _environment().from_string((_FILES / "nginx.conf.j2").read_text(encoding="utf-8"))
    files = {name: (_FILES / name).read_text(encoding="utf-8") for name in _LUA}
    return {"nginx.conf": template.render(edge=edge), "settings.lua": _settings(edge)} | files


def write(edge: Edge, folder: Path) -> None:
    """Put an edge's files into a folder. Only the owner may read them where they hold the token."""
    for name, text in render(edge).items():
        path = folder / name
        # Anew: an older file would keep its mode.
        path.unlink(missing_ok=True)
        path.touch(mode=0o600 if edge.purge_token else 0o644)
        path.write_text(text, encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 - it is no HTML; every value goes through one of the filters
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters.update({"quoted": _quoted, "bare": _bare, "regex": _regex, "seconds": _seconds})  # pyright: ignore[reportUnknownMemberType]
    return environment


def _quoted(text: str) -> str:
    """A text as one parameter of nginx."""
    return f'"{_bare(text)}"'


def _bare(text: str) -> str:
    """A text within the quotes of a parameter."""
    # nginx has no way to write a dollar where it looks for variables.
    if not _PLAIN.fullmatch(text) or "$" in text:
        raise ValueError(f"nginx cannot be told of {text!r}: control characters and $ have no spelling there")
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _regex(text: str) -> str:
    """A text within a quoted regular expression that it matches literally."""
    return _bare(re.escape(text))


def _seconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _settings(edge: Edge) -> str:
    """The Lua module with what the Lua code has to know."""
    fields = {
        "purges_path": edge.purges_path,
        "purge_token": edge.purge_token,
        "path_prefix": edge.path_prefix,
        "arguments_separator": edge.arguments_separator,
        "only_presets": edge.only_presets,
        "base64_url_includes_filename": edge.base64_url_includes_filename,
        "base_url": edge.base_url,
        "url_replacements": [(_pattern(pattern), replacement) for pattern, replacement in edge.url_replacements],
        "formats": list(edge.formats),
        "client_hints": edge.client_hints,
        "authorization": edge.authorization,
        "version": edge.version,
    }
    lines = "".join(f"    {name} = {_lua(value)},\n" for name, value in fields.items())
    return f"-- What the configuration says about URLs and clients; rendered with nginx.conf.\n\nreturn {{\n{lines}}}\n"


def _pattern(text: str) -> str:
    """The regular expression of IMGPROXY_URL_REPLACEMENTS' pattern: ``*`` matches within one path part."""
    return "^" + "([^/]*)".join(map(re.escape, text.split("*")))


def _lua(value: object) -> str:
    """A value as Lua writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # Decimal escapes for all that is not plainly itself: no text can end the string it is in.
            return '"' + re.sub(rb"[^ !#-\[\]-~]", lambda byte: b"\\%03d" % byte[0][0], value.encode()).decode() + '"'
        case list() | tuple():
            return "{" + ", ".join(map(_lua, cast("Iterable[object]", value))) + "}"
        case _:
            raise TypeError(f"no spelling for {value!r}")
