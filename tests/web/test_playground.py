"""The playground's page and endpoints, over ASGI."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from imgproxy.dialects.imgproxy import Dialect, DialectSettings
from imgproxy.explanation import explain
from imgproxy.options import Options
from imgproxy.settings import BadSettings, Settings
from imgproxy.signing import Signer
from imgproxy.web.ops import Ops
from imgproxy.web.playground import POLICY, Example, Playground
from imgproxy.web.playground.uploads import LARGEST, MOST, Uploads
from imgproxy.web.playground.urls import Rules, parsed, signed, target_of
from imgproxy.web.settings import WebSettings
from tests import charts
from tests.compat.test_clients import CASES, KEY, SALT, Case, signature
from tests.web.border import images, reply

HOST = "http://localhost"
SHOP = """version = 1
owner = "shop"

[presets.tile]
description = "A tile"
resize = { type = "fill", width = 320, height = 320 }
widths = [160, 320]
allow = ["width", "quality"]

[presets.old]
alias = "tile"
deprecated = { note = "use tile" }
"""
NEWS = """version = 1
owner = "news"

[presets.hero]
description = "A hero"
resize = { type = "fill", width = 1600, height = 686 }
gravity = "smart"
"""
EXAMPLES = (Example("local:///koi.jpg", "rs:fill:480:320", "a fish"),)


def settings(folder: Path, **given: str) -> Settings:
    presets = folder / "presets"
    presets.mkdir(exist_ok=True)
    (presets / "shop.toml").write_text(SHOP)
    (presets / "news.toml").write_text(NEWS)
    named = {"key": KEY, "salt": SALT, "playground": "1", "presets_dir": str(presets)} | given
    return Settings.read({f"IMGPROXY_{name.upper()}": value for name, value in named.items()})


def rules(given: Settings) -> Rules:
    def steps(url: str) -> list[dict[str, Any]]:
        return [step.as_dict() for step in explain(url, given)]

    return Rules(given.dialect, Signer.of(given.signing), given.preset, given.presets, steps)


async def probe(_deadline: object) -> None:
    """A pool that is always well."""


def ops(given: Settings, uploads: Uploads | None = None, *, on: bool = True) -> Ops:
    playground = Playground(given.playground, rules(given), EXAMPLES, uploads) if on else None
    return Ops(images(reply()), WebSettings(), probe, path_prefix=given.dialect.path_prefix, playground=playground)


def client(app: Ops, host: str = HOST) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=host, headers={"origin": host})


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client(ops(settings(tmp_path))) as asking:
        yield asking


async def ask(page: httpx.AsyncClient, name: str, question: object) -> Any:
    answer = await page.post(f"/playground/{name}", json=question)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


# --- the page


async def test_off_there_is_nothing_of_it(tmp_path: Path) -> None:
    app = ops(settings(tmp_path), on=False)
    async with client(app) as asking:
        assert "It works." in (await asking.get("/")).text
        assert not any("playground" in path for path in app.paths)
        answer = await asking.post("/playground/sign", json={"requests": []})
        # An image's path, as any other.
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_the_page_is_small_and_loads_nothing_else(page: httpx.AsyncClient) -> None:
    waiting, size, seen = ["/"], 0, set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        answer = await page.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        seen.add(path)
        size += len(answer.content)
        found = re.findall(r'(?:href|src)="(playground/[^"]+)"|from "\./([^"]+)"', answer.text)
        waiting += {f"/playground/{(one or other).removeprefix('playground/')}" for one, other in found} - seen
        assert "http://" not in answer.text.replace("http://www.w3.org", "").replace("http://…", "")
        assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=\"", answer.text)
    assert len(seen) == 9
    assert size < 100_000
    assert "unsafe" not in POLICY


async def test_files_have_tags(page: httpx.AsyncClient) -> None:
    first = await page.get("/playground/app.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = await page.get("/playground/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await page.head("/")).status_code == 200


async def test_it_is_also_below_the_path_prefix(tmp_path: Path) -> None:
    async with client(ops(settings(tmp_path, path_prefix="/img"))) as asking:
        assert "playground" in (await asking.get("/img/")).text
        assert (await asking.get("/img/playground/app.js")).status_code == 200
        told = await asking.post("/img/playground/sign", json={"requests": [{"source": "local:///a.jpg"}]})
        assert told.json()["signed"][0]["url"].startswith("/img/")


# --- who may ask


@pytest.mark.parametrize("name", ["start", "sign", "parse", "explain", "check", "drop"])
async def test_other_sites_get_nothing(page: httpx.AsyncClient, name: str) -> None:
    media_type = {"content-type": "application/octet-stream" if name == "drop" else "application/json"}
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}):
        answer = await page.post(f"/playground/{name}", content=b"{}", headers=media_type | headers)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    simple = await page.post(f"/playground/{name}", content=b"{}", headers={"content-type": "text/plain"})
    assert simple.status_code == 415
    assert (await page.get(f"/playground/{name}")).status_code == 405
    assert (await page.options(f"/playground/{name}")).status_code == 405


async def test_the_page_is_not_shown_under_another_name(page: httpx.AsyncClient) -> None:
    assert (await page.get("/", headers={"host": "evil.example"})).status_code == 403


async def test_named_hosts_are_let_in(tmp_path: Path) -> None:
    async with client(ops(settings(tmp_path, playground_hosts="img.test")), "https://img.test:8443") as asking:
        assert (await asking.post("/playground/start", json={})).status_code == 200


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("sign", b"{", 400),
        ("sign", b"[" * 100_000, 400),
        ("sign", b"[]", 400),
        ("sign", b"{}", 400),
        ("sign", b'{"requests": [1]}', 400),
        ("sign", b'{"requests": [{}]}', 400),
        ("sign", b'{"requests": [{"source": "local:///a", "values": 1}]}', 400),
        ("sign", b'{"requests": [' + b"1," * 400 + b"1]}", 400),
        ("parse", b'{"url": 1}', 400),
        ("parse", b'{"url": "\\ud800"}', 400),
        ("check", b'{"file": "a", "text": "", "sources": 1}', 400),
        ("sign", b" " * 600_000, 413),
    ],
)
async def test_what_makes_no_sense_is_refused(page: httpx.AsyncClient, name: str, body: bytes, status: int) -> None:
    answer = await page.post(f"/playground/{name}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]


# --- what it answers


async def test_the_start(page: httpx.AsyncClient) -> None:
    told = await ask(page, "start", {})
    assert {each["name"]: each["owner"] for each in told["presets"]} == {"hero": "news", "old": "shop", "tile": "shop"}
    tile = next(each for each in told["presets"] if each["name"] == "tile")
    assert (tile["file"], tile["widths"], tile["allow"]) == ("shop.toml", [160, 320], ["width", "quality"])
    assert tile["options"] == "rs:fill:320:320"
    assert told["files"] == [{"name": "news.toml", "text": NEWS}, {"name": "shop.toml", "text": SHOP}]
    assert told["examples"][0]["url"].endswith("/rs:fill:480:320/plain/local:///koi.jpg")
    assert told["uploads"] is False
    assert KEY not in str(told)


async def test_signed_urls_are_good(page: httpx.AsyncClient) -> None:
    values = {"resize": {"type": "fill", "width": 300, "height": 200}, "blur": 2, "quality": 40}
    told = await ask(page, "sign", {"requests": [{"source": "local:///koi.jpg", "values": values}]})
    (it,) = told["signed"]
    path = "/rs:fill:300:200/bl:2/q:40/plain/local:///koi.jpg"
    assert it["url"] == f"/{signature(path)}{path}"
    assert it["before"].endswith("/rs:fill:300:200/f:png/plain/local:///koi.jpg")
    assert "/" + "/".join(part["text"] for part in it["parts"]) == it["url"]
    assert [part["kind"] for part in it["parts"]] == ["signature", "option", "option", "option", "source"]
    assert it["parts"][2]["help"].startswith("sigma 2 px. Blur the result")


async def test_a_preset_keeps_what_the_form_does_not_say(page: httpx.AsyncClient) -> None:
    values = {"preset": ["tile"], "resize": {"width": 160}}
    told = await ask(page, "sign", {"requests": [{"source": "local:///koi.jpg", "values": values}]})
    assert "/pr:tile/w:160/plain/" in told["signed"][0]["url"]
    assert "/rs:fill:160:160/f:png/plain/" in told["signed"][0]["before"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"quality": 300}, "quality: expected a whole number"),
        ({"preset": ["nil"]}, "no preset is named 'nil'"),
        ({"preset": ["tile"], "blur": 3}, "preset 'tile' leaves these options open to URLs: width, quality"),
    ],
)
async def test_reasons_are_told_at_their_request(page: httpx.AsyncClient, values: object, reason: str) -> None:
    good = {"source": "local:///koi.jpg"}
    told = await ask(page, "sign", {"requests": [{"source": "local:///koi.jpg", "values": values}, good]})
    assert told["signed"][0]["error"].startswith(reason)
    assert "url" in told["signed"][1]


def in_words_of(case: Case, tmp_path: Path) -> Rules:
    lines = "thumb=rs:fill:100:100,wm=bl:2"
    separator = case.settings.get("arguments_separator")
    given = {"presets": lines.replace(":", separator), "presets_separator": ";"} if separator else {"presets": lines}
    given = {name: value.replace(",wm=", ";wm=") if separator else value for name, value in given.items()}
    return rules(settings(tmp_path, signature_size=str(case.size), **given, **case.settings))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.client} {case.path}")
def test_urls_of_real_clients_come_back_from_the_form(case: Case, tmp_path: Path) -> None:
    its = in_words_of(case, tmp_path)
    prefix = case.settings.get("path_prefix", "")
    url = f"https://cdn.example.com{prefix}/{case.signed or signature(case.path, case.size)}{case.path}"
    told = parsed(its, url)
    assert told["source"] == case.source
    assert bool(case.signed) is ("good" not in str(told["signature"]))
    values = told["values"]
    assert isinstance(values, dict)
    again = str(signed(its, case.source, values)["url"])
    assert "good" in str(parsed(its, again)["signature"])
    # A preset behind options overrides them; in the form it comes first, and that is told.
    behind = "/resize:fill:300:200/preset:" in case.path
    assert told["exact"] is not behind
    assert (options(its, again) == options(its, url)) is not behind


def options(its: Rules, url: str) -> Options:
    dialect = Dialect(its.dialect)
    request = dialect.read(dialect.split(target_of(url)).path)
    return Options().merge(its.presets.resolve(request.settings).asked)


async def test_a_wrong_signature_is_no_obstacle(page: httpx.AsyncClient) -> None:
    path = "/w:300/plain/http://src.test/cat.jpg"
    told = await ask(page, "parse", {"url": f"http://x/wrong{path}"})
    assert told["values"] == {"resize": {"width": 300}}
    assert "another key or salt" in told["signature"]
    forgotten = await ask(page, "parse", {"url": path})
    assert forgotten["values"] == {"resize": {"width": 300}}
    assert "looks like an option" in forgotten["signature"]


async def test_an_order_that_the_form_has_not_is_told(page: httpx.AsyncClient) -> None:
    first = await ask(page, "parse", {"url": "/s/rs:fill:100:100/pr:hero/plain/local:///a"})
    assert first["exact"] is False
    assert (await ask(page, "parse", {"url": "/s/pr:hero/q:5/plain/local:///a"}))["exact"] is True


async def test_no_url_at_all(page: httpx.AsyncClient) -> None:
    told = await ask(page, "parse", {"url": "https://example.com/"})
    assert told["error"] == "expected /<signature>/<options>/<source>"
    assert told["remedy"]


async def test_explanations(page: httpx.AsyncClient) -> None:
    path = "/w:300/plain/local:///koi.jpg"
    told = await ask(page, "explain", {"url": f"/wrong{path}"})
    assert told["good"] is False
    assert [step["good"] for step in told["steps"]] == [False, True]
    # The origin is not set up here: a good signature would not be enough.
    assert told["corrected"] is None
    outside = "/w:300/plain/https://example.com/koi.jpg"
    for url in (f"https://x.test/wrong{outside}", outside):
        corrected = (await ask(page, "explain", {"url": url}))["corrected"]
        assert corrected == f"/{signature(outside)}{outside}"
        good = await ask(page, "explain", {"url": corrected})
        assert (good["good"], good["corrected"]) == (True, None)
    misspelt = await ask(page, "explain", {"url": "https://x.test/wrong/witdh:300/plain/https://example.com/koi.jpg"})
    assert misspelt["corrected"].endswith("/width:300/plain/https://example.com/koi.jpg")
    for hopeless in ("/wrong", "/wrong/w:x/plain/https://example.com/a"):
        assert (await ask(page, "explain", {"url": hopeless}))["corrected"] is None


# --- presets while they are edited


async def test_mistakes_have_places(page: httpx.AsyncClient) -> None:
    text = SHOP.replace("resize =", "resiz =").replace('alias = "tile"', 'alias = "tiles"')
    told = await ask(page, "check", {"file": "shop.toml", "text": text, "sources": []})
    assert told["presets"] == []
    assert told["errors"][0] == {
        "file": "shop.toml",
        "line": 6,
        "column": 1,
        "text": "unknown key 'resiz', did you mean 'resize'?",
    }
    assert {each["line"] for each in told["errors"]} == {6, 10}
    broken = await ask(page, "check", {"file": "shop.toml", "text": "version = ", "sources": []})
    assert (broken["errors"][0]["line"], len(broken["errors"])) == (1, 1)


async def test_a_name_of_another_file_is_a_mistake(page: httpx.AsyncClient) -> None:
    text = SHOP + '\n[presets.hero]\ndescription = "mine"\nblur = 1\n'
    (error,) = (await ask(page, "check", {"file": "shop.toml", "text": text, "sources": []}))["errors"]
    assert error["text"].startswith("preset 'hero' is already defined at news.toml")


async def test_mistakes_elsewhere_have_no_place(tmp_path: Path) -> None:
    given = settings(tmp_path, presets="thumb=w:1")
    async with client(ops(given)) as asking:
        text = SHOP + '\n[presets.thumb]\ndescription = "mine"\nblur = 1\n'
        told = await ask(asking, "check", {"file": "shop.toml", "text": text, "sources": []})
        assert told["errors"][0]["text"].endswith("already defined at IMGPROXY_PRESETS, preset 1")
        (tmp_path / "presets" / "news.toml").write_bytes(b"\xff")
        told = await ask(asking, "check", {"file": "shop.toml", "text": SHOP, "sources": []})
        assert told["errors"][0]["line"] == 0
        assert told["errors"][0]["text"].endswith("is not UTF-8 text")


async def test_edits_are_ordinary_urls(page: httpx.AsyncClient) -> None:
    text = SHOP.replace("width = 320", "width = 100") + '\n[presets.new]\ndescription = "new"\nblur = 1\n'
    told = await ask(page, "check", {"file": "shop.toml", "text": text, "sources": ["local:///koi.jpg"]})
    assert told["errors"] == []
    assert {each["name"]: each["changed"] for each in told["presets"]} == {"new": True, "old": True, "tile": True}
    tile = told["presets"][2]
    assert (tile["running"], tile["edited"]) == ("rs:fill:320:320", "rs:fill:100:320")
    (view,) = tile["views"]
    assert view["running"].endswith("/rs:fill:320:320/plain/local:///koi.jpg")
    path = "/rs:fill:100:320/plain/local:///koi.jpg"
    assert view["edited"] == f"/{signature(path)}{path}"
    assert told["presets"][0]["running"] is None
    unchanged = await ask(page, "check", {"file": "shop.toml", "text": SHOP, "sources": ["local:///koi.jpg"]})
    assert not any(each["changed"] for each in unchanged["presets"])


async def test_where_urls_name_presets_only(tmp_path: Path) -> None:
    async with client(ops(settings(tmp_path, only_presets="1"))) as asking:
        requests = [
            {"source": "local:///koi.jpg", "values": {"preset": ["hero"]}},
            {"source": "local:///koi.jpg", "values": {"blur": 3}},
        ]
        assert (await ask(asking, "start", {}))["examples"] == []
        told = (await ask(asking, "sign", {"requests": requests}))["signed"]
        assert "/hero/plain/" in told[0]["url"]
        assert told[0]["before"] is None
        assert "IMGPROXY_ONLY_PRESETS" in told[1]["error"]
        (view,) = (await ask(asking, "check", {"file": "news.toml", "text": NEWS, "sources": ["local:///a"]}))[
            "presets"
        ][0]["views"]
        assert "IMGPROXY_ONLY_PRESETS" in view["error"]


# --- dropped files


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    return Uploads(root / "in", root)


BYTES = {"content-type": "application/octet-stream"}


async def test_a_dropped_file_is_a_source_until_the_end(tmp_path: Path, uploads: Uploads) -> None:
    root = tmp_path / "root"
    async with client(ops(settings(tmp_path), uploads)) as asking:
        assert (await ask(asking, "start", {}))["uploads"] is True
        body = charts.quadrants(30, 20)
        told = await asking.post("/playground/drop", content=body, headers=BYTES)
        source = told.json()["source"]
        assert re.fullmatch(r"local:///in/dropped-\w+/\w{16}\.png", source)
        assert (root / source.removeprefix("local:///")).read_bytes() == body
        refused = await asking.post("/playground/drop", content=b"#!/bin/sh", headers=BYTES)
        assert (refused.status_code, refused.json()["error"]) == (415, "This is no picture that the server can read.")
        large = await asking.post("/playground/drop", content=b"\x89PNG\r\n\x1a\n" + bytes(LARGEST), headers=BYTES)
        assert large.status_code == 413
    uploads.close()
    assert list((root / "in").iterdir()) == []


def test_few_files_are_kept(tmp_path: Path, uploads: Uploads) -> None:
    body = charts.quadrants(3, 2)
    first, *others = [uploads.keep(body) for _ in range(MOST + 1)]
    kept = {f"local:///{path.relative_to(tmp_path / 'root')}" for path in (tmp_path / "root").rglob("*.png")}
    assert kept == {*others}
    assert first not in kept


async def test_without_a_folder_none_are_taken(page: httpx.AsyncClient) -> None:
    answer = await page.post("/playground/drop", content=charts.quadrants(3, 2), headers=BYTES)
    assert answer.status_code == 409
    assert "IMGPROXY_PLAYGROUND_UPLOAD_DIR" in answer.json()["error"]
    assert Uploads.of("", "/") is None


# --- its settings


def test_the_folder_must_be_where_local_sources_are(tmp_path: Path) -> None:
    inside = tmp_path / "root" / "in"
    inside.parent.mkdir()
    root = str(inside.parent)
    with pytest.raises(BadSettings, match="IMGPROXY_PLAYGROUND_UPLOAD_DIR: there is no folder"):
        settings(tmp_path, playground_upload_dir=str(inside), local_filesystem_root=root)
    inside.mkdir()
    settings(tmp_path, playground_upload_dir=str(inside), local_filesystem_root=root)
    for elsewhere in ({"local_filesystem_root": root, "playground_upload_dir": str(tmp_path)}, {}):
        given = {"playground_upload_dir": str(inside)} | elsewhere
        with pytest.raises(BadSettings, match="expected a folder within IMGPROXY_LOCAL_FILESYSTEM_ROOT"):
            settings(tmp_path, **given)
    settings(tmp_path, playground_upload_dir="/nowhere", playground="0")


def test_hosts_are_names() -> None:
    for host in ("http://a", "a:80", "a/b", "*"):
        with pytest.raises(BadSettings, match="expected names or addresses"):
            Settings.read({"IMGPROXY_PLAYGROUND_HOSTS": host})


@pytest.mark.parametrize(
    ("bind", "warned"),
    [
        (":8080", True),
        ("0.0.0.0:8080", True),
        ("10.0.0.1:8080", True),
        ("127.0.0.1:8080", False),
        ("localhost:1", False),
        ("[::1]:1", False),
        ("unix:/run/a.sock", False),
    ],
)
def test_an_open_door_is_warned_of(tmp_path: Path, bind: str, warned: bool) -> None:
    assert bool(settings(tmp_path, bind=bind).warnings) is warned
    if warned:
        assert "whoever reaches it can have any URL signed" in settings(tmp_path, bind=bind).warnings[0]
        assert settings(tmp_path, bind=bind, key="", salt="").warnings == ()
        assert settings(tmp_path, bind=bind, playground="0").warnings == ()


def test_a_token_is_warned_of(tmp_path: Path) -> None:
    assert "IMGPROXY_SECRET" in settings(tmp_path, bind="localhost:1", secret="s").warnings[0]


def test_what_it_signs_another_dialect_reads(tmp_path: Path) -> None:
    its = rules(settings(tmp_path, arguments_separator=","))
    url = str(signed(its, "local:///a", {"resize": {"type": "fill", "width": 3, "height": 2}})["url"])
    assert "/rs,fill,3,2/plain/" in url
    dialect = Dialect(DialectSettings(arguments_separator=","))
    assert dialect.read(dialect.split(url).path).source.url == "local:///a"
