"""What lies below a prefix, and what only looks like it."""

from __future__ import annotations

import pytest

from imgproxy.errors import ImageError
from imgproxy.origins.prefixes import check_prefix, is_below

CDN = "https://cdn.example.com/products/"


@pytest.mark.parametrize(
    ("prefix", "source"),
    [
        (CDN, "https://cdn.example.com/products/a.jpg"),
        (CDN, "https://cdn.example.com/products/deep/er/a b.jpg?v=1#top"),
        (CDN, "https://CDN.Example.com.:443/products/a.jpg"),
        (CDN, "HTTPS://cdn.example.com/products/./a.jpg"),
        (CDN, "https://cdn.example.com/products/x/../a.jpg"),  # resolved before it is compared and fetched
        (CDN, "https://cdn.example.com/products/a..jpg"),
        (CDN, "https://cdn.example.com/products/"),
        ("https://cdn.example.com:443/products/", "https://cdn.example.com/products/a.jpg"),
        ("http://cdn.example.com:8080/", "http://cdn.example.com:8080/a.jpg"),
        ("http://cdn.example.com/", "http://cdn.example.com"),
        ("http://bücher.example/ä b/", "http://xn--bcher-kva.example/%C3%A4%20b/a.jpg"),
        ("http://[2001:db8::1]/", "http://[2001:DB8::1]/a.jpg"),
        ("http://h.test/a*/", "http://h.test/a*/b"),
        ("local:///pictures/", "local:///pictures/a?b#c%.jpg"),
    ],
)
def test_below(prefix: str, source: str) -> None:
    check_prefix(prefix)
    assert is_below(source, prefix)


@pytest.mark.parametrize(
    "source",
    [
        "http://cdn.example.com/products/a.jpg",
        "https://cdn.example.com:8443/products/a.jpg",
        "https://cdn.example.com.evil.test/products/a.jpg",
        "https://evil.test/products/a.jpg",
        "https://evil.test/https://cdn.example.com/products/a.jpg",
        "https://evil.test#https://cdn.example.com/products/a.jpg",
        "https://cdn.example.com@evil.test/products/a.jpg",
        "https://user@cdn.example.com/products/a.jpg",
        "https://user:secret@cdn.example.com/products/a.jpg",
        "https://cdn.example.com/products",
        "https://cdn.example.com/products-secret/a.jpg",
        "https://cdn.example.com/Products/a.jpg",
        "https://cdn.example.com//products/a.jpg",
        "https://cdn.example.com/?/products/a.jpg",
        "https://cdn.example.com/products/../secret",
        "https://cdn.example.com/products/..",
        "https://cdn.example.com/products/%2e%2e/secret",
        "https://cdn.example.com/products/.%2E/secret",
        "https://cdn.example.com/products/..%2fsecret",
        "https://cdn.example.com/products/%2e%2e%2fsecret",
        "https://cdn.example.com/products/..%5csecret",
        "https://cdn.example.com/products/..\\secret",
        "https://cdn.example.com/products/x\\..\\..\\secret",
        "https://cdn.example.com/products/..;/secret",
        "https://cdn.example.com/products/..;x=1/secret",
        "https://cdn.example.com/products/%252e%252e/secret",
        "https://cdn.example.com/products/%25252e%25252e%25252fsecret",
        "https://cdn.example.com/products/..%00/secret",
        "https://cdn.example.com/products/..%20/secret",
        "https://cdn.example.com/products/%09../secret",
        "https://cdn.example.com/products/.../secret",
        "https://cdn.example.com/products/a?b=/../../secret",
        "local:///products/a.jpg",
    ],
)
def test_not_below(source: str) -> None:
    assert not is_below(source, CDN)


@pytest.mark.parametrize("source", ["local:///pictures-of-others/a", "local:///pictures", "http://h/pictures/a"])
def test_not_below_a_local_folder(source: str) -> None:
    assert not is_below(source, "local:///pictures/")


@pytest.mark.parametrize(
    "source",
    [
        "https://cdn.example.com\\@evil.test/products/a.jpg",
        "https://evil.test\\@cdn.example.com/products/a.jpg",
        "https://a@b@cdn.example.com/products/a.jpg",
        "https://cdn.example.com:4_43/products/a.jpg",
        "https:///products/a.jpg",
        "//cdn.example.com/products/a.jpg",
        "products/a.jpg",
        "local:///pictures/../secret",
    ],
)
def test_what_can_be_read_in_two_ways_is_an_error(source: str) -> None:
    with pytest.raises(ImageError):
        is_below(source, CDN)


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("https://cdn.example.com", "slash at the end"),
        ("https://cdn.example.com/products", "slash at the end"),
        ("https://cdn.example.com/products/?v=1/", "slash at the end"),
        ("https://cdn.example.com/products#/", "slash at the end"),
        ("s3://bucket/", "expected scheme://host/folder/"),
        ("products/", "no scheme"),
        ("https:///products/", "no host name"),
        ("https://user:secret@cdn.example.com/", "no user name"),
        ("https://cdn.example.com/a/../", "holds no `..`"),
        ("https://cdn.example.com/a/%2e%2e/", "holds no `..`"),
        ("https://cdn.example.com/\x00/", "cannot be read"),
        ("local://host/", "no host"),
        ("", "no scheme"),
    ],
)
def test_what_is_no_prefix(prefix: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_prefix(prefix)
