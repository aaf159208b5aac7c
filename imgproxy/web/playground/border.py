"""Who may ask the playground: its own page, under a host that is meant, and nobody else.

It signs, so a page of another site must neither send it requests (CSRF) nor read its answers by having its own name
point here (DNS rebinding). Browsers say truthfully under which name a page was opened (Host, Origin) and whose page it
is that asks (Sec-Fetch-Site); JSON from elsewhere would need a preflight, which nothing here answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from imgproxy.fields import is_loopback

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@]+)(?::[0-9]{1,5})?")


def refusal(headers: Mapping[str, str], hosts: Sequence[str], media_type: str) -> tuple[int, str] | None:
    """Status and reason, if a POST request with these headers is not from the page; else None."""
    if refused := host_refusal(headers, hosts):
        return refused
    if headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        return 415, f"Send Content-Type: {media_type}."
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return 403, "The request comes from another site."
    # Browsers send it with every POST. Behind a proxy that speaks TLS the scheme is not ours.
    if headers.get("origin", "").lower().partition("://")[2] != headers.get("host", "").lower():
        return 403, "The Origin header is missing, or is not this server."
    return None


def host_refusal(headers: Mapping[str, str], hosts: Sequence[str]) -> tuple[int, str] | None:
    """Status and reason, if the page was opened under a name that is not meant; else None."""
    match = _AUTHORITY.fullmatch(headers.get("host", "").lower())
    if match is None or not (is_loopback(match[1]) or match[1] in hosts):
        return 403, "The playground is open under this host only if IMGPROXY_PLAYGROUND_HOSTS names it."
    return None
