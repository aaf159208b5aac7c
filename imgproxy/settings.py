"""The sum of every room's settings, and the only reader of the environment.

Field ``max_redirects`` of whatever room is the variable ``IMGPROXY_MAX_REDIRECTS``. All mistakes are reported at
once; unknown names are warned of, with what was probably meant.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from imgproxy.caches.settings import CacheSettings
from imgproxy.dialects.imgproxy import DialectSettings
from imgproxy.edge.announce import EdgeSettings
from imgproxy.errors import ImageError
from imgproxy.etags import TagSettings
from imgproxy.freshness import FreshnessSettings
from imgproxy.logs import LogSettings
from imgproxy.metrics import MetricsSettings
from imgproxy.model import SourceRef
from imgproxy.negotiation import NegotiationSettings
from imgproxy.options import SecurityLimits
from imgproxy.origins.base import OriginSettings
from imgproxy.origins.configured import ConfiguredSettings
from imgproxy.overload.admission import OverloadSettings
from imgproxy.overload.buckets import RateSettings
from imgproxy.planning import PlanSettings
from imgproxy.presets import BadPresets, Presets
from imgproxy.presets.settings import PresetSettings
from imgproxy.render.settings import PoolSettings
from imgproxy.signing import SigningSettings
from imgproxy.web.admin import AdminSettings
from imgproxy.web.playground import settings as playground
from imgproxy.web.playground.settings import PlaygroundSettings
from imgproxy.web.settings import WebSettings

PREFIX = "IMGPROXY_"
ENV_FILE = f"{PREFIX}ENV_LOCAL_FILE_PATH"


class BadSettings(ValueError):
    """Settings that the server cannot start with; the message has a line for each mistake."""

    def __init__(self, *mistakes: str, presets: Sequence[str] = (), rest: Settings | None = None) -> None:
        super().__init__("\n".join((*mistakes, *presets)))
        self.mistakes = mistakes
        self.presets = tuple(presets)
        """Those in presets, each with its place."""
        self.rest = rest
        """All but the presets, where nothing else is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every room's settings, and the presets that they name."""

    signing: SigningSettings
    dialect: DialectSettings
    preset: PresetSettings
    plan: PlanSettings
    negotiation: NegotiationSettings
    tag: TagSettings
    freshness: FreshnessSettings
    cache: CacheSettings
    edge: EdgeSettings
    admin: AdminSettings
    origin: OriginSettings
    configured: ConfiguredSettings
    pool: PoolSettings
    overload: OverloadSettings
    rate: RateSettings
    web: WebSettings
    playground: PlaygroundSettings
    metrics: MetricsSettings
    log: LogSettings
    presets: Presets
    warnings: tuple[str, ...] = ()
    file: Path | None = None
    """The file with variables, if one was named."""

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings of this environment (the process's own by default). Raises ``BadSettings``."""
        environment = dict(os.environ if environment is None else environment)  # noqa: TID251 - here and nowhere else
        given = _with_file(environment)
        rooms: dict[str, Any] = {}
        mistakes: list[str] = []
        in_presets: list[str] = []
        for name, room in ROOMS.items():
            try:
                rooms[name] = room.model_validate(dict(_given(room, given)))
            except ValidationError as error:
                mistakes += _explained(error)
        if "preset" in rooms and "dialect" in rooms:
            rooms["presets"] = _presets(rooms, in_presets)
        if "configured" in rooms and "origin" in rooms:
            mistakes += _unreachable(rooms["configured"], rooms["origin"])
        if "playground" in rooms and "origin" in rooms:
            mistakes += playground.mistakes(rooms["playground"], rooms["origin"].local_filesystem_root)
        if mistakes:
            raise BadSettings(*mistakes, presets=in_presets)
        path = environment.get(ENV_FILE)
        warnings = [
            *_unknown(given),
            *playground.warnings(rooms["playground"], rooms["web"], signed=bool(rooms["signing"].key)),
        ]
        further: dict[str, Any] = {"warnings": tuple(warnings), "file": Path(path) if path else None}
        if in_presets:
            raise BadSettings(presets=in_presets, rest=cls(**rooms | {"presets": Presets()}, **further))
        return cls(**rooms, **further)

    @property
    def loop_id(self) -> str:
        """What this service calls itself in CDN-Loop headers."""
        return self.origin.loop_id or self.signing.fingerprint

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that these settings were read from, and that may change while the server runs."""
        named = (self.file, self.signing.key_path, self.signing.salt_path, *self.preset.files)
        return tuple(path for path in named if path is not None)


ROOMS: dict[str, type[BaseModel]] = {
    "web": WebSettings,
    "playground": PlaygroundSettings,
    "signing": SigningSettings,
    "dialect": DialectSettings,
    "preset": PresetSettings,
    "origin": OriginSettings,
    "plan": PlanSettings,
    "negotiation": NegotiationSettings,
    "configured": ConfiguredSettings,
    "pool": PoolSettings,
    "overload": OverloadSettings,
    "rate": RateSettings,
    "freshness": FreshnessSettings,
    "cache": CacheSettings,
    "admin": AdminSettings,
    "edge": EdgeSettings,
    "tag": TagSettings,
    "metrics": MetricsSettings,
    "log": LogSettings,
}
"""The classes in the order of the documentation."""


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def names(name: str, field: FieldInfo) -> tuple[str, ...]:
    """The variables that set a field: its own, and an old one of imgproxy's where there was one."""
    alias = extras(field).get("alias")
    return (variable(name), *((variable(alias),) if alias else ()))


def extras(field: FieldInfo) -> dict[str, str]:
    """What a field says beside its description: ``alias``, ``imgproxy`` and ``why``, as text."""
    extra = cast("Mapping[str, object]", field.json_schema_extra or {})
    return {key: str(value) for key, value in extra.items()}


@dataclass(frozen=True, slots=True)
class Given:
    """A variable that is set."""

    value: str
    place: str
    """"environment", or the file that it stands in."""


def variables(environment: Mapping[str, str] | None = None) -> dict[str, Given]:
    """Those of this server's variables that are set. Raises ``BadSettings`` if the file with others is missing."""
    environment = dict(os.environ if environment is None else environment)  # noqa: TID251 - as above
    file = environment.get(ENV_FILE, "")
    bind = variable("bind")
    found: dict[str, Given] = {}
    for name, value in _with_file(environment).items():
        if value and name.startswith(PREFIX):
            stood_in = name == bind and value == f":{environment.get('PORT')}"
            place = "environment" if environment.get(name) else "PORT" if stood_in else file
            found[name] = Given(value, place)
    return found


def _given(room: type[BaseModel], given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, field in room.model_fields.items():
        for each in names(name, field):
            # An empty variable is one that is not set, as deployment tools leave them.
            if given.get(each):
                yield name, given[each]
                break


def _presets(rooms: Mapping[str, Any], mistakes: list[str]) -> Presets | None:
    """The presets that the settings name; what is wrong with them is added to ``mistakes``."""
    settings: PresetSettings = rooms["preset"]
    try:
        presets = settings.read(rooms["dialect"].arguments_separator)
    except BadPresets as error:
        mistakes += str(error).splitlines()
        return None
    if "plan" in rooms and not rooms["plan"].allow_security_options:
        mistakes += [
            f"preset {name!r} uses security options, which need IMGPROXY_ALLOW_SECURITY_OPTIONS"
            for name in presets.using(SecurityLimits)
        ]
    return presets


def _unreachable(configured: ConfiguredSettings, origin: OriginSettings) -> Iterator[str]:
    """What is wrong with pictures whose URLs no origin will ever be asked for."""
    for name in ("watermark_url", "fallback_image_url"):
        if url := getattr(configured, name):
            from imgproxy.origins.asking import Asking  # noqa: PLC0415 - few need HTTP clients this early

            try:
                Asking(origin, "").check(SourceRef(url))
            except ImageError as error:
                instead = variable(name.replace("_url", "_path"))
                yield f"{variable(name)}: {error}; give a URL that sources may have, or a file in {instead}"


def _with_file(given: dict[str, str]) -> dict[str, str]:
    """The environment over the file that IMGPROXY_ENV_LOCAL_FILE_PATH names; PORT stands in for IMGPROXY_BIND."""
    given = dict(given)
    path = given.pop(ENV_FILE, "")
    if path:
        if not Path(path).is_file():
            raise BadSettings(f"{ENV_FILE}: there is no file {path}")
        given = {name: value for name, value in dotenv_values(path).items() if value is not None} | given
    if given.get("PORT") and not given.get(variable("bind")):
        given[variable("bind")] = f":{given['PORT']}"
    return given


def _explained(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_input=False, include_url=False):
        message = each["msg"].removeprefix("Value error, ")
        where = variable(str(each["loc"][0])) if each["loc"] else ""
        yield f"{where}: {message}" if where else message


def known() -> list[str]:
    """Every variable that is a setting, old names included."""
    return [each for room in ROOMS.values() for name, field in room.model_fields.items() for each in names(name, field)]


def meant(name: str) -> str:
    """The variable that was probably meant by one that is none; empty if nothing is like it."""
    own = [each.removeprefix(PREFIX) for each in known()]  # the prefix alone makes any two of them alike
    return next((PREFIX + each for each in difflib.get_close_matches(name.removeprefix(PREFIX), own, 1, 0.75)), "")


def _unknown(given: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({name for name in given if name.startswith(PREFIX)}.difference(known())):
        close = meant(name)
        yield f"{name} is not a setting of this server" + (f", did you mean {close}?" if close else "")
