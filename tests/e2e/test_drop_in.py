"""What imgproxy's users rely on, asked of a real server: signed URLs in, the right images and headers out."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import charts
from tests.e2e.origin import BIG, MODIFIED
from tests.serving import KEY, SALT, SIGNER, Server, free_port, serving, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyvips

    from tests.e2e.origin import Pictures
    from tests.serving import Answer

pytestmark = pytest.mark.e2e

CORNERS = ((0, 0, charts.NORTH_WEST), (1, 0, charts.NORTH_EAST), (0, 1, charts.SOUTH_WEST), (1, 1, charts.SOUTH_EAST))
KEYS = {"key": KEY, "salt": SALT}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of local sources, with a file beside it that is nobody's business."""
    place = tmp_path_factory.mktemp("files")
    (place / "secret.png").write_bytes(charts.quadrants(60, 40))
    root = place / "root"
    root.mkdir()
    (root / "photo.png").write_bytes(charts.quadrants(300, 200))
    (root / "link.png").symlink_to(place / "secret.png")
    return root


@pytest.fixture(scope="module")
def server(origin: Pictures, root: Path) -> Iterator[Server]:
    """A server in production, with keys."""
    with serving(
        **KEYS,
        prometheus_bind=f"127.0.0.1:{free_port()}",
        auto_webp="1",
        auto_avif="1",
        allow_origin="*",
        local_filesystem_root=str(root),
        allowed_sources=f"{origin.url('')},http://127.0.0.1:1/,http://127.0.0.1:*/refused,ftp://,local://",
        max_redirects="2",
        max_src_resolution="1",
        max_src_file_size="2MiB",
        max_animation_frames="10",
        download_timeout="2s",
        presets="thumb=rs:fill:40:40",
        watermark_data=base64.b64encode(charts.mark()).decode(),
    ) as server:
        yield server


def corners_are_right(image: pyvips.Image) -> bool:
    """Whether each corner has the colour of its quadrant."""
    width, height = image.width // 8, image.height // 8
    image = image.colourspace("srgb")
    for x, y, colour in CORNERS:
        # Beside the outermost grid lines, which are bright.
        piece = image.crop(x * (image.width - width - 4) + 2, y * (image.height - height - 4) + 2, width, height)
        if any(abs(piece[band].avg() - colour[band]) > 30 for band in range(3)):
            return False
    return True


def what(answer: Answer) -> str:
    return answer.headers["content-type"]


@pytest.mark.parametrize(
    ("suffix", "save", "result"),
    [
        (".jpg", {"Q": 90}, "image/jpeg"),
        (".png", {}, "image/png"),
        (".webp", {"lossless": True}, "image/jpeg"),
        (".gif", {}, "image/gif"),
        (".tif", {}, "image/jpeg"),
        (".avif", {"Q": 90}, "image/jpeg"),
    ],
)
def test_every_kind_of_source(server: Server, origin: Pictures, suffix: str, save: dict[str, int], result: str) -> None:
    source = origin.put(f"source{suffix}", charts.quadrants(600, 400, suffix, **save))
    answer = server.ask(signed(source, "rs:fit:300:300"))
    assert (answer.status, what(answer)) == (200, result)
    assert (answer.picture.width, answer.picture.height) == (300, 200)
    assert corners_are_right(answer.picture)
    assert answer.headers["content-length"] == str(len(answer.body))


def test_svg_stays_a_drawing_unless_pixels_are_asked_for(server: Server, origin: Pictures) -> None:
    source = origin.url("drawing.svg")
    drawn = server.ask(signed(source, "rs:fit:90:90"))
    assert (drawn.status, what(drawn)) == (200, "image/svg+xml")
    assert drawn.headers["content-security-policy"].startswith("default-src 'none'")
    pixels = server.ask(signed(source, "rs:fit:90:90", "f:png"))
    assert (pixels.picture.width, what(pixels)) == (90, "image/png")
    assert corners_are_right(pixels.picture)


@pytest.mark.parametrize("format_", ["jpg", "png", "webp", "gif", "tiff", "avif"])
def test_every_format_of_results(server: Server, origin: Pictures, format_: str) -> None:
    answer = server.ask(signed(origin.url("quadrants.png"), "rs:fit:300:300", f"f:{format_}"))
    assert what(answer) == f"image/{format_.replace('jpg', 'jpeg')}"
    assert corners_are_right(answer.picture)
    assert answer.headers["content-disposition"] == f'inline; filename="quadrants.{format_}"'


def test_animations_stay_animations(server: Server, origin: Pictures) -> None:
    answer = server.ask(signed(origin.url("counter.gif"), "rs:fit:80:80", "f:webp"))
    assert what(answer) == "image/webp"
    assert answer.picture.get("n-pages") == 5


@pytest.mark.parametrize("base64", [False, True])
def test_both_spellings_of_the_source(server: Server, origin: Pictures, *, base64: bool) -> None:
    source = origin.url("quadrants.png?a=b&c=d%20e")
    assert server.ask(signed(source, "w:30", base64=base64)).status == 200
    assert "quadrants.png?a=b&c=d%20e HTTP" in origin.heads("quadrants.png?a=b")[-1]


def test_a_collapsed_source_is_repaired_before_it_is_verified(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("quadrants.png"), "w:30")
    assert server.ask(target.replace("http://", "http:/").replace("w:30", "w%3A30")).status == 200


@pytest.mark.parametrize(
    ("accept", "result"),
    [
        ("image/avif,image/webp,image/apng,*/*;q=0.8", "image/avif"),
        ("image/webp,*/*", "image/webp"),
        ("image/webp;q=0, image/png", "image/png"),
        ("image/avif;q=0,image/webp;q=0.1", "image/webp"),
        ("image/*", "image/png"),
        ("*/*", "image/png"),
        ("", "image/png"),
    ],
)
def test_the_client_chooses_the_format(server: Server, origin: Pictures, accept: str, result: str) -> None:
    target = signed(origin.url("quadrants.png"), "w:60")
    answer = server.ask(target, accept=accept) if accept else server.ask(target)
    assert (answer.status, what(answer), answer.headers["vary"]) == (200, result, "Accept")


def test_the_url_chooses_before_the_client(server: Server, origin: Pictures) -> None:
    answer = server.ask(signed(origin.url("quadrants.png"), "w:60", "f:jpg"), accept="image/avif,image/webp")
    assert what(answer) == "image/jpeg"


def test_head_has_the_headers_of_get(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("quadrants.png"), "w:60")
    got, head = (server.ask(target, method, x_request_id="same") for method in ("GET", "HEAD"))
    assert head.body == b""
    assert head.headers | {"date": ""} == got.headers | {"date": ""}
    assert server.ask(target.replace("w:60", "w:61"), "HEAD").status == 403


def test_options_and_cors(server: Server) -> None:
    answer = server.ask("/whatever", "OPTIONS", origin="https://example.com")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_an_unchanged_source_costs_neither_download_nor_render(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("quadrants.png?tag"), "w:60")
    first = server.ask(target)
    again = server.ask(target, if_none_match=f'"other", {first.headers["etag"]}', x_request_id="unchanged")
    assert (again.status, again.body) == (304, b"")
    for name in ("etag", "last-modified", "cache-control", "vary"):
        assert again.headers[name] == first.headers[name]
    assert len(origin.heads("?tag")) == 1
    line = server.line("unchanged")
    assert line["source_bytes"] == 0
    assert "processing" not in line["stages"]


def test_a_tag_names_the_options_too(server: Server, origin: Pictures) -> None:
    source = origin.url("quadrants.png?both")
    tag = server.ask(signed(source, "w:60")).headers["etag"]
    assert server.ask(signed(source, "w:61"), if_none_match=tag).status == 200
    assert "if-none-match" not in origin.heads("?both")[-1]


def test_an_origin_without_tags_gets_one_made_of_the_result(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("bare/quadrants.png"), "w:60")
    tag = server.ask(target).headers["etag"]
    assert server.ask(target, if_none_match=tag).status == 304


def test_if_modified_since(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("dated/quadrants.png"), "w:60")
    assert server.ask(target).headers["last-modified"] == MODIFIED
    assert server.ask(target, if_modified_since=MODIFIED).status == 304
    assert server.ask(target, if_modified_since="Sun, 06 Nov 1994 08:49:37 GMT").status == 200


def test_how_long_a_result_may_be_kept(server: Server, origin: Pictures) -> None:
    source = origin.url("kept/quadrants.png")
    assert server.ask(signed(source, "w:60")).headers["cache-control"] == "max-age=31536000, public"
    soon = int(time.time()) + 100
    short = server.ask(signed(source, "w:60", f"exp:{soon}")).headers["cache-control"]
    assert 90 <= int(short.removeprefix("max-age=").removesuffix(", public")) <= 100


@pytest.mark.parametrize(
    ("options", "disposition"),
    [
        (["fn:holiday"], 'inline; filename="holiday.png"'),
        (["fn:holiday", "att:1"], 'attachment; filename="holiday.png"'),
        (["fn:caf%C3%A9"], "inline; filename=\"caf_.png\"; filename*=UTF-8''caf%C3%A9.png"),
    ],
)
def test_under_which_name_it_is_saved(server: Server, origin: Pictures, options: list[str], disposition: str) -> None:
    answer = server.ask(signed(origin.url("quadrants.png"), "w:60", *options))
    assert answer.headers["content-disposition"] == disposition


def test_a_preset_is_as_good_as_its_options(server: Server, origin: Pictures) -> None:
    source = origin.url("quadrants.png")
    spelled, named = (server.ask(signed(source, option)) for option in ("rs:fill:40:40", "pr:thumb"))
    assert spelled.body == named.body
    assert spelled.headers["etag"] == named.headers["etag"]


def test_watermark(server: Server, origin: Pictures) -> None:
    source = origin.url("quadrants.png")
    plain, marked = (server.ask(signed(source, "rs:fit:300:300", *wm)).picture for wm in ((), ("wm:1:ce",)))
    difference = (plain.extract_band(0, n=3) - marked.extract_band(0, n=3)).abs()
    assert difference.crop(100, 80, 100, 40).avg() > 20
    assert difference.crop(0, 0, 60, 60).avg() < 1


def test_local_sources(server: Server) -> None:
    answer = server.ask(signed("local:///photo.png", "w:150"))
    assert (answer.status, answer.picture.width) == (200, 150)
    assert answer.headers["etag"]


@pytest.mark.parametrize(
    "source",
    [
        "local:///../secret.png",
        "local:///x/../../secret.png",
        "local://../secret.png",
        "local:///..%2fsecret.png",
        "local:///%2e%2e/secret.png",
        "local:///link.png",
        "local:////etc/passwd",
        "local:///proc/self/environ",
        "local:///photo.png/../../secret.png",
        "local:///..\\secret.png",
        "local:///photo.png\0",
        "local:///",
        "local:///.",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("base64", [False, True])
def test_nothing_outside_the_root_is_served(server: Server, source: str, *, base64: bool) -> None:
    for options in ((), ("raw:1",)):
        assert server.ask(signed(source, *options, base64=base64)).said in [
            (404, "Source is unreachable"),
            (404, "Invalid source URL"),
            (404, "Invalid URL"),
        ]


STATUSES = {
    # Paths of the origin, then other sources.
    ("status/404",): (404, "Source is unreachable"),
    ("status/403",): (403, "Source is unreachable"),
    ("status/410",): (410, "Source is unreachable"),
    ("status/451",): (451, "Source is unreachable"),
    ("status/500",): (502, "Source is unreachable"),
    ("status/503",): (502, "Source is unreachable"),
    ("status/204",): (404, "Source is unreachable"),
    ("status/304",): (404, "Source is unreachable"),
    ("part/quadrants.png",): (404, "Source is unreachable"),
    ("short/quadrants.png",): (422, "Source response is incomplete"),
    ("redirect/2/quadrants.png", "w:60"): (200, None),
    ("redirect/3/quadrants.png",): (404, "Source is unreachable"),
    ("slow/8/quadrants.png",): (504, "Source is unreachable"),
    ("page.jpg",): (422, "Failed to detect source image type"),
    ("huge.png",): (422, "Invalid source image"),
    ("big",): (422, "Invalid source image"),
    ("cut.jpg",): (422, "Broken or unsupported image"),
    ("icon.ico",): (422, "Broken or unsupported image"),
    ("quadrants.png", "f:jxl"): (422, "Invalid URL"),
    ("quadrants.png", "f:svg"): (422, "Invalid URL"),
    ("drawing.svg", "f:svg"): (200, None),
    ("quadrants.png", "f:docx"): (404, "Invalid URL"),
    ("quadrants.png", "nosuch:1"): (404, "Invalid URL"),
    ("quadrants.png", "rs:fit:-1"): (404, "Invalid URL"),
    ("quadrants.png", "q:101"): (404, "Invalid URL"),
    ("quadrants.png", "pr:nosuch"): (404, "Invalid URL"),
    ("quadrants.png", "exp:1"): (404, "Invalid URL"),
    ("quadrants.png", "msr:100"): (403, "Invalid URL"),
    ("http://127.0.0.1:1/x.png",): (404, "Source is unreachable"),
    ("http://127.0.0.2/x.png",): (404, "Invalid source URL"),
    ("ftp://127.0.0.1/x.png",): (404, "Source is unreachable"),
    ("s3://bucket/x.png",): (404, "Source is unreachable"),
    ("gopher",): (404, "Source is unreachable"),
}


@pytest.mark.parametrize(("asked", "said"), STATUSES.items(), ids=[" ".join(asked) for asked in STATUSES])
def test_the_status_table(
    server: Server, origin: Pictures, asked: tuple[str, ...], said: tuple[int, str | None]
) -> None:
    """The statuses and public texts of imgproxy, and nothing else: reasons name hosts and paths."""
    origin.bodies |= {
        "page.jpg": b"<html><h1>not an image</h1></html>",
        "huge.png": charts.grey(1200, 900),
        "cut.jpg": charts.quadrants(600, 400, ".jpg")[:5000],
        "icon.ico": b"\0\0\1\0" + bytes(100),
    }
    source, *options = asked
    answer = server.ask(signed(source if "://" in source else origin.url(source), *options))
    if said[1] is None:
        assert answer.status == said[0]
        return
    assert answer.said == said
    assert what(answer) == "text/plain; charset=utf-8"
    assert "cache-control" not in answer.headers


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/nothing", (404, "Invalid URL")),
        ("//", (404, "Invalid URL")),
        ("/sig/w:30", (403, "Forbidden")),
        ("/unsafe/w:30/plain/http://example.com/x", (403, "Forbidden")),
        (SIGNER.sign("/w:30/x/y/z"), (404, "Source is unreachable")),
        (SIGNER.sign("/w:30/plain/"), (404, "Invalid URL")),
        (SIGNER.sign("/w:30/plain/http://a/%zz@png@jpg"), (404, "Invalid URL")),
        (SIGNER.sign("/w:30/plain/no-scheme"), (404, "Source is unreachable")),
        ("/favicon.ico", (404, "")),
        ("/.well-known/security.txt", (404, "")),
    ],
)
def test_urls_that_are_none(server: Server, target: str, said: tuple[int, str]) -> None:
    assert server.ask(target).said == said


def test_a_forgotten_signature_is_named_in_production_too(server: Server) -> None:
    answer = server.ask("/rs:fit:30:30/plain/http://example.com/x")
    assert answer.status == 403
    assert "signature segment is missing" in answer.text


def test_other_methods(server: Server) -> None:
    answer = server.ask("/x/y", "POST", content_length="0")
    assert answer.said == (405, "Method not allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_errors_as_json_for_those_who_ask(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("status/500?token=hidden"), "w:60")
    answer = server.ask(target, accept="application/problem+json", x_request_id="json-1")
    assert what(answer) == "application/problem+json"
    assert json.loads(answer.body) == {
        "type": "urn:imgproxy:error:source_refused",
        "title": "Source is unreachable",
        "status": 502,
        "code": "source_refused",
        "request_id": "json-1",
    }


def test_raw_is_the_source_itself(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("big"), "raw:1")  # larger than any limit on sources
    answer = server.ask(target)
    assert (answer.status, answer.body == BIG) == (200, True)
    part = server.ask(target, range="bytes=1000-2999")
    assert (part.status, part.body) == (206, BIG[1000:3000])
    assert part.headers["content-range"] == f"bytes 1000-2999/{len(BIG)}"
    tag = answer.headers["etag"]
    assert server.ask(target, if_none_match=tag).status == 304
    assert server.ask(signed(origin.url("status/404"), "raw:1")).said == (404, "Source is unreachable")


def test_raw_streams_a_body_of_any_length_in_constant_memory(server: Server, origin: Pictures) -> None:
    """The reader is slow: what the origin sends must wait at the origin, not in the server."""
    source = origin.put("huge", BIG * 8)
    before = resident(server)
    connection = server.connect()
    connection.putrequest("GET", signed(source, "raw:1"))
    connection.endheaders()
    with connection.getresponse() as response:
        response.read(1 << 20)
        time.sleep(0.3)
        assert resident(server) - before < 32 << 20
        got = (1 << 20) + sum(len(piece) for piece in iter(lambda: response.read(1 << 20), b""))
    connection.close()
    assert got == 8 * len(BIG), server.raw_log[-3000:]


def resident(server: Server) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_metrics(server: Server, origin: Pictures) -> None:
    server.ask(signed(origin.url("quadrants.png"), "w:60"))
    server.ask(signed(origin.url("status/404"), "w:60"))
    server.ask("/bad/w:60/plain/x")
    text = server.metrics()
    rows = [row for row in text.splitlines() if not row.startswith("#")]
    names = {row.partition("{")[0].partition(" ")[0] for row in rows}
    assert names >= {
        "requests_total",
        "status_codes_total",
        "errors_total",
        "request_duration_seconds_bucket",
        "request_span_duration_seconds_bucket",
        "requests_in_progress",
        "images_in_progress",
        "workers",
        "workers_utilization",
        "vips_memory_bytes",
        "vips_max_memory_bytes",
        "vips_allocs",
    }
    assert 'errors_total{type="download"}' in text
    assert 'status_codes_total{status="403"}' in text
    assert len(rows) < 300
    for hidden in ("127.0.0.1", "quadrants", KEY):
        assert hidden not in text


def test_prometheus_likes_the_metrics(server: Server) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=server.metrics(), capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_log_says_enough_and_not_too_much(server: Server, origin: Pictures) -> None:
    target = signed(origin.url("quadrants.png?token=t0ps3cret"), "w:60")
    server.ask(target, x_request_id="good")
    failing = signed(origin.url("status/500?token=t0ps3cret"), "w:60")
    server.ask(failing, x_request_id="failing")
    server.ask(target.replace("w:60", "w:61"), x_request_id="forged")
    assert server.line("good")["status"] == 200
    assert server.line("good")["options"] == "rs:fit:60"
    assert server.line("failing")["code"] == "source_refused"
    assert server.line("forged")["code"] == "bad_signature"
    for line in server.raw_log.splitlines():
        assert json.loads(line)["ts"]
    for hidden in ("t0ps3cret", KEY, SALT, target.split("/")[1], failing.split("/")[1]):
        assert hidden not in server.raw_log


def test_a_loopback_origin_is_refused_by_default(origin: Pictures, root: Path) -> None:
    with serving(allow_loopback_source_addresses="", local_filesystem_root=str(root)) as server:
        for number, host in enumerate(("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0")):
            source = origin.url("quadrants.png?guarded").replace("127.0.0.1", host)
            answer = server.ask(signed(source, "w:60"), x_request_id=f"host-{number}")
            assert answer.said in [(404, "Source is unreachable"), (404, "Invalid URL")]
        assert server.line("host-0")["code"] == "address_forbidden"
        assert origin.heads("?guarded") == []
        # Without keys any word is a signature, but not a forgotten one.
        assert server.ask("/anything/w:60/plain/local:///photo.png").status == 200
        assert "signature segment is missing" in server.ask("/w:60/plain/local:///photo.png").text


def test_development_mode_says_what_is_wrong(origin: Pictures) -> None:
    source = origin.url("quadrants.png")
    target = signed(source, "w:60")
    with serving(**KEYS, development_errors_mode="1") as server:
        for mistaken, reason in (
            (target.split("/", 2)[2], "looks like an option"),
            (target.replace(target.split("/")[1], "A" * 43), "another key or salt was used"),
            (SIGNER.sign("/w:60/plain/http://a/b c").replace("b c", "b%20c"), "percent-encoded after it was signed"),
            (SIGNER.sign("/w:abc/plain/http://a/"), "'abc'"),
            (SIGNER.sign("/wdth:30/plain/http://a/"), "did you mean"),
            (signed(origin.url("status/418")), "the origin answered 418"),
        ):
            answer = server.ask("/" + mistaken.removeprefix("/"))
            assert answer.status in {403, 404, 418}
            assert reason in answer.text
        page = server.ask("/unsafe/w:60/plain/x", accept="text/html")
        assert what(page) == "text/html; charset=utf-8"
        broken = server.ask("/unsafe/w:60/plain/x", accept="image/avif,image/webp,*/*;q=0.8")
        assert what(broken) == "image/svg+xml"


def test_secret_prefix_presets_only_and_the_rest_of_an_operators_wishes(origin: Pictures) -> None:
    with serving(
        secret="let-me-in",
        path_prefix="/img",
        only_presets="1",
        presets="thumb=rs:fill:40:40,sharp=sh:1",
        enforce_webp="1",
        cache_control_passthrough="1",
        set_canonical_header="1",
        enable_debug_headers="1",
        etag_buster="2",
    ) as server:
        target = f"/img/x/thumb:sharp/plain/{origin.url('kept/quadrants.png')}"
        assert server.ask(target).said == (403, "Forbidden")
        assert server.ask(target, authorization="Bearer let-me-inn").status == 403
        good = {"authorization": "Bearer let-me-in"}
        answer = server.ask(target, **good, accept="image/webp")
        assert (answer.status, what(answer)) == (200, "image/webp")
        assert answer.headers["cache-control"] == "max-age=77, private"
        assert answer.headers["link"] == f'<{origin.url("kept/quadrants.png")}>; rel="canonical"'
        assert (answer.headers["x-origin-width"], answer.headers["x-result-width"]) == ("600", "40")
        assert "processing;dur=" in answer.headers["server-timing"]
        again = server.ask(target, **good, if_none_match=answer.headers["etag"], accept="image/webp")
        assert (again.status, again.headers["cache-control"]) == (304, "max-age=77, private")
        assert server.ask(target + "@png", **good, accept="image/webp").headers["content-type"] == "image/webp"
        assert server.ask(target + "@png", **good).headers["content-type"] == "image/png"
        assert server.ask(target.replace("thumb:sharp", "w:60"), **good).status == 404
        assert server.ask(target.removeprefix("/img"), **good).said == (404, "Invalid URL")
        assert server.ask("/health").said == server.ask("/img/health").said == (200, "imgproxy is running")


def test_a_fallback_image_stands_in_for_sources_that_cannot_be_had(origin: Pictures, root: Path) -> None:
    with serving(
        fallback_image_path=str(root / "photo.png"), fallback_image_http_code="0", fallback_image_ttl="60"
    ) as server:
        for path, status in (("status/404", 404), ("status/500", 502), ("page.jpg", 422), ("nosuch", 404)):
            origin.put("page.jpg", b"<html>")
            answer = server.ask(signed(origin.url(path), "w:150"))
            assert (answer.status, answer.picture.width) == (status, 150)
            assert answer.headers["cache-control"] == "max-age=60, public"
            assert "etag" not in answer.headers
        assert server.ask("/unsafe/nosuch:1/plain/http://a/").said == (404, "Invalid URL")


def test_client_hints(origin: Pictures) -> None:
    source = origin.url("quadrants.png")
    with serving(enable_client_hints="1", ttl="0", use_etag="0", use_last_modified="0") as server:
        answer = server.ask(signed(source), sec_ch_width="100", sec_ch_dpr="2")
        assert answer.picture.width == 100
        assert answer.headers["vary"] == "Sec-CH-DPR, DPR, Sec-CH-Width, Width"
        assert answer.headers["cache-control"] == "no-cache"
        assert not {"etag", "last-modified"} & answer.headers.keys()
        assert server.ask(signed(source, "w:30"), dpr="2").picture.width == 60
        assert server.ask(signed(source, "w:30", "dpr:1"), dpr="2").picture.width == 30
        assert server.ask(signed(source, "w:30"), dpr="nonsense").picture.width == 30
