"""The admin listener, as an ASGI application over a node's caches."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr, ValidationError

from imgproxy.web.admin import Admin, AdminSettings
from tests.remembering import Remembering, remembering

URL = "http://example.com/a.png"
TOKEN = "hush"
SETTINGS = AdminSettings(admin_bind="127.0.0.1:1", admin_token=SecretStr(TOKEN))


@pytest_asyncio.fixture
async def node() -> AsyncGenerator[Remembering]:
    async with remembering() as node:
        yield node


async def post(
    node: Remembering, body: object, token: str | None = TOKEN, path: str = "/purge", method: str = "POST"
) -> httpx.Response:
    transport = httpx.ASGITransport(Admin(node.purging, SETTINGS, str))
    headers = {b"Authorization": f"Bearer {token}".encode()} if token is not None else {}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        return await client.request(method, path, content=content, headers=headers)


async def test_a_purge_says_how_many_went(node: Remembering) -> None:
    for size in range(1, 7):
        await node.image(URL, f"w:{size}")
    await node.image("http://example.com/b.png")
    answer = await post(node, {"source": URL})
    assert answer.status_code == 200
    told = answer.json()
    assert told.pop("generation") == node.purges.newest
    assert told == {"purged": 6, "tiers": {"memory": 6}, "edges": 0, "nodes_told": None, "soft": False}
    assert (await post(node, {"all": True, "soft": True})).json()["purged"] == 1
    assert (await post(node, {"tag": "nothing"})).json()["purged"] == 0


async def test_a_dry_run_says_how_many_would_go(node: Remembering) -> None:
    for size in range(1, 4):
        await node.image(URL, f"w:{size}")
    newest = node.purges.newest
    answer = await post(node, {"source": URL, "dry_run": True})
    assert (answer.status_code, answer.json()) == (200, {"would_purge": 3, "tiers": {"memory": 3}})
    assert answer.headers["cache-control"] == "no-store"
    assert (node.memory.entries, node.purges.newest) == (3, newest)
    assert (await post(node, {"source": URL, "soft": True, "dry_run": True})).json()["would_purge"] == 3
    refused = await post(node, {"all": True, "dry_run": "yes"})
    assert (refused.status_code, refused.json()) == (400, {"error": "dry_run: expected true or false"})
    assert (await post(node, {"source": URL, "dry_run": False})).json()["purged"] == 3


@pytest.mark.parametrize("token", [None, "", "hus", "hush ", "other", "Bearer hush", "h\u00fcsh"])
async def test_without_the_token_nothing_happens(node: Remembering, token: str | None) -> None:
    await node.image(URL)
    for path in ("/purge", "/", "/other"):
        answer = await post(node, {"all": True}, token, path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert node.memory.entries == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "expected JSON"),
        (b"{", "expected JSON"),
        (b"\xff", "expected JSON"),
        ([], "expected a JSON object"),
        ("source", "expected a JSON object"),
        ({}, "exactly one of"),
        ({"source": 7}, "expected a text"),
        ({"tag": "a\nb"}, "expected a text"),
        (b'{"source": "\\ud800"}', "expected a text"),
        (b"[" * 60_000, "expected JSON"),
        (b" " * 70_000, "at most 65536 bytes"),
    ],
)
async def test_what_is_wrong_is_said(node: Remembering, body: object, said: str) -> None:
    answer = await post(node, body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


async def test_there_is_nothing_else(node: Remembering) -> None:
    assert (await post(node, {}, path="/other")).status_code == 404
    assert (await post(node, {}, method="GET")).status_code == 405


def test_a_listener_needs_a_token() -> None:
    with pytest.raises(ValidationError, match="needs IMGPROXY_ADMIN_TOKEN"):
        AdminSettings(admin_bind=":1")
    assert AdminSettings().admin_bind == ""


async def test_a_source_is_found_with_and_without_its_escapes(node: Remembering) -> None:
    """Plain sources lose one level of them, base64 ones do not; who purges has the URL as a browser shows it."""
    escaped, plain = "http://example.com/a%20b.png", "http://example.com/a b.png"
    for url in (escaped, plain):
        await node.image(url)
        assert (await post(node, {"source": escaped})).json()["purged"] == 1


@pytest.mark.parametrize("token", ["a b", "line\n", "t\u00f6ken"])
def test_a_token_is_one_word(token: str) -> None:
    with pytest.raises(ValidationError, match="visible ASCII"):
        AdminSettings(admin_bind=":1", admin_token=SecretStr(token))


def test_an_address_is_checked() -> None:
    with pytest.raises(ValidationError, match="admin_bind"):
        AdminSettings(admin_bind="nowhere", admin_token=SecretStr("x"))
