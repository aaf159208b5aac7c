import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgproxy.caches.base import TierDown
from imgproxy.caches.connecting import connect, read
from tests.origins.origin import descriptors
from tests.parts import certificate, redis_server


@pytest.mark.parametrize(
    ("url", "kind", "tls", "hosts", "service", "database"),
    [
        ("redis://h", "", False, (("h", 6379),), "", 0),
        ("redis://h:1/2", "", False, (("h", 1),), "", 2),
        ("rediss://[::1]:1", "", True, (("::1", 1),), "", 0),
        ("redis+sentinel://a,b:2/mine", "sentinel", False, (("a", 26379), ("b", 2)), "mine", 0),
        ("rediss+sentinel://a/mine/3", "sentinel", True, (("a", 26379),), "mine", 3),
        ("redis+cluster://a,b:2", "cluster", False, (("a", 6379), ("b", 2)), "", 0),
        ("rediss+cluster://a/0", "cluster", True, (("a", 6379),), "", 0),
    ],
)
def test_urls(url, kind, tls, hosts, service, database):
    address = read(url)
    assert (address.kind, address.tls, address.hosts) == (kind, tls, hosts)
    assert (address.service, address.database) == (service, database)


def test_credentials_are_percent_encoded():
    address = read("redis://me:p%40ss%2F@h?ca=/a%20b.pem")
    assert (address.user, address.password, address.options) == ("me", "p@ss/", {"ca": "/a b.pem"})
    assert read("redis://:secret@h").user is None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "scheme"),
        ("h:6379", "scheme"),
        ("http://h", "scheme"),
        ("redis+magic://h", "scheme"),
        ("redis://", "host"),
        ("redis://h:port", "host or port"),
        ("redis://h:99999", "host or port"),
        ("redis://a,b", "several hosts"),
        ("redis://h/x", "database"),
        ("redis://h/1/2", "database"),
        ("redis://me@h", "password is missing"),
        ("redis+sentinel://h", "service"),
        ("redis+cluster://h/1", "cluster has no databases"),
        ("redis://h?ssl_cert_reqs=none", "option after . is not known"),
        ("rediss://h?ca=/nowhere.pem", "file for TLS"),
    ],
)
def test_mistakes_are_named(url, says):
    with pytest.raises(ValueError, match=says):
        connect(url, timeout=1)


@given(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12),
    st.sampled_from(
        ["redis://u:{}@h:x", "redis://u:{}@/9x", "redis+sentinel://u:{}@h", "foo://u:{}@h", "redis://u:{}@h?x=1"]
    ),
)
@example("a/b", "redis://u:{}@h")
@example("a?b", "redis://u:{}@h")
@example("a#b", "redis://u:{}@h")
def test_no_mistake_tells_the_password(password, url):
    marked = f"QQQ{password}QQQ"
    said = ""
    try:
        read(url.format(marked))
    except ValueError as error:
        said = str(error)
    assert "QQQ" not in said


async def test_tls(tmp_path):
    file = certificate(tmp_path)
    with redis_server(tls=file) as server:
        shards = connect(f"rediss://127.0.0.1:{server.port}?ca={file}", timeout=5)
        assert await shards.call("a", lambda client: client.set("a", "b"))
        assert await shards.call("a", lambda client: client.get("a")) == b"b"
        await shards.aclose()


async def test_tls_with_an_unknown_certificate_is_refused(tmp_path):
    with redis_server(tls=certificate(tmp_path)) as server:
        shards = connect(f"rediss://127.0.0.1:{server.port}", timeout=5)
        with pytest.raises(TierDown, match="certificate"):
            await shards.call("a", lambda client: client.get("a"))
        await shards.aclose()


async def test_a_password_and_a_database():
    with redis_server("--requirepass", "p@ss") as server:
        shards = connect(f"redis://:p%40ss@127.0.0.1:{server.port}/2", timeout=5)
        await shards.call("a", lambda client: client.set("a", "b"))
        assert server.cli("-a", "p@ss", "-n", "2", "GET", "a") == "b"
        await shards.aclose()
        shards = connect(f"redis://:wrong@127.0.0.1:{server.port}", timeout=5)
        with pytest.raises(TierDown, match="AuthenticationError"):
            await shards.call("a", lambda client: client.get("a"))
        await shards.aclose()


async def test_what_was_written_to_a_server_that_hangs_is_not_kept():
    """Neither its connections nor megabytes that it never reads."""
    before = descriptors()
    with redis_server() as server:
        shards = connect(server.url, timeout=0.1)
        server.hang()
        for _ in range(5):
            with pytest.raises(TierDown):
                await shards.call("a", lambda client: client.set("a", bytes(8 << 20)))
        await asyncio.sleep(0)  # sockets are closed in the loop's next turn
        assert descriptors() == before
        server.go_on()
        await shards.aclose()
