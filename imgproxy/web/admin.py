"""The admin listener: purges, for those who carry the token."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, cast

from pydantic import Field, SecretStr, field_validator, model_validator
from starlette.responses import JSONResponse
from starlette.routing import Route, Router

from imgproxy.environment import RoomSettings, one_word
from imgproxy.purging import BadPurge, selected, spellings
from imgproxy.web.listening import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from imgproxy.purging import Purging

_LARGEST = 64 * 1024
_FRESH = {"Cache-Control": "no-store"}


class AdminSettings(RoomSettings):
    """The listener for operators."""

    admin_bind: str = Field(
        default="", description="Address of the admin listener, such as 127.0.0.1:8082, for `POST /purge`. Empty: none."
    )
    admin_token: SecretStr = Field(
        default=SecretStr(""), description="Token that requests to it must carry as Authorization: Bearer. Required."
    )

    @field_validator("admin_bind")
    @classmethod
    def _is_address(cls, bind: str) -> str:
        if bind:
            Address.parse(bind)
        return bind

    @field_validator("admin_token")
    @classmethod
    def _is_one_word(cls, token: SecretStr) -> SecretStr:
        return one_word(token)

    @model_validator(mode="after")
    def _is_locked(self) -> Self:
        if self.admin_bind and not self.admin_token.get_secret_value():
            raise ValueError("IMGPROXY_ADMIN_BIND needs IMGPROXY_ADMIN_TOKEN: anybody could purge without it")
        return self


class Admin:
    """Answers ``POST /purge`` with what went, or with what would go (``"dry_run": true``)."""

    def __init__(self, purging: Purging, settings: AdminSettings, rewrite: Callable[[str], str]) -> None:
        self._purging = purging
        self._expected = b"Bearer " + settings.admin_token.get_secret_value().encode()
        self._rewrite = rewrite
        self._router = Router([Route("/purge", self._purge, methods=["POST"])])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._expected):
            refusal = _say(401, "Send `Authorization: Bearer <IMGPROXY_ADMIN_TOKEN>`.")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            await refusal(scope, receive, send)
        else:
            await self._router(scope, receive, send)

    async def _purge(self, request: Request) -> JSONResponse:
        try:
            asked = await _asked(request)
            dry = _is_dry(asked)
            purges = dict.fromkeys(selected(each, self._rewrite) for each in spellings(asked))
        except BadPurge as error:
            return _say(400, str(error))
        if dry:
            tiers = _summed([self._purging.foresee(purge) for purge in purges])
            return JSONResponse({"would_purge": sum(filter(None, tiers.values())), "tiers": tiers}, headers=_FRESH)
        done = [await self._purging.purge(purge) for purge in purges]
        told = {each.shared for each in done}
        tiers = _summed([each.entries for each in done])
        answer = {
            "purged": sum(filter(None, tiers.values())),
            "tiers": tiers,
            "edges": min(each.edges for each in done),
            "nodes_told": False if False in told else next(iter(told)),
            "soft": done[-1].purge.soft,
            "generation": done[-1].purge.generation,
        }
        # 202: it is in force here, and reaches the others as soon as Redis answers.
        return JSONResponse(answer, 202 if False in told else 200, _FRESH)


def _summed(counts: Sequence[Mapping[str, int | None]]) -> dict[str, int | None]:
    """By tier; None where one of them is not known."""
    return {
        tier: None if None in (each := [count.get(tier) for count in counts]) else sum(filter(None, each))
        for tier in counts[0]
    }


def _is_dry(asked: dict[str, object]) -> bool:
    """Whether nothing is to be purged, but foreseen; takes the key out. Raises ``BadPurge``."""
    dry = asked.pop("dry_run", False)
    if not isinstance(dry, bool):
        raise BadPurge("dry_run: expected true or false")
    return dry


async def _asked(request: Request) -> dict[str, object]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise BadPurge(f"expected at most {_LARGEST} bytes")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise BadPurge('expected JSON, such as {"source": "https://example.com/a.jpg"}') from None
    if not isinstance(asked, dict):
        raise BadPurge('expected a JSON object, such as {"tag": "summer"}')
    return cast("dict[str, object]", asked)


def _say(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status, _FRESH)
