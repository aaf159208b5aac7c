"""Why a URL gives what it gives: each step of its reading with a tick or the reason. For ``imgproxy explain``."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imgproxy.dialects.imgproxy import Dialect
from imgproxy.errors import ImageError
from imgproxy.model import Client, Plan
from imgproxy.negotiation import Negotiator
from imgproxy.origins.fetch import Origins
from imgproxy.planning import Planner
from imgproxy.signing import Signer
from imgproxy.tokens import Tokens, is_token

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from imgproxy.presets import Presets
    from imgproxy.settings import Settings
    from imgproxy.tokens import Token

_LAST_SECOND = 253402300799
_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")


@dataclass(frozen=True, slots=True)
class Step:
    """One finding."""

    name: str
    text: str
    good: bool = True
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def explain(url: str, settings: Settings) -> list[Step]:
    """The steps of reading a URL (or its path), up to the first that fails."""
    host = _HOST.match(url)
    target = (url[host.end() :] if host else url).encode().decode("latin-1")
    steps: list[Step] = []
    try:
        for step in _walk(target, settings):
            steps.append(step)  # noqa: PERF402 - kept when the walk fails
    except ImageError as error:
        name, text = error.code.replace("_", " "), f"{error.status} {error.text}: {error}"
        steps.append(Step(name, text, good=False, remedy=error.remedy))
    return steps


def _walk(target: str, settings: Settings) -> Iterator[Step]:
    dialect = Dialect(settings.dialect)
    signed = dialect.split(target)
    if not target.partition("?")[0].endswith(signed.path):
        yield Step("repaired path", signed.path)
    if "?" in target:
        yield Step("ignored", f"?{target.partition('?')[2]}: a query is no part of the path; encode ? as %3F")
    token = yield from _signature(signed.signature, signed.path, settings)
    request = dialect.read(signed.path)
    yield Step("source", request.source.url)
    planner = Planner(settings.plan, settings.presets, Negotiator(settings.negotiation), watermark="configured")
    if token is not None:
        token.check(request, settings.presets)
        yield Step("permitted", _permitted(token, settings.presets))
    plan = planner.plan(request, Client())
    yield from _plan(token.bound(plan) if token else plan, of_token=token is not None and token.expires > 0)
    Origins(settings.origin).check(plan.source)
    yield Step("origin", "allowed; its address is checked when it is contacted")


def _signature(signature: str, path: str, settings: Settings) -> Generator[Step, None, Token | None]:
    """What is to be said of a signature, or of the token in its place; returns the token."""
    signer, keys = Signer.of(settings.signing), len(settings.signing.key)
    if is_token(signature) and signer.checks(signature):
        token, pair = Tokens(signer.pairs).read(signature)
        scope = f"all sources below {token.prefix}" if token.prefix else "one source"
        yield Step("token", f"good: key {pair + 1} of {keys}, for preset {token.preset!r} and {scope}")
        return token
    pair = signer.verify(signature, path)
    if pair is not None:
        yield Step("signature", f"good: key {pair + 1} of {keys}")
    elif settings.signing.key:
        yield Step("signature", "trusted without a check (IMGPROXY_TRUSTED_SIGNATURES)")
    else:
        yield Step("signature", "not checked: no key is configured")
    return None


def _permitted(token: Token, presets: Presets) -> str:
    options = ", ".join(presets.left_open(token.preset)) or "nothing"
    widths = ", ".join(map(str, presets.widths(token.preset)))
    return f"by the token; beside the preset a URL may set {options}" + (f"; widths are {widths}" if widths else "")


def _plan(plan: Plan, *, of_token: bool = False) -> Iterator[Step]:
    for segment in plan.options.segments():
        yield Step("option", segment)
    requested = plan.formats.requested
    yield Step("format", requested.name if requested else "by Accept, source and settings")
    qualities = dict(plan.encoding.quality)
    yield Step("quality", ", ".join(f"{name} {quality}" for name, quality in qualities.items()))
    if plan.delivery.expires:
        # A timestamp in milliseconds, as JavaScript has them, lies beyond what a datetime holds.
        expires = datetime.fromtimestamp(min(plan.delivery.expires, _LAST_SECOND), UTC)
        over = expires < datetime.now(UTC)
        whose = ", by the token or the URL" if of_token else ""
        told = f"{expires:%Y-%m-%d %H:%M:%S} UTC{whose}{', which is over' if over else ''}"
        yield Step("expires", told, good=not over)
    yield Step("key", plan.key)
