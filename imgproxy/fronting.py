"""The edge that fits a node's settings: what URLs and clients mean has to be the same on both sides."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from imgproxy.edge.configuration import Edge

if TYPE_CHECKING:
    from imgproxy.settings import Settings


def edge_of(settings: Settings, nodes: tuple[str, ...], **given: Any) -> Edge:  # noqa: ANN401 - fields of Edge
    """The edge before ``nodes`` (``host:port``) that run with these settings; ``given`` are further fields of it."""
    negotiation, dialect, web = settings.negotiation, settings.dialect, settings.web
    automatic = {
        "avif": negotiation.auto_avif or negotiation.enforce_avif,
        "webp": negotiation.auto_webp or negotiation.enforce_webp,
    }
    stale = settings.freshness.result_cache_stale_while_revalidate
    told: dict[str, Any] = {
        "version": _version(settings),
        "inactive": f"{max(60, int(stale))}s",
        "purge_token": settings.edge.edge_token.get_secret_value(),
        "timeout": web.timeout,
        "keep_alive": web.keep_alive_timeout,
        "health_check_path": web.health_check_path,
        "path_prefix": dialect.path_prefix,
        "arguments_separator": dialect.arguments_separator,
        "only_presets": dialect.only_presets,
        "base64_url_includes_filename": dialect.base64_url_includes_filename,
        "base_url": dialect.base_url,
        "url_replacements": dialect.url_replacements,
        "formats": tuple(name for name, on in automatic.items() if on),
        "client_hints": negotiation.enable_client_hints,
        "loop_id": settings.loop_id,
        "authorization": bool(web.secret.get_secret_value()),
    }
    return Edge(nodes=nodes, **(told | given))


def _version(settings: Settings) -> str:
    """A digest of all that says which image a URL is, and who may have it: what the edge keeps is for these only."""
    rooms = (settings.signing, settings.plan, settings.negotiation, settings.configured, settings.dialect)
    secrets = settings.web.secret.get_secret_value(), settings.signing.key, settings.signing.salt
    said = (*map(repr, rooms), *map(repr, secrets), repr(settings.origin.allowed_sources), repr(settings.presets))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]
