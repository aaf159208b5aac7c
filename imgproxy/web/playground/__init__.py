"""The playground at ``/``: a static page, and what it asks the server for. It exists only where it is switched on.

Its answers are made by pure modules beside this one; here are the routes, the limits, and the order of the checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imgproxy.errors import ImageError
from imgproxy.web.playground import drafts, urls
from imgproxy.web.playground.border import host_refusal, refusal
from imgproxy.web.playground.controls import table
from imgproxy.web.playground.uploads import LARGEST, Refused, Uploads

if TYPE_CHECKING:
    from starlette.requests import Request

    from imgproxy.web.playground.settings import PlaygroundSettings
    from imgproxy.web.playground.urls import Json, Rules

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere, in nobody's frame."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_LARGEST_JSON = 512 * 1024
_MOST_URLS = 400
_MOST_SOURCES = 40


@dataclass(frozen=True, slots=True)
class Example:
    """A picture and options that show something."""

    source: str
    options: str
    about: str


class _Refusal(Exception):
    """A request that is not answered: status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Playground:
    """The page and its endpoints. ``rules`` are exchanged when keys or presets are."""

    def __init__(
        self,
        settings: PlaygroundSettings,
        rules: Rules,
        examples: Iterable[Example] = (),
        uploads: Uploads | None = None,
    ) -> None:
        self.rules = rules
        self._hosts = settings.playground_hosts
        self._examples = tuple(examples)
        self._uploads = uploads
        page = files("imgproxy.web.playground") / "page"
        self._files = {each.name: _File.of(each.name, each.read_bytes()) for each in page.iterdir()}

    def routes(self, prefix: str, server: str) -> list[Route]:
        """The routes below a path prefix; ``server`` is what the header Server says."""
        headers = _HEADERS | {"Server": server}
        answers: dict[str, Callable[[Json], Json]] = {
            "start": self._start,
            "sign": self._sign,
            "parse": self._parse,
            "explain": lambda asked: urls.explained(self.rules, _text(asked, "url")),
            "check": self._check,
        }
        page = [Route(f"{prefix}/", self._page("index.html", headers), methods=["GET", "HEAD"])]
        page += [
            Route(f"{prefix}/playground/{name}", self._page(name, headers), methods=["GET", "HEAD"])
            for name in self._files
            if name != "index.html"
        ]
        asked = [
            Route(f"{prefix}/playground/{name}", self._answering(answer, headers), methods=["POST"])
            for name, answer in answers.items()
        ]
        return [*page, *asked, Route(f"{prefix}/playground/drop", self._dropped(headers), methods=["POST"])]

    def _page(self, name: str, headers: Mapping[str, str]) -> Callable[[Request], Awaitable[Response]]:
        file = self._files[name]

        async def answer(request: Request) -> Response:
            if refused := host_refusal(request.headers, self._hosts):
                return Response(refused[1], refused[0], dict(headers), "text/plain")
            own = {**headers, "ETag": file.etag, "Cache-Control": "no-cache"}
            if request.headers.get("if-none-match") == file.etag:
                return Response(None, 304, own)
            return Response(file.body, 200, own, file.media_type)

        return answer

    def _answering(
        self, answer: Callable[[Json], Json], headers: Mapping[str, str]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            try:
                self._admit(request, "application/json")
                told = answer(_object(await _body(request, _LARGEST_JSON)))
            except _Refusal as refused:
                return _say(refused.status, str(refused), headers)
            return JSONResponse(told, 200, {**headers, "Cache-Control": "no-store"})

        return respond

    def _dropped(self, headers: Mapping[str, str]) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            try:
                self._admit(request, "application/octet-stream")
                uploads = self._uploads
                if uploads is None:
                    raise _Refusal(409, "This server takes no files: set IMGPROXY_PLAYGROUND_UPLOAD_DIR.")  # noqa: TRY301
                source = await anyio.to_thread.run_sync(uploads.keep, await _body(request, LARGEST))
            except Refused as refused:
                return _say(415, str(refused), headers)
            except _Refusal as refused:
                return _say(refused.status, str(refused), headers)
            return JSONResponse({"source": source}, 200, {**headers, "Cache-Control": "no-store"})

        return respond

    def _admit(self, request: Request, media_type: str) -> None:
        if refused := refusal(request.headers, self._hosts, media_type):
            raise _Refusal(*refused)

    def _start(self, _asked: Json) -> Json:
        """What the page is made of."""
        rules = self.rules
        return {
            "controls": table(),
            "presets": drafts.listed(rules.presets),
            "files": [{"name": name, "text": text} for name, text in rules.preset.texts([])],
            "examples": [] if rules.dialect.only_presets else [self._example(each) for each in self._examples],
            "uploads": self._uploads is not None,
            "largest": LARGEST,
            "signed": bool(rules.signer.pairs),
            "prefix": rules.dialect.path_prefix,
            "only_presets": rules.dialect.only_presets,
        }

    def _example(self, example: Example) -> Json:
        return {
            "source": example.source,
            "options": example.options,
            "about": example.about,
            "url": urls.sign(self.rules, example.source, example.options.split("/")),
            "thumbnail": urls.sign(self.rules, example.source, ["rs:fill:192:128", "f:webp"]),
        }

    def _sign(self, asked: Json) -> Json:
        return {"signed": [self._signed(each) for each in _list(asked, "requests", _MOST_URLS)]}

    def _signed(self, asked: object) -> Json:
        if not isinstance(asked, dict):
            raise _Refusal(400, "Expected requests with source and values.")
        request = cast("Json", asked)
        values = request.get("values", {})
        if not isinstance(values, dict):
            raise _Refusal(400, "Expected values as an object.")
        try:
            return urls.signed(self.rules, _text(request, "source"), cast("Json", values))
        except ImageError as error:
            return _wrong(error)

    def _parse(self, asked: Json) -> Json:
        try:
            return urls.parsed(self.rules, _text(asked, "url"))
        except ImageError as error:
            return _wrong(error)

    def _check(self, asked: Json) -> Json:
        sources = [str(each) for each in _list(asked, "sources", _MOST_SOURCES)]
        return drafts.checked(self.rules, _text(asked, "file"), _text(asked, "text"), sources)


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    etag: str
    media_type: str

    @classmethod
    def of(cls, name: str, body: bytes) -> _File:
        etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        return cls(body, etag, _MEDIA_TYPES[name[name.rindex(".") :]])


def _wrong(error: ImageError) -> Json:
    """A finding, which is no failure of the request."""
    return {"error": str(error) or error.text, "remedy": error.remedy}


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _Refusal(413, f"Expected at most {most} bytes.")
    return bytes(body)


def _object(body: bytes) -> Json:
    try:
        asked: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise _Refusal(400, "Expected JSON.") from None
    if not isinstance(asked, dict):
        raise _Refusal(400, "Expected a JSON object.")
    return cast("Json", asked)


def _text(asked: Json, name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str):
        raise _Refusal(400, f"Expected {name} as text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Refusal(400, f"{name} is no Unicode text.") from None
    return value


def _list(asked: Json, name: str, most: int) -> list[object]:
    value = asked.get(name)
    if not isinstance(value, list) or len(cast("list[object]", value)) > most:
        raise _Refusal(400, f"Expected {name} as a list of at most {most}.")
    return cast("list[object]", value)


def _say(status: int, reason: str, headers: Mapping[str, str]) -> JSONResponse:
    return JSONResponse({"error": reason}, status, {**headers, "Cache-Control": "no-store"})
