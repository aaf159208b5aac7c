"""The settings of the origins room: what may be fetched, from where, and how patiently."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from imgproxy import __version__
from imgproxy.environment import GoBool, RoomSettings, Seconds, Words
from imgproxy.origins.allowed import AllowedSources


class OriginSettings(RoomSettings):
    """How sources are fetched."""

    download_timeout: Seconds = Field(
        default=5, gt=0, description="How long fetching one source may take, redirects included."
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

    @field_validator("local_filesystem_root")
    @classmethod
    def _root_exists(cls, root: str) -> str:
        if root and not Path(root).is_dir():
            raise ValueError(f"{root} is not a directory")
        return root
