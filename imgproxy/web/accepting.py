"""What the media ranges of an Accept header (``negotiation.accepts``) ask for, as far as errors care."""

from __future__ import annotations


def wants_problem(ranges: dict[str, float]) -> bool:
    """JSON is named, and liked at least as much as anything for people that is named."""
    json = max(ranges.get("application/problem+json", 0), ranges.get("application/json", 0))
    return json > 0 and json >= max(ranges.get("text/html", 0), ranges.get("text/plain", 0))


def wants_page(ranges: dict[str, float]) -> bool:
    return ranges.get("text/html", 0) > 0


def wants_image(ranges: dict[str, float]) -> bool:
    """Only images are named, as by ``<img>``: ``image/avif,image/webp,*/*;q=0.8``."""
    named = [name for name, weight in ranges.items() if weight > 0 and name != "*/*"]
    # Safari's <img> also names "video/*".
    return any(name.startswith("image/") for name in named) and all(
        name.startswith(("image/", "video/")) for name in named
    )
