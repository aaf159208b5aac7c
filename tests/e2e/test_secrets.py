"""No secret leaves the server: not in answers, headers, logs or metrics, not to origins, not to render processes.

Each secret setting has a value of its own that occurs nowhere else, and so have passwords and queries in source URLs.
The server does all that it does, in production and in development mode; then everything that came out of it is
searched for each value: as it is, percent-encoded, in hexadecimal, and in base64 at each of its three alignments.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from imgproxy.signing import KeyPair, Signer, path_of
from tests.parts import redis_server
from tests.serving import ROOT, Answer, Server, free_port, serving

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from tests.e2e.origin import Pictures

pytestmark = pytest.mark.e2e

NEEDLES = ("secret", "admin_token", "redis_password", "edge_token", "trusted", "mark_query", "spare_query")
"""Words for settings; the key and the salt are bytes."""
SOURCES = ("source_password", "source_query", "redirect_query")
"""Words in the source URLs of clients, who know them."""
ACCEPTS = ("", "text/html", "application/problem+json", "image/avif,image/webp,*/*")
PLACES = (str(ROOT), sys.prefix, sys.base_prefix, "site-packages", '.py"', ".py:", "Traceback (most", "imgproxy/web")


def everywhere(word: bytes) -> set[bytes]:
    """All that a value may look like."""
    found = {word, quote(word).encode(), word.hex().encode(), word.hex().upper().encode()}
    for shift in range(3):
        # What does not depend on its neighbours: whole groups of three bytes.
        whole = base64.b64encode(bytes(shift) + word)[4 if shift else 0 :].rstrip(b"=")
        whole = whole[: len(whole) - len(whole) % 4] if (shift + len(word)) % 3 else whole
        found |= {whole, whole.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def found_in(heap: bytes, words: dict[str, bytes]) -> set[str]:
    """The names of those values that occur in it."""
    return {name for name, word in words.items() if any(look in heap for look in everywhere(word))}


@dataclass
class Case:
    """A server that has done everything, and what came out of it."""

    server: Server
    words: dict[str, bytes]
    development: bool
    root: Path
    answers: list[tuple[str, Answer]] = field(default_factory=list)
    """With the target that was asked for."""

    @property
    def own(self) -> dict[str, bytes]:
        """The server's own secrets."""
        return {name: word for name, word in self.words.items() if name not in SOURCES}


@pytest.fixture(scope="module", params=["production", "development"])
def case(request: pytest.FixtureRequest, origin: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    words = {name: secrets.token_hex(16).encode() for name in (*NEEDLES, *SOURCES)}
    words |= {"key": secrets.token_bytes(32), "salt": secrets.token_bytes(32)}
    root = tmp_path_factory.mktemp(f"root-{secrets.token_hex(8)}")
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    development = request.param == "development"
    with redis_server("--requirepass", words["redis_password"].decode()) as redis:
        # In production its password is wrong, so that errors of the client are logged.
        password = words["redis_password"].decode() if development else words["redis_password"].decode() + "x"
        settings = {name: words[name].decode() for name in ("secret", "admin_token", "edge_token")}
        settings |= {
            "key": words["key"].hex(),
            "salt": words["salt"].hex(),
            "trusted_signatures": words["trusted"].decode(),
            "redis_url": f"redis://:{password}@127.0.0.1:{redis.port}",
            "watermark_url": f"http://127.0.0.1:{free_port()}/mark.png?sig={words['mark_query'].decode()}",
            "fallback_image_url": origin.url(f"status/503?sig={words['spare_query'].decode()}"),
            "edge_urls": f"http://127.0.0.1:{free_port()}",
            "local_filesystem_root": str(root),
            "prometheus_bind": f"127.0.0.1:{free_port()}",
            "admin_bind": f"127.0.0.1:{free_port()}",
            "development_errors_mode": str(development).lower(),
            "enable_debug_headers": "1",
            "log_level": "debug",
            "timeout": "5s",
        }
        with serving(**settings) as server:
            server.admin_bind = settings["admin_bind"]
            done = Case(server, words, development, root)
            drive(done, origin)
            yield done


def drive(case: Case, origin: Pictures) -> None:
    """Everything that can be asked of it, in each way to be answered."""
    words = {name: word.decode("latin-1") for name, word in case.words.items()}
    signer = Signer([KeyPair(case.words["key"], case.words["salt"])])
    query, user = f"?token={words['source_query']}", f"user:{words['source_password']}@"
    good = origin.url(f"quadrants.png{query}")
    vars(origin)["_elsewhere"] = elsewhere
    astray = (
        f"ftp://{user}example.com/{words['redirect_query']}",
        f"http://{user}[broken/?key={words['redirect_query']}",
        f"http://{user}169.254.169.254/?key={words['redirect_query']}",
        f"http://{user}127.0.0.1:6379/?key={words['redirect_query']}",
        f"//{user}nowhere.invalid/?key={words['redirect_query']}",
    )
    unheard = f"http://{user}127.0.0.1:{free_port()}/photo.png{query}"
    sources = (
        good,
        good.replace("http://", f"http://{user}"),
        unheard,
        origin.url(f"missing.png{query}"),
        origin.url(f"status/403{query}"),
        origin.url(f"status/500{query}"),
        origin.url(f"short/quadrants.png{query}"),
        origin.url(f"redirect/1/quadrants.png%3Fkey={words['redirect_query']}"),
        origin.url(f"redirect/40/quadrants.png?key={words['redirect_query']}"),
        f"http://{user}169.254.169.254/latest{query}",
        f"http://{user}nowhere.invalid/photo.png{query}",
        f"ftp://{user}example.com/photo.png{query}",
        f"http://{user}[broken/photo.png{query}",
        f"local:///broken.png{query}",
        f"local:///nothing.png{query}",
        f"s3://bucket/photo.png{query}",
        *(origin.url(f"elsewhere/{place.encode().hex()}") for place in astray),
    )
    targets = [signer.sign(path_of(source, ("w:20",))) for source in sources]
    targets += [signer.sign(path_of(good, options)) for options in (("raw:1",), ("wm:1",), ("w:none",), ("exp:1",))]
    targets += [
        f"/{words['trusted']}" + path_of(good, ("w:21",)),
        "/unsigned" + path_of(good, ("w:20",)),
        path_of(good, ("w:20",)),
        # As people write them: the source in the place of the options, or half escaped.
        signer.sign(f"/w:20/{quote(good, safe=':/@')}"),
        signer.sign(f"/w:20/http://{user}example.com/photo.png%3Ftoken={words['source_query']}"),
        signer.sign(f"/w:20/plain/http://{user}example.com/%zz%3Ftoken={words['source_query']}"),
        signer.sign(f"/w:20/plain/http://{user}example.com/%ff%3Ftoken={words['source_query']}@nothing"),
        "/x/%ff%fe/nothing",
        "/",
        "/health",
        "/readyz",
        "/favicon.ico",
        "/.well-known/security.txt",
        "/metrics",
        "/purge",
    ]
    bearer = f"Bearer {words['secret']}"
    for target in targets:
        for accept in ACCEPTS:
            case.answers.append((target, case.server.ask(target, Authorization=bearer, Accept=accept)))
    for method, given in (("GET", "Bearer nothing"), ("POST", bearer), ("HEAD", bearer), ("OPTIONS", "")):
        case.answers.append((targets[0], case.server.ask(targets[0], method, Authorization=given)))
    for token in (words["admin_token"], "nothing"):
        for body in ({"source": good}, {"all": True, "soft": True}, {"source": 3}, "rubbish"):
            case.answers.append(("/purge", purge(case.server, token, json.dumps(body))))
    assert {answer.status for _, answer in case.answers} >= {200, 202 if not case.development else 200, 403, 404, 502}


async def elsewhere(place: str, _head: str, writer: asyncio.StreamWriter) -> None:
    """Redirects to a place that is given in hexadecimal digits."""
    place = bytes.fromhex(place).decode()
    writer.write(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {place}\r\n\r\n".encode())


def purge(server: Server, token: str, body: str) -> Answer:
    connection = http.client.HTTPConnection(server.admin_bind, timeout=20)
    try:
        connection.request("POST", "/purge", body, {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def test_no_answer_holds_a_secret(case: Case) -> None:
    for target, answer in case.answers:
        said = "\n".join(f"{name}: {value}" for name, value in answer.headers.items()).encode() + answer.body
        assert found_in(said, case.own) == set(), target
        # What the client wrote into its own URL it knows; what a redirect added it does not.
        assert found_in(said, case.words) <= found_in(target.encode(), case.words), target
        if not case.development and answer.status >= 400:
            assert found_in(said, case.words) == set(), target


def test_no_answer_says_where_anything_lies(case: Case) -> None:
    for target, answer in case.answers:
        for place in (*PLACES, str(case.root)):
            assert place not in answer.body.decode("latin-1"), target


def test_no_line_of_the_log_holds_a_secret(case: Case) -> None:
    for line in case.server.raw_log.splitlines():
        assert found_in(line.encode(), case.words) == set(), line


def test_no_metric_holds_a_secret_or_an_address(case: Case) -> None:
    metrics = case.server.metrics()
    assert found_in(metrics.encode(), case.words) == set()
    assert "127.0.0.1" not in metrics
    assert re.search(r"^requests_total \d", metrics, re.MULTILINE)


def test_origins_hear_of_no_secret(case: Case, origin: Pictures) -> None:
    heads = b"\n".join(origin.origin.requests)
    # What a source's URL says is for its origin, and so is the query of the fallback image.
    assert found_in(heads, {name: word for name, word in case.own.items() if name != "spare_query"}) == set()


def test_no_command_line_shows_a_secret(case: Case) -> None:
    for pid in (case.server.process.pid, *case.server.workers()):
        assert found_in(Path(f"/proc/{pid}/cmdline").read_bytes(), case.words) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of another process")
def test_no_render_process_holds_a_secret(case: Case) -> None:
    # What is looked for can be found: the server has it, and in its environment.
    assert set(case.own) <= memory_has(case.server.process.pid, case.own) | {"redis_password"}
    for pid in case.server.workers():
        assert found_in(Path(f"/proc/{pid}/environ").read_bytes(), case.words) == set()
        assert memory_has(pid, case.words) == set()


def memory_has(pid: int, words: dict[str, bytes]) -> set[str]:
    """The names of the values that a process has anywhere in its memory, in any form."""
    found: set[str] = set()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for row in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end = (int(part, 16) for part in row.split(" ", 1)[0].split("-"))
            if row.split()[1][0] != "r" or "[v" in row:
                continue
            try:
                memory.seek(start)
                found |= found_in(memory.read(end - start), words)
            except OSError:  # a hole at the end of a mapped file
                continue
    return found
