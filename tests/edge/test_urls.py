"""What the edge makes of URLs is what the nodes make of them: source, tags, expiry."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from imgproxy.caches.purges import source_tag, tags_of
from imgproxy.dialects.imgproxy import Dialect, DialectSettings
from imgproxy.edge.configuration import Edge, render
from imgproxy.errors import RequestError
from imgproxy.model import Client
from imgproxy.planning import Planner
from imgproxy.presets import Presets
from imgproxy.signing import KeyPair
from imgproxy.tokens import Token, Tokens
from tests.compat.test_clients import CASES, target
from tests.edge.running import edge_before
from tests.serving import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgproxy.model import Plan

PRESETS = Presets.parse([("test", "thumb=rs:fill:100:100"), ("test", "wm=bl:2"), ("test", "a b;c=bl:3")])
VECTORS = tomllib.loads((Path(__file__).parents[1] / "dialects" / "imgproxy.toml").read_text())["read"]

# A listener that takes settings and a path, and says what Lua finds in the path.
PROBE = """
    server {
        listen 127.0.0.1:%d;
        location / {
            client_body_buffer_size 128k;
            client_max_body_size 128k;
            content_by_lua_block {
                ngx.req.read_body()
                local text, path = string.match(ngx.req.get_body_data(), "^(.-)%%z(.*)$")
                for name, value in pairs(loadstring(text)()) do
                    require("settings")[name] = value
                end
                local found = require("urls").read(path)
                local parts = { found.id, found.expires, tostring(found.vague), tostring(found.foreign) }
                parts[5] = ngx.escape_uri(found.url or "")
                for _, tag in ipairs(found.tags) do
                    parts[#parts + 1] = ngx.escape_uri(tag)
                end
                ngx.print(table.concat(parts, " "))
            }
        }
    }
"""


class Read(NamedTuple):
    """What Lua found."""

    id: str
    expires: int
    vague: bool
    foreign: bool
    url: str
    tags: set[str]


class Probe:
    def __init__(self, server: Server) -> None:
        self._connection = server.connect()

    def close(self) -> None:
        self._connection.close()

    def read(self, path: str, settings: DialectSettings | None = None) -> Read:
        fields = (settings or DialectSettings()).model_dump(exclude={"allowed_processing_options"})
        lua = render(Edge(nodes=("x:1",), **fields))["settings.lua"]
        self._connection.request("POST", "/", lua.encode() + b"\0" + path.encode("latin-1"))
        with self._connection.getresponse() as response:
            assert response.status == 200
            words = response.read().decode().split(" ")
        number, expires, vague, foreign, url, *tags = words
        return Read(
            number, int(float(expires)), vague == "true", foreign == "true", unquote(url), {*map(unquote, tags)}
        )


@pytest.fixture(scope="module")
def probe() -> Iterator[Probe]:
    port = free_port()
    with edge_before(("127.0.0.1:1",), more=PROBE % port, workers="1") as running:
        assert running.process
        with (running.folder / "out").open("rb") as log:
            probe = Probe(Server(running.process, f"127.0.0.1:{port}", log))
            yield probe
            probe.close()


def planned(path: str, settings: DialectSettings) -> Plan:
    dialect = Dialect(settings)
    return Planner(presets=PRESETS).plan(dialect.read(dialect.split(path).path), Client())


def agrees(probe: Probe, path: str, settings: DialectSettings | None = None) -> None:
    """The edge knows of the URL what a node knows, or claims more."""
    settings = settings or DialectSettings()
    plan, found = planned(path, settings), probe.read(path, settings)
    assert found.url == plan.source.url
    assert f"source-{found.id}" == source_tag(plan.source.url)
    assert found.tags >= set(tags_of(plan)) or found.vague
    assert found.expires == plan.delivery.expires
    assert not found.foreign


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.client} {case.path[:40]}")
def test_every_client_is_understood(probe: Probe, case: Any) -> None:
    agrees(probe, target(case), DialectSettings.model_validate(case.settings))


def test_the_vectors_of_the_dialect_hold(probe: Probe) -> None:
    checked = 0
    for vector in VECTORS:
        settings = DialectSettings.model_validate(vector.get("settings", {}))
        if "source" not in vector:
            continue
        path = f"{settings.path_prefix}/sig{vector['path']}"
        found = probe.read(path, settings)
        assert (found.url, f"source-{found.id}") == (vector["source"], source_tag(vector["source"])), vector
        checked += 1
    assert checked > 30


@pytest.mark.parametrize(
    "source",
    [
        "http://example.com/a.jpg",
        "http://user:secret@Example.COM:8080/a.jpg?x=1#y",
        "http://[2001:db8::1]:80/a.jpg",
        "http://bücher.example/ä ö.jpg",
        "http://BÜCHER.example/a.jpg",
        "s3://bucket/a/b c.jpg",
        "local:///a.jpg",
        "http://example.com/%E9%FF\u20ac.jpg",
        "http://example.com/\U0001f600\ud7ff\ue000.jpg",
        "http:///a.jpg",
        "relative/a.jpg",
        "//example.com/a.jpg",
        "http://a@b@example.com/@x",
        "http://example.com",
        "http://ex ample,\".com/'",
        "http://[broken/a.jpg",
    ],
)
def test_all_spellings_of_a_source_are_one(probe: Probe, source: str) -> None:
    escaped = quote(source, safe="")
    encoded = base64.urlsafe_b64encode(source.encode()).decode()
    bare = encoded.rstrip("=")
    spellings = [
        f"/sig/plain/{escaped}",
        f"/sig/w:1/plain/{quote(source, safe=':/')}@png",
        f"/other/rs:fill:1:1/plain/{escaped.lower() if source.islower() and '%' not in source else escaped}@",
        f"/sig/w%3A1/{encoded}",
        f"/sig/w:1//{bare}.webp",
        "/sig/" + "/".join(bare[at : at + 7] for at in range(0, len(bare), 7)),
    ]
    for spelling in spellings:
        agrees(probe, spelling)
    agrees(probe, f"/sig/w:1/{bare}/a%20name.webp", DialectSettings(base64_url_includes_filename=True))
    agrees(probe, f"/sig/thumb:wm/{bare}", DialectSettings(only_presets=True))


def test_bytes_that_are_no_utf8_are_read_as_by_the_nodes(probe: Probe) -> None:
    odd = [
        b"\xe9",
        b"\xe2\x82A",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xf0\x9f\x98",
        b"\xff\xfe\xc3\xa9",
    ]
    for each in odd:
        source = b"http://example.com/" + each + b".jpg"
        agrees(probe, "/sig/plain/http://example.com/" + "".join(f"%{byte:02x}" for byte in each) + ".jpg")
        agrees(probe, "/sig/plain/" + source.decode("latin-1"))
        agrees(probe, "/sig/" + base64.urlsafe_b64encode(source).decode())


def test_tags_and_expiries_are_read(probe: Probe) -> None:
    agrees(probe, "/sig/pr:thumb:a%20b;c/preset:wm/ct:summer%2f24:x/exp:1/exp:4102444800/plain/http://h.test/a")
    agrees(probe, "/sig/cache_tags:one/expires:4102444800/exp:0/ct:two/plain/http://h.test/a")
    found = probe.read("/sig/ct:one:/ct:two/plain/x")
    assert found.tags > {"one", "two"}


TOKENS = Tokens([KeyPair(b"key", b"salt")])


@pytest.mark.parametrize("end", [0, 1, 4102444800, 999999999999])
@pytest.mark.parametrize("settings", [{}, {"path_prefix": "/img"}, {"only_presets": True}])
def test_the_end_of_a_token_is_read(probe: Probe, end: int, settings: dict[str, Any]) -> None:
    known, source = DialectSettings.model_validate(settings), "http://h.test/a/b.jpg"
    for token in (Token.of("thumb", source, end), Token.below("thumb", "http://h.test/a/", end)):
        text = TOKENS.make(token)
        options = ["thumb"] if known.only_presets else ["pr:thumb", "pr:thumb/exp:5", "exp:0/pr:thumb/exp:4102444801"]
        for each in options:
            path = f"{known.path_prefix}/{text}/{each}/plain/{source}"
            found, plan = probe.read(path, known), token.bound(planned(path, known))
            assert found.expires == plan.delivery.expires
            assert found.tags >= set(tags_of(plan))
            assert found.url == source
            assert not found.foreign


@hypothesis_settings(max_examples=80)
@given(st.text("~.0123456789abcdefXYZ-_=%é", max_size=60))
def test_the_edge_reads_whatever_claims_to_be_a_token(probe: Probe, text: str) -> None:
    path = f"/~{text}/pr:thumb/plain/http://h.test/a.jpg".encode().decode("latin-1")
    found = probe.read(path)
    assert (found.url, found.foreign) == ("http://h.test/a.jpg", False)


def test_what_cannot_be_known_is_said(probe: Probe) -> None:
    first, second = (probe.read(f"/sig/w:{width}/enc/Y2lwaGVy/dGV4dA.png") for width in (1, 2))
    assert first.vague
    assert not first.foreign
    assert first.id == second.id
    for path in ("/", "/favicon.ico", "/sig", "/sig/", "/sig/w:1", "/sig/w:1/", "/sig/!!", "/sig/plain/", "", "x"):
        assert probe.read(path).foreign, path
    assert probe.read("/sig/plain/a", DialectSettings(path_prefix="/img")).foreign


PIECES = [
    *(
        "/",
        ":",
        "%3A",
        "plain",
        "enc",
        "@",
        ".",
        "w:1",
        "pr:thumb",
        "exp:9",
        "ct:a",
        "aHR0cDovL2g",
        "=",
        "http:/",
        "http://",
    ),
    *("local:/", "%C3%A9", "%e9", "%09", "h.test", "[", "]", "%", "%2", "-", "_", "//", "\xff", "\xc3\xa9"),
]


@hypothesis_settings(max_examples=150)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.booleans(), st.booleans())
def test_whatever_a_node_reads_the_edge_reads_too(probe: Probe, parts: list[str], named: bool, presets: bool) -> None:
    settings = DialectSettings(base64_url_includes_filename=named, only_presets=presets)
    path = "/sig/" + "".join(parts)
    try:
        planned(path, settings)
    except (RequestError, UnicodeError):
        probe.read(path, settings)  # without an error in Lua
    else:
        agrees(probe, path, settings)
