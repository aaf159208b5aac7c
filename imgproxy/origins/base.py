"""The settings of the origins room: what may be fetched, from where, and how patiently."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from imgproxy import __version__
from imgproxy.environment import ByteSize, GoBool, RoomSettings, Seconds, Words, one_word
from imgproxy.fields import is_field_value, is_loop_id
from imgproxy.origins.allowed import AllowedSources


def _ports(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = [word.strip() for word in value.split(",") if word.strip()]
    if not all(re.fullmatch(r"[0-9]{1,5}", word) and 0 < int(word) < 65536 for word in words):
        raise ValueError("expected ports from 1 to 65535, separated by commas")
    return frozenset(map(int, words))


Ports = Annotated[frozenset[int], BeforeValidator(_ports)]


class OriginSettings(RoomSettings):
    """How sources are fetched."""

    download_timeout: Seconds = Field(
        default=5, gt=0, description="How long fetching one source may take, redirects included."
    )
    connect_timeout: Seconds = Field(
        default=1,
        gt=0,
        description="How long a connection to an origin may take to come about, TLS included; looking its name up"
        " may take another second.",
    )
    min_download_rate: ByteSize = Field(
        default=10_000,
        ge=0,
        description="Bytes per second, on average, that a source must arrive with after its first second;"
        " a slower one is given up. 0: any rate.",
    )
    origin_share: float = Field(
        default=20,
        gt=0,
        le=100,
        description="Per cent of the places in flight for downloads from one origin (scheme, host and port) that is"
        " slow or not known yet, 4 at least; a fast one gets all but so many. An origin beside which no other is asked"
        " has no such limit.",
    )
    dns_ttl: Seconds = Field(
        default=10,
        ge=5,
        le=60,
        description="How long an address that a name was found to have is taken for new. While name servers do not"
        " answer, it serves for 10 minutes.",
    )
    max_redirects: int = Field(
        default=10, ge=0, description="How many redirects of an origin are followed; 0 follows none."
    )
    allow_loopback_source_addresses: GoBool = Field(
        default=False, description="Fetch from loopback addresses (127.0.0.0/8, ::1)."
    )
    allow_link_local_source_addresses: GoBool = Field(
        default=False,
        description="Fetch from link-local addresses (169.254.0.0/16, fe80::/10)."
        " The addresses of cloud metadata services stay refused.",
    )
    allow_private_source_addresses: GoBool = Field(
        default=False,
        description="Fetch from private addresses"
        " (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7).",
        json_schema_extra={
            "imgproxy": True,
            "why": "whoever can name a source must not reach the internal network by default",
        },
    )
    allowed_sources: Words = Field(
        default=(),
        description="Sources that may be fetched: scheme://host[:port][/path], separated by commas."
        " `*` stands for anything but a slash. Scheme, host and port are compared as a whole, the"
        " path by its parts. Checked again on every redirect. Empty: any source.",
        json_schema_extra={
            "why": "imgproxy compares text, so that http://example.com allows http://example.com.evil,"
            " and does not look at redirects"
        },
    )
    allowed_source_ports: Ports = Field(
        default=frozenset(),
        description="Ports that may be fetched from, separated by commas, redirects included. Empty: all but those that"
        " browsers refuse, and those of databases, queues and control planes (`imgproxy/origins/ports.py`).",
    )
    egress_proxy: SecretStr = Field(
        default=SecretStr(""),
        description="A proxy that all origins are reached through: http://[user:password@]host:port. It must allow"
        " CONNECT to the addresses and ports of origins; names are looked up, and addresses checked, before it"
        " is asked. HTTP_PROXY and the like are never read.",
    )
    loop_id: str = Field(
        default="",
        description="The name of this service in CDN-Loop headers (RFC 8586), by which it knows requests that it made"
        " itself, and refuses them. Empty: derived from the first key and salt.",
    )
    ignore_ssl_verification: GoBool = Field(default=False, description="Accept any TLS certificate of an origin.")
    user_agent: str = Field(default=f"imgproxy/{__version__}", description="The User-Agent header that origins see.")
    local_filesystem_root: str = Field(
        default="", description="The directory that local:///path is read from. Empty: local:// is off."
    )
    source_url_query_separator: str = Field(
        default="?", description="Where the query of a local:// source begins, which is ignored. Empty: it has none."
    )
    client_keep_alive_timeout: Seconds = Field(
        default=90,
        ge=0,
        description="How long an idle connection to an origin is kept open; 0 keeps none.",
    )

    @field_validator("allowed_sources")
    @classmethod
    def _sources_can_be_compared(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        AllowedSources(sources)
        return sources

    @field_validator("egress_proxy")
    @classmethod
    def _proxy_can_be_asked(cls, proxy: SecretStr) -> SecretStr:
        text = one_word(proxy).get_secret_value()
        try:
            url = urlsplit(text)
            usable = url.scheme == "http" and url.hostname and url.port and not (url.query or url.fragment)
            usable = usable and url.path in ("", "/")
        except ValueError:
            usable = False
        if text and not usable:
            raise ValueError("expected http://[user:password@]host:port")
        return proxy

    @field_validator("loop_id")
    @classmethod
    def _loop_id_can_be_sent(cls, name: str) -> str:
        if name and not is_loop_id(name):
            raise ValueError("expected a word of letters, digits, hyphens and dots")
        return name

    @field_validator("user_agent")
    @classmethod
    def _user_agent_can_be_sent(cls, name: str) -> str:
        if not is_field_value(name):
            raise ValueError("expected visible ASCII characters and spaces, without line ends: it is sent as a header")
        return name

    @field_validator("local_filesystem_root")
    @classmethod
    def _root_exists(cls, root: str) -> str:
        if root and not Path(root).is_dir():
            raise ValueError(f"{root} is not a directory")
        return root
