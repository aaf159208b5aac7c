"""IMGPROXY_ALLOWED_SOURCES: what imgproxy's prefixes mean, without their holes."""

from __future__ import annotations

import pytest

from imgproxy.origins.allowed import AllowedSources
from imgproxy.origins.targets import parse

ALLOWED = [
    # imgproxy's own examples
    ("s3://", "s3://bucket/key"),
    ("https://*.example.com/", "https://images.example.com/a.jpg"),
    ("https://*.example.com/", "https://a.b.example.com/a.jpg"),
    ("local://", "local:///a/b.jpg"),
    ("http://images.dev/*/x/", "http://images.dev/a/x/b.jpg"),
    ("http://example.com", "http://example.com"),
    ("http://example.com", "http://example.com/a.jpg?b"),
    ("http://example.com/", "http://EXAMPLE.com/a.jpg"),
    ("HTTP://Example.COM./", "http://example.com/a.jpg"),
    ("http://example.com/", "http://example.com./a.jpg"),
    ("http://example.com/", "http://user:pass@example.com/a.jpg"),
    ("http://example.com/", "http://example.com:80/a.jpg"),
    ("https://example.com:443/", "https://example.com/a.jpg"),
    ("http://example.com:8080/", "http://example.com:8080/a.jpg"),
    ("http://example.com:*/", "http://example.com:8080/a.jpg"),
    ("http://example.com/data", "http://example.com/data"),
    ("http://example.com/data", "http://example.com/data/a.jpg"),
    ("http://example.com/data", "http://example.com/data?a=b"),
    ("http://example.com/data*", "http://example.com/data-public/a.jpg"),
    ("http://example.com/i?id=", "http://example.com/i?id=7"),
    ("http://*", "http://anything.example/a"),
    ("http*://example.com", "https://example.com/a"),
    ("http://", "http://anything.example:8080/a"),
    ("http://[::1]/", "http://[::1]/a"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/a"),
    ("http://example.com/", "http://example.com/%2e%2e/a"),  # no path to climb out of
    ("local:///public/", "local:///public/a?b#c%.jpg"),
]

REFUSED = [
    ("http://example.com", "http://example.com.evil/"),
    ("http://example.com", "http://example.com@evil/"),
    ("http://example.com", "http://example.com:8080/"),
    ("http://example.com", "http://example.comevil/"),
    ("http://example.com", "https://example.com/"),
    ("http://example.com", "http://evil/example.com"),
    ("http://example.com", "http://evil/http://example.com"),
    ("http://example.com", "http://evil#http://example.com"),
    ("http://*.example.com/", "http://example.com/"),
    ("http://*.example.com/", "http://evil/.example.com/"),
    ("http://*.example.com/", "http://evil?.example.com/"),
    ("http://*.example.com/", "http://a.example.com.evil/"),
    ("http://*.example.com/", "http://a.example.com:8080/"),
    ("http://example.com/data", "http://example.com/data-secret"),
    ("http://example.com/data", "http://example.com/"),
    ("http://example.com/data/", "http://example.com/data"),
    ("http://example.com/data/", "http://example.com/x/data/"),
    ("http://example.com/data/", "http://example.com/data/../secret"),
    ("http://example.com/data/", "http://example.com/data/%2e%2e/secret"),
    ("http://example.com/data/", "http://example.com/data/.%2E/secret"),
    ("http://example.com/data/", "http://example.com/data/..%2Fsecret"),
    ("http://example.com/data/", "http://example.com/data/..%5csecret"),
    ("http://example.com/data/", "http://example.com/data/..;/secret"),
    ("http://example.com/*/public/", "http://example.com/a/b/public/"),
    ("http://example.com/*/public/", "http://example.com/a?/public/"),
    ("http://example.com/i?id=", "http://example.com/i?it=7"),
    ("local:///public/", "local:///secret/a.jpg"),
    ("local:///public", "local:///public-not/a.jpg"),
    ("local://", "http://example.com/"),
    ("http://[::1]/", "http://[::2]/"),
    ("http://a.b/", "http://axb/"),
]


@pytest.mark.parametrize(("pattern", "url"), ALLOWED)
def test_allowed(pattern: str, url: str) -> None:
    assert AllowedSources([pattern]).permit(parse(url))
    assert AllowedSources(["http://other/", pattern]).permit(parse(url))
    assert AllowedSources([]).permit(parse(url))


@pytest.mark.parametrize(("pattern", "url"), REFUSED)
def test_refused(pattern: str, url: str) -> None:
    assert not AllowedSources([pattern]).permit(parse(url))


@pytest.mark.parametrize(
    "pattern",
    ["example.com", "http:example.com", "", "*", "http://user@host/", "http://a b/", "http://a#b"],
)
def test_patterns_that_cannot_be_read(pattern: str) -> None:
    with pytest.raises(ValueError, match="expected scheme://"):
        AllowedSources([pattern])
