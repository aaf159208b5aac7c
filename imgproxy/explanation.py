"""Why a URL gives what it gives: each step of its reading with a tick or the reason. For ``imgproxy explain``."""

from __future__ import annotations

import itertools
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imgproxy.corrections import diagnose
from imgproxy.dialects.imgproxy import Dialect
from imgproxy.errors import ImageError
from imgproxy.model import Client, Plan
from imgproxy.negotiation import Negotiator
from imgproxy.options import Preset
from imgproxy.options.base import Setting
from imgproxy.origins.fetch import Origins
from imgproxy.planning import Planner
from imgproxy.presets import DEFAULT
from imgproxy.presets.tracing import origins, trace
from imgproxy.readings import Rules
from imgproxy.signing import Signer
from imgproxy.tokens import Tokens, is_token

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from imgproxy.model import ImageRequest
    from imgproxy.options.base import Option
    from imgproxy.presets import Presets
    from imgproxy.presets.tracing import Traced
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
    """The steps of reading a URL (or its path), up to the first that fails, with what would be right."""
    host = _HOST.match(url)
    target = (url[host.end() :] if host else url).encode().decode("latin-1")
    planner = Planner(settings.plan, settings.presets, Negotiator(settings.negotiation), watermark="configured")
    dialect, signer = Dialect(settings.dialect), Signer.of(settings.signing)
    rules = Rules(signer, planner, Tokens(signer.pairs))
    steps: list[Step] = []
    try:
        for step in _walk(target, settings, dialect, planner):
            steps.append(step)  # noqa: PERF402 - kept when the walk fails
    except ImageError as error:
        found = diagnose(dialect, rules, target, error, host[0] if host else "")
        name, text = error.code.replace("_", " "), f"{error.status} {error.text}: {found.cause or error}"
        steps.append(Step(name, text, good=False, remedy=error.remedy))
        if found.path:
            # Whoever has the keys in the environment may sign what he likes.
            meant = f"did you mean {', '.join(found.meant)}? " if found.meant else ""
            path = dialect.prefix.rstrip("/") + rules.signer.sign(found.path)
            steps.append(Step("corrected", f"{meant}{host[0] if host else ''}{path}"))
    return steps


def _walk(target: str, settings: Settings, dialect: Dialect, planner: Planner) -> Iterator[Step]:
    signed = dialect.split(target)
    if not target.partition("?")[0].endswith(signed.path):
        yield Step("repaired path", signed.path)
    if "?" in target:
        yield Step("ignored", f"?{target.partition('?')[2]}: a query is no part of the path; encode ? as %3F")
    token = yield from _signature(signed.signature, signed.path, settings)
    request = dialect.read(signed.path)
    yield Step("source", request.source.url)
    if token is not None:
        token.check(request, settings.presets)
        yield Step("permitted", _permitted(token, settings.presets))
    plan = planner.plan(request, Client())
    yield from _presets(settings.presets, plan)
    setters = _setters(settings.presets, request)
    yield from _plan(token.bound(plan) if token else plan, setters, of_token=token is not None and token.expires > 0)
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


def _presets(presets: Presets, plan: Plan) -> Iterator[Step]:
    for name in plan.delivery.presets:
        own = presets[name]
        going = f"; deprecated{f': {own.deprecated.note}' if own.deprecated.note else ''}" if own.deprecated else ""
        yield Step("preset", f"{name} ({own.place}{going})")


def _setters(presets: Presets, request: ImageRequest) -> Mapping[tuple[type[Option], str], Sequence[Traced]]:
    """Who set each field of each option; what only the server's settings say is not in it."""
    default = [Setting(Preset, (("names", (DEFAULT,)),))] if DEFAULT in presets else []
    return origins(trace(presets, (*default, *request.settings), request.source.url))


def _who(traced: Traced) -> str:
    if not traced.preset:
        return "the URL"
    return f"{'the canary of ' if traced.canary else ''}preset {traced.preset!r}"


def _plan(
    plan: Plan, setters: Mapping[tuple[type[Option], str], Sequence[Traced]], *, of_token: bool = False
) -> Iterator[Step]:
    for option in plan.options.asked:
        kind = type(option)
        fields = [name for name, each in kind.arguments().items() if getattr(option, name) != each.default]
        told = [[_who(each) for each in setters.get((kind, name), ())] or ["the settings"] for name in fields]
        whose = dict.fromkeys(itertools.chain.from_iterable(told))
        said = f" ({', '.join(whose)})" if whose else ""
        yield Step("option", "/".join(option.write()) + said)
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
