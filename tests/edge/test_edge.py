"""A real nginx before stand-ins for nodes: routing, classes, what is kept and for how long, what answers say."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from imgproxy.tokens import Token, Tokens
from tests.edge.running import KEPT, Nodes, Request, Running, Says, cluster, send_raw, source_id
from tests.serving import SIGNER, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EDGE = tuple[Running, Nodes]
AVIF = "image/avif,image/webp,image/apng,*/*;q=0.8"


@pytest.fixture(scope="module")
def shared() -> Iterator[EDGE]:
    with cluster(3) as pair:
        yield pair


@pytest.fixture
def three(shared: EDGE) -> EDGE:
    """An edge before three stand-ins that answer with something that may be kept."""
    _, nodes = shared
    nodes.say(Says(headers=KEPT))
    nodes.forget()
    return shared


def spellings(source: str) -> list[str]:
    encoded = base64.urlsafe_b64encode(source.encode()).decode()
    bare = encoded.rstrip("=")
    return [
        f"/a/rs:fit:1:1/plain/{source}",
        f"/b/rs:fit:2:2/plain/{source.replace('://', ':/')}@webp",
        f"/c/w:3/plain/{source.replace(':', '%3A').replace('/', '%2F')}",
        f"/d/w:4/{encoded}",
        f"/e/w:5/{bare}.png?v=1",
        f"/f/w:6/{bare[:9]}/{bare[9:]}",
    ]


def test_all_spellings_of_a_source_meet_on_one_node(three: EDGE) -> None:
    edge, nodes = three
    used: set[int] = set()
    for number in range(12):
        for target in spellings(f"http://h.test/{number}.jpg"):
            assert edge.ask(target).status == 200
        busy = [place for place, node in enumerate(nodes.all) if node.requests]
        assert len(busy) == 1
        used |= {*busy}
        nodes.forget()
    assert len(used) > 1


def test_the_key_is_in_the_log_as_the_source(three: EDGE) -> None:
    edge, _ = three
    edge.ask("/sig/w:1/plain/http://h.test/logged.jpg", X_Request_ID="logged")
    found = until(lambda: [line for line in edge.lines(1) if line["request_id"] == "logged"])
    assert found[0]["source"] == source_id("http://h.test/logged.jpg")


def test_a_node_that_goes_takes_only_its_share_with_it() -> None:
    sources = [f"/s/plain/http://h.test/{number}.jpg" for number in range(1500)]
    with cluster(3) as (edge, nodes):
        nodes.say(Says(headers={}))

        def places() -> dict[str, int]:
            nodes.forget()
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(edge.ask, sources))
            assert {answer.status for answer in answers} == {200}
            return {target: place for place, node in enumerate(nodes.all) for target in node.targets}

        before = places()
        gone = nodes[1]
        nodes.stop(gone)
        without = places()
        moved = [target for target in sources if before[target] != without[target]]
        assert {before[target] for target in moved} == {1}
        assert len(moved) <= len(sources) * (1 / 3 + 0.04)  # three standard deviations of the sample
        nodes.start(gone)
        # It is tried again after fail_timeout; until then its share stays where it is.
        until(lambda: edge.ask(moved[0]).status == 200 and gone.requests, seconds=15)
        assert places() == before


def test_a_node_that_dies_at_work_costs_nobody_an_answer() -> None:
    with cluster(3) as (edge, nodes):
        nodes.say(Says(headers={}, delay=0.02))
        stopped = False

        def ask(number: int) -> int:
            nonlocal stopped
            if number == 60:
                nodes.stop(nodes[0])
                stopped = True
            return edge.ask(f"/s/plain/http://h.test/{number % 40}.jpg").status

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(ask, range(300)))
        assert stopped
        assert statuses == [200] * 300


def test_errors_of_nodes_are_not_tried_elsewhere(three: EDGE) -> None:
    edge, nodes = three
    for status in (429, 500, 502, 503, 504):
        nodes.forget()
        nodes.say(Says(status))
        assert edge.ask(f"/s/w:{status}/plain/http://h.test/a").status == status
        assert len(nodes.requests) == 1


# ---- keys and classes


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (AVIF, "image/avif,image/webp"),
        ("image/webp,*/*", "image/webp"),
        ("IMAGE/AVIF", "image/avif"),
        ("image/avif;q=0,image/webp;q=0.1", "image/webp"),
        ("image/avif ; q=0.000, image/webp; q=1", "image/webp"),
        ("image/avif;q=0.001", "image/avif"),
        ("image/avif;q=nonsense", ""),
        ("image/avif;level=1;q=0", ""),
        ("image/avif;level=1", "image/avif"),
        ("*/*", ""),
        ("image/*", ""),
        ("image/avif-sequence,ximage/avif", ""),
        ("text/html", ""),
        ("", ""),
    ],
)
def test_nodes_see_a_few_classes_of_accept(three: EDGE, accept: str, wanted: str) -> None:
    edge, nodes = three
    target = "/s/plain/http://h.test/" + base64.urlsafe_b64encode(accept.encode()).decode()
    edge.ask(target, Accept=accept)
    assert nodes.requests[0].headers.get("accept", "") == wanted


def test_each_class_is_kept_for_itself(three: EDGE) -> None:
    edge, nodes = three
    target = "/s/plain/http://h.test/classes"
    for accept in (AVIF, "image/webp", "image/webp,*/*;q=0.1", "*/*", "image/png", "image/avif,image/webp"):
        edge.ask(target, Accept=accept)
    assert [each.headers.get("accept", "") for each in nodes.requests] == ["image/avif,image/webp", "image/webp", ""]


def test_without_formats_there_is_one_class() -> None:
    with cluster(formats=()) as (edge, nodes):
        for accept in (AVIF, "image/webp", "*/*"):
            edge.ask("/s/plain/x", Accept=accept)
        assert len(nodes.requests) == 1
        assert "accept" not in nodes[0].requests[0].headers


def test_the_query_is_not_in_the_key(three: EDGE) -> None:
    edge, nodes = three
    for query in ("", "?", "?utm_source=x", "?a=/b"):
        assert edge.ask("/s/plain/http://h.test/query" + query).status == 200
    assert len(nodes.requests) == 1


def test_nodes_get_no_more_of_a_request_than_they_need(three: EDGE) -> None:
    edge, nodes = three
    headers = {
        "Cookie": "a=b",
        "User_Agent": "x",
        "Range": "bytes=0-1",
        "If_None_Match": '"x"',
        "Accept_Encoding": "gzip",
        "DPR": "2",
        "Sec_CH_Width": "100",
        "Authorization": "Bearer x",
        "X_Forwarded_For": "1.2.3.4",
        "Cache_Control": "no-cache",
    }
    edge.ask("/s/plain/http://h.test/headers", **headers)
    assert nodes.requests[0].headers.keys() == {"host", "x-request-id", "x-forwarded-for"}
    assert nodes.requests[0].headers["x-forwarded-for"] == "127.0.0.1"  # not what the client says of itself


def test_nodes_that_ask_for_their_own_images_are_sent_away() -> None:
    with cluster(loop_id="imgproxy-0.1") as (edge, nodes):
        nodes.say(Says(headers=KEPT))
        for passed, status in (
            ("imgproxy-0.1", 403),
            ("cloudflare, IMGPROXY-0.1; hops=2", 403),
            ("imgproxy-0.1,fastly", 403),
            ("cloudflare", 200),
            ("imgproxy-0x1, imgproxy-0.12, my-imgproxy-0.1", 200),
        ):
            assert edge.ask("/s/plain/http://h.test/loop", CDN_Loop=passed).status == status, passed
        assert len(nodes.requests) == 1


def test_client_hints_are_few() -> None:
    with cluster(client_hints=True) as (edge, nodes):

        def sent(**headers: str) -> tuple[str, str]:
            nodes.forget()
            edge.ask(f"/s/cb:{hash(str(headers))}/plain/x", **headers)
            got = nodes[0].requests[0].headers
            return got.get("sec-ch-dpr", ""), got.get("sec-ch-width", "")

        assert sent(Sec_CH_DPR="1.3", Sec_CH_Width="641") == ("1.5", "700")
        assert sent(DPR="2", Width="640.2") == ("2", "700")
        assert sent(Sec_CH_DPR="2.01", DPR="1") == ("2.5", "")
        assert sent(Sec_CH_DPR="9", Sec_CH_Width="999999") == ("", "10000")
        assert sent(Sec_CH_DPR="0", Sec_CH_Width="0") == ("", "")
        assert sent(Sec_CH_DPR="nan", Sec_CH_Width="-1") == ("", "")
        assert sent(Sec_CH_DPR="0x2", Sec_CH_Width="1e3") == ("", "")

        nodes.forget()
        for width in ("601", "699.5", "700", "701"):
            edge.ask("/s/plain/y", Sec_CH_Width=width)
        assert len(nodes.requests) == 2


def test_who_is_not_known_gets_no_kept_answer() -> None:
    def guarded(request: Request) -> Says:
        known = request.headers.get("authorization") == "Bearer secret"
        return Says(headers=KEPT) if known else Says(403, b"no")

    with cluster(authorization=True) as (edge, nodes):
        nodes[0].says = guarded
        for word, status in (
            ("", 403),
            ("Bearer secret", 200),
            ("Bearer other", 403),
            ("Bearer secret", 200),
            ("", 403),
        ):
            headers = {"Authorization": word} if word else {}
            assert edge.ask("/s/plain/x", **headers).status == status
        assert len(nodes.requests) == 4
        kept = b"".join(path.read_bytes() for path in (edge.folder / "cache").rglob("*") if path.is_file())
        assert b"picture" in kept
        assert b"secret" not in kept


# ---- bytes


ODD = [
    "/s/plain/http://h.test//a//b.jpg",
    "/s/plain/http:%2F%2Fh.test%2Fa%3Ax",
    "/s/plain/http://h.test/%41%7e~+ +%2B%20'()*!,;=&$".replace(" ", ""),
    "/s/plain/http://h.test/%C3%A9%e9",
    "/s/plain/http://h.test/é\xff",
    "/s/plain/http://h.test/a/./b/../c",
    "/s//w:1//aHR0cDovL2gudGVzdC9h",
    '/s/w%3A1/plain/http%3A//h.test/[x]|^`{}"<>\\',
    "/s/plain/http://h.test/" + "x%2F" * 2000,
    "/s/plain/http://h.test/" + "y" * 32000,
]


@pytest.mark.parametrize("expiring", [False, True])
@pytest.mark.parametrize("target", ODD, ids=lambda target: target[:40])
def test_nodes_get_the_bytes_that_were_sent(three: EDGE, target: str, expiring: bool) -> None:
    edge, nodes = three
    if expiring:
        target = target.replace("/s/", "/s/exp:4102444800/", 1)
    first, second = edge.ask(target + "?q=%41"), edge.ask(target)
    assert (first.status, second.status) == (200, 200)
    assert nodes.requests[0].target == target + "?q=%41"
    assert len(nodes.requests) == 1


def test_broken_escapes_do_not_pass_nginx(three: EDGE) -> None:
    edge, nodes = three
    for target in ("/s/plain/http://h.test/%zz", "/s/plain/http://h.test/%", "/s/plain/http://h.test/%00"):
        assert edge.ask(target).status == 400
    assert nodes.requests == []


def test_what_is_written_otherwise_is_kept_apart(three: EDGE) -> None:
    edge, nodes = three
    targets = ["/s/plain/http://h.test/a%2Fb", "/s/plain/http://h.test/a/b", "/s/plain/http://h.test/a%2fb"]
    for target in targets:
        edge.ask(target)
    assert sorted(each.target for each in nodes.requests) == sorted(targets)


# ---- what is kept


def test_ranges_and_heads_come_from_the_kept_answer(three: EDGE) -> None:
    edge, nodes = three
    nodes.say(Says(body=bytes(range(256)), headers=KEPT))
    target = "/s/plain/http://h.test/ranges"
    first = edge.ask(target, "HEAD")
    assert (first.status, first.headers["content-length"], first.body) == (200, "256", b"")
    part = edge.ask(target, Range="bytes=10-19")
    assert (part.status, part.body, part.headers["content-range"]) == (206, bytes(range(10, 20)), "bytes 10-19/256")
    assert edge.ask(target, Range="bytes=999-").status == 416
    assert edge.ask(target, If_None_Match='"v1"').status == 304
    assert edge.ask(target).body == bytes(range(256))
    assert [each.method for each in nodes.requests] == ["GET"]


def test_fifty_at_once_are_one_request(three: EDGE) -> None:
    edge, nodes = three
    nodes.say(Says(headers=KEPT, delay=0.3))
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(edge.ask, ["/s/plain/http://h.test/herd"] * 50))
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"picture")}
    assert len(nodes.requests) == 1


def test_nobody_waits_for_an_answer_that_was_not_kept() -> None:
    with cluster(lock_seconds=0.6) as (edge, nodes):
        nodes.say(Says(404, b"no", delay=0.05))

        def ask(_: int) -> float:
            start = time.monotonic()
            assert edge.ask("/s/plain/http://h.test/none").status == 404
            return time.monotonic() - start

        with ThreadPoolExecutor(30) as pool:
            assert max(pool.map(ask, range(30))) < 3
            # Now it is known that there is nothing to wait for: nginx looks at locks every half second.
            assert max(pool.map(ask, range(30))) < 0.45


@pytest.mark.parametrize("status", [400, 403, 404, 410, 422, 429, 500, 502, 503, 504])
def test_errors_are_not_kept(three: EDGE, status: int) -> None:
    edge, nodes = three
    target = f"/s/w:{status}/plain/http://h.test/errors"
    for headers in ({}, {"Cache-Control": "max-age=60"}, {"X-Accel-Expires": "60"}):
        nodes.say(Says(status, b"no", headers))
        answer = edge.ask(target)
        assert (answer.status, answer.body) == (status, b"no")
        assert "stored" not in answer.headers["cache-status"]
    nodes.say(Says(headers=KEPT))
    assert edge.ask(target).status == 200


def test_what_nodes_do_not_want_kept_is_not(three: EDGE) -> None:
    edge, nodes = three
    nodes.say(Says(headers={"X-Accel-Expires": "0", "Cache-Control": "max-age=60"}))
    for _ in range(3):
        assert edge.ask("/s/plain/http://h.test/zero").headers["cache-status"].startswith("edge; fwd=")
    assert len(nodes.requests) == 3


def test_vary_and_cookies_make_no_difference(three: EDGE) -> None:
    edge, nodes = three
    nodes.say(Says(headers=KEPT | {"Vary": "Accept, Sec-CH-DPR", "Set-Cookie": "a=b"}))
    answers = [edge.ask("/s/plain/http://h.test/vary", Accept=accept) for accept in ("text/html", "*/*")]
    assert len(nodes.requests) == 1
    assert [answer.headers["vary"] for answer in answers] == ["Accept, Sec-CH-DPR"] * 2
    assert not any("set-cookie" in answer.headers for answer in answers)


def test_nodes_cannot_redirect_or_slow_down_the_edge(three: EDGE) -> None:
    edge, nodes = three
    nodes.say(Says(headers=KEPT | {"X-Accel-Redirect": "/edge-health", "X-Accel-Limit-Rate": "1"}))
    assert edge.ask("/s/plain/http://h.test/accel").body == b"picture"


STALE = KEPT | {"X-Accel-Expires": "1"}


def expired(edge: Running, target: str) -> None:
    """Have an answer kept, and let its second pass."""
    assert edge.ask(target).status == 200
    now = time.time()
    until(lambda: time.time() >= int(now) + 2.05)


@pytest.mark.parametrize("failure", [Says(500), Says(502), Says(503), Says(504), Says(429), Says(delay=-0.01)])
def test_an_older_answer_covers_an_outage(failure: Says) -> None:
    with cluster() as (edge, nodes):
        nodes.say(Says(headers=STALE))
        expired(edge, "/s/plain/http://h.test/outage")
        nodes.say(failure)
        for _ in range(3):
            answer = edge.ask("/s/plain/http://h.test/outage")
            assert (answer.status, answer.body) == (200, b"picture")
            assert answer.headers["cache-status"].startswith("edge; hit; detail=")


def test_a_refresh_is_made_behind_the_visitor(three: EDGE) -> None:
    edge, nodes = three
    target = "/s/plain/http://h.test/refresh"
    nodes.say(Says(headers=STALE))
    expired(edge, target)
    nodes.say(Says(304, headers=KEPT, delay=0.2))
    start = time.monotonic()
    answer = edge.ask(target)
    assert time.monotonic() - start < 0.15
    assert answer.headers["cache-status"] == "edge; hit; detail=stale"
    until(lambda: edge.ask(target).headers["cache-status"] == "edge; hit")
    assert nodes.requests[-1].headers["if-none-match"] == '"v1"'
    assert nodes.requests[-1].target == target
    assert len(nodes.requests) == 2


def test_a_picture_that_is_gone_does_not_come_back(three: EDGE) -> None:
    edge, nodes = three
    target = "/s/plain/http://h.test/gone"
    nodes.say(Says(headers=STALE))
    expired(edge, target)
    nodes.say(Says(404, b"gone"))
    # The first one still gets the old picture, while a node is asked; from then on nobody does.
    until(lambda: edge.ask(target).status == 404)
    assert [edge.ask(target).status for _ in range(3)] == [404] * 3
    nodes.say(Says(headers=KEPT))
    assert edge.ask(target).status == 200
    assert edge.ask(target).headers["cache-status"] == "edge; hit"


# ---- expiring URLs


def with_expiry(end: int) -> str:
    return f"/s/exp:{end}/plain/http://h.test/exp"


def with_token(end: int) -> str:
    return f"/{Tokens(SIGNER.pairs).make(Token.of('card', 'http://h.test/exp', end))}/pr:card/plain/http://h.test/exp"


@pytest.mark.parametrize("expiring", [with_expiry, with_token])
def test_an_expired_url_is_never_answered_from_the_cache(three: EDGE, expiring: Callable[[int], str]) -> None:
    edge, nodes = three
    now = int(time.time())
    target = expiring(now + 2)
    # Kept for longer than it should be, even: the edge has to look at the URL itself.
    nodes.say(Says(headers=KEPT | {"X-Imgproxy-Expires": str(now + 2)}))
    assert "stored" in edge.ask(target).headers["cache-status"]
    assert edge.ask(target).headers["cache-status"] == "edge; hit"
    nodes.say(Says(404, b"expired"))
    until(lambda: time.time() >= now + 2.05)
    answer = edge.ask(target)
    assert (answer.status, answer.headers["cache-status"]) == (404, "edge; fwd=bypass")
    # Nor when the nodes cannot say it.
    nodes.say(Says(503, b"busy"))
    assert edge.ask(target).status == 503


def test_an_expiry_that_the_url_does_not_show_is_not_kept(three: EDGE) -> None:
    edge, nodes = three
    nodes.say(Says(headers=KEPT | {"X-Imgproxy-Expires": "4102444800"}))
    for target in ("/s/pr:a/plain/http://h.test/hidden", "/s/exp:4102444801/plain/http://h.test/hidden"):
        assert [edge.ask(target).status for _ in range(2)] == [200, 200]
    assert len(nodes.requests) == 4


# ---- what answers say


def test_answers_carry_nothing_that_is_only_for_the_edge(three: EDGE) -> None:
    edge, nodes = three
    private = {"Surrogate-Key": "a b", "Cache-Tag": "a,b", "X-Imgproxy-Expires": "0", "Cache-Control": "max-age=5"}
    nodes.say(Says(headers=KEPT | private))
    for answer in (edge.ask("/s/plain/http://h.test/private"), edge.ask("/s/plain/http://h.test/private")):
        hidden = {"surrogate-key", "cache-tag", "x-accel-expires", "x-imgproxy-generation", "x-imgproxy-expires"}
        assert not hidden & answer.headers.keys()
        assert answer.headers["cache-control"] == "max-age=5"
        assert answer.headers["server"] == "nginx"


def test_a_cdn_gets_the_tags() -> None:
    with cluster(cdn_tags=True) as (edge, nodes):
        nodes.say(Says(headers=KEPT | {"Surrogate-Key": "a b", "Cache-Tag": "a,b"}))
        headers = edge.ask("/s/plain/x").headers
        assert (headers["surrogate-key"], headers["cache-tag"]) == ("a b", "a,b")


def test_the_edge_adds_its_own_word_on_caching(three: EDGE) -> None:
    edge, nodes = three
    nodes.say(Says(headers=KEPT | {"Cache-Status": "imgproxy; hit; detail=memory"}))
    request = b"GET /s/plain/http://h.test/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for own in (b"edge; fwd=uri-miss; stored", b"edge; hit"):
        answer = send_raw(edge.edge.listen, request)
        lines = [line for line in answer.split(b"\r\n") if line.startswith(b"Cache-Status")]
        assert lines == [b"Cache-Status: imgproxy; hit; detail=memory", b"Cache-Status: " + own]


def test_kept_answers_say_how_old_they_are(three: EDGE) -> None:
    edge, nodes = three
    now = time.time()
    made = {"Date": formatdate(now - 30, usegmt=True), "Age": "100", "X-Accel-Expires": "1000"}
    nodes.say(Says(headers=KEPT | made))
    target = "/s/plain/http://h.test/age"
    assert edge.ask(target).headers["age"] == "100"
    assert 130 <= int(edge.ask(target).headers["age"]) <= 135


def test_a_renewed_answer_is_young_again(three: EDGE) -> None:
    edge, nodes = three
    now = time.time()
    target = "/s/plain/http://h.test/renewed"
    nodes.say(Says(headers=STALE | {"Date": formatdate(now - 500, usegmt=True)}))
    expired(edge, target)
    nodes.say(Says(304, headers=KEPT))
    assert int(edge.ask(target).headers["age"]) > 490
    answer = until(lambda: (found := edge.ask(target)).headers["cache-status"] == "edge; hit" and found)
    assert int(answer.headers["age"]) <= 2


def test_request_ids_go_both_ways(three: EDGE) -> None:
    edge, nodes = three
    nodes.say(Says(headers=KEPT | {"X-Request-ID": "of-the-first"}))
    target = "/s/plain/http://h.test/ids"
    assert edge.ask(target, X_Request_ID="mine_1-2").headers["x-request-id"] == "mine_1-2"
    assert nodes.requests[0].headers["x-request-id"] == "mine_1-2"
    assert edge.ask(target, X_Request_ID="second").headers["x-request-id"] == "second"
    for bad in ("a b", "x" * 129, "ü", ""):
        given = edge.ask(target + "2", X_Request_ID=bad).headers["x-request-id"]
        assert len(given) == 32
        assert given != bad


def test_the_log_holds_no_signature_and_no_query(three: EDGE) -> None:
    edge, _ = three
    before = len((edge.folder / "access.log").read_bytes().splitlines())
    edge.ask("/SIGNATURE/w:1/plain/http://h.test/a.jpg%3Ftoken=SECRET?utm=SECRET")
    edge.ask("/SIGNATURE?SECRET")
    edge.ask("/SIGNATURE/w:1/plain/http://h.test/a.jpg?SECRET", "POST")
    lines = edge.lines(before + 3)[before:]
    assert [line["path"] for line in lines] == [
        "/*/w:1/*",
        "/",
        "/*/w:1/*",
    ]
    text = (edge.folder / "access.log").read_text() + (edge.folder / "out").read_text()
    assert "SIGNATURE" not in text
    assert "SECRET" not in text
    assert lines[0].keys() >= {"time", "request_id", "seconds", "cache", "class", "bytes", "node", "node_status"}
    assert (lines[0]["cache"], lines[0]["node_status"], lines[0]["bytes"]) == ("MISS", "200", 7)


def test_methods_and_health(three: EDGE) -> None:
    edge, nodes = three
    assert edge.ask("/s/plain/http://h.test/m", "POST").status == 405
    assert edge.ask("/edge-health").body == b"ok\n"
    assert nodes.requests == []
    for path in ("/health", "/readyz", "/livez"):
        assert edge.ask(path).status == edge.ask(path).status == 200
    assert edge.ask("/s/plain/http://h.test/m", "OPTIONS").status == 200
    assert len(nodes.requests) == 7
    # What is no image's URL is the nodes' own matter.
    for path in ("/", "/favicon.ico", "/playground?x=1"):
        assert [edge.ask(path).headers["cache-status"] for _ in range(2)] == ["edge; fwd=bypass"] * 2
    assert len(nodes.requests) == 13


def test_svg_is_compressed_and_pixels_are_not(three: EDGE) -> None:
    edge, nodes = three
    for kind, encoding in (("image/svg+xml", "gzip"), ("image/png", None)):
        nodes.say(Says(body=b"<svg/>" * 500, headers=KEPT | {"Content-Type": kind}))
        answer = edge.ask(f"/s/plain/http://h.test/{encoding}", Accept_Encoding="gzip")
        assert answer.headers.get("content-encoding") == encoding


def test_many_kept_answers_do_not_use_up_the_descriptors() -> None:
    with cluster(workers="1", open_files=256) as (edge, _):
        for turn in ("edge; fwd=uri-miss; stored", "edge; hit"):
            for number in range(300):
                answer = edge.ask(f"/s/plain/http://h.test/{number}")
                assert (answer.status, answer.headers["cache-status"]) == (200, turn)


def test_without_nodes_there_is_an_answer_all_the_same() -> None:
    with cluster() as (edge, nodes):
        nodes.stop(nodes[0])
        assert edge.ask("/s/plain/x").status == 502
        assert edge.ask("/edge-health").status == 200
