"""Tokens at a running server: each permits so much and no more, until it ends, or its key or preset goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from imgproxy.signing import KeyPair
from imgproxy.tokens import Token, Tokens
from tests import charts
from tests.serving import KEY, SALT, SIGNER, Server, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

TOKENS = Tokens(SIGNER.pairs)
CARD = """
version = 1
owner = "shop"

[presets.card]
description = "Tile"
resize = { type = "fill", width = 40, height = 20 }
format = "png"
widths = [10, 20, 40]
allow = ["dpr"]
"""
PHOTO = "local:///shop/photo.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("shop", "secret", "presets"):
        (tmp_path / name).mkdir()
    (tmp_path / "shop" / "photo.png").write_bytes(charts.quadrants(60, 40))
    (tmp_path / "secret" / "photo.png").write_bytes(charts.quadrants(60, 40))
    write(tmp_path / "presets" / "shop.toml", CARD)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    write(folder / "env", f"IMGPROXY_KEY={KEY}\nIMGPROXY_SALT={SALT}\n")
    with serving(
        env_local_file_path=str(folder / "env"),
        local_filesystem_root=str(folder),
        presets_dir=str(folder / "presets"),
        ttl="3600",
    ) as it:
        yield it


def write(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def target(token: Token, options: str = "pr:card", source: str = PHOTO, tokens: Tokens = TOKENS) -> str:
    return f"/{tokens.make(token)}/{options}/plain/{source}"


def test_a_loader_fills_in_what_the_preset_leaves_open(server: Server) -> None:
    token = Token.below("card", "local:///shop/")
    for width in (10, 20, 40):
        picture = server.ask(target(token, f"pr:card/w:{width}")).picture
        assert (picture.width, picture.height) == (width, width // 2)
    assert server.ask(target(token, "pr:card/w:10/dpr:2")).picture.width == 20
    assert server.ask(SIGNER.sign(f"/w:33/plain/{PHOTO}")).picture.width == 33, "signatures hold beside tokens"
    for options, source in [
        ("pr:card/w:11", PHOTO),
        ("pr:card/q:1", PHOTO),
        ("w:10", PHOTO),
        ("pr:card", PHOTO + "@webp"),
        ("pr:card", "local:///secret/photo.png"),
        ("pr:card", "local:///shop/../secret/photo.png"),
    ]:
        refused = server.ask(target(token, options, source))
        assert refused.status == 403, (options, source)
        assert "card" not in refused.text, "reasons are for the log"
    assert TOKENS.make(token)[:20] not in server.raw_log


def test_a_token_for_one_source_is_for_no_other(server: Server) -> None:
    token = Token.of("card", PHOTO)
    assert server.ask(target(token, "pr:card/w:20")).status == 200
    assert server.ask(target(token, source="local:///secret/photo.png")).said == (403, "Forbidden")
    assert server.ask(target(token).replace("~", "~0", 1)).said == (403, "Forbidden")


def test_what_memory_has_is_not_given_to_a_token_that_is_over(server: Server) -> None:
    # Half a minute of slack for clocks less a few seconds.
    end = int(time.time()) - 27
    ending = target(Token.of("card", PHOTO, end))
    assert server.ask(ending).status == 200
    while (answer := server.ask(ending)).status == 200:
        assert "hit" in answer.headers["cache-status"]
        assert "max-age=0" in answer.headers["cache-control"] or "no-cache" in answer.headers["cache-control"]
    assert answer.said == (404, "Invalid URL")
    assert time.time() > end + 30
    lasting = server.ask(target(Token.of("card", PHOTO, int(time.time()) + 100)))
    assert lasting.status == 200
    told = int(lasting.headers["cache-control"].partition("max-age=")[2].partition(",")[0])
    assert 90 < told <= 100, "no longer than the token, though IMGPROXY_TTL says an hour"


def test_keys_and_presets_that_go_take_tokens_with_them(server: Server, folder: Path) -> None:
    url = target(Token.of("card", PHOTO), "pr:card/w:20")
    assert server.ask(url).status == 200
    write(folder / "presets" / "shop.toml", CARD.replace("10, 20,", "10,"))
    until(lambda: server.ask(url).status == 403)
    write(folder / "presets" / "shop.toml", CARD.replace("presets.card", "presets.tile"))
    until(lambda: server.ask(url).status == 404)
    write(folder / "presets" / "shop.toml", CARD)
    until(lambda: server.ask(url).status == 200)
    write(folder / "env", f"IMGPROXY_KEY={KEY},aa01\nIMGPROXY_SALT={SALT},01\n")
    newer = Tokens([KeyPair(b"\xaa\x01", b"\x01")])
    until(lambda: server.ask(target(Token.of("card", PHOTO), tokens=newer)).status == 200)
    assert server.ask(url).status == 200
    write(folder / "env", "IMGPROXY_KEY=aa01\nIMGPROXY_SALT=01\n")
    until(lambda: server.ask(url).status == 403)
    assert server.ask(target(Token.of("card", PHOTO), tokens=newer)).status == 200


def test_where_urls_name_presets_only(folder: Path) -> None:
    given = {"presets_dir": str(folder / "presets"), "only_presets": "1", "local_filesystem_root": str(folder)}
    with serving(key=KEY, salt=SALT, **given) as server:
        assert server.ask(target(Token.of("card", PHOTO), "card")).picture.width == 40
        assert server.ask(target(Token.of("card", PHOTO), "card:card")).status == 403
