"""Telling the edges what was purged, and what a purge means for those who see only URLs."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import httpx
from pydantic import Field, SecretStr, field_validator

from imgproxy.environment import RoomSettings, Words, one_word
from imgproxy.model import Purge
from imgproxy.options import CacheTags, Preset
from imgproxy.options.base import Setting
from imgproxy.presets import DEFAULT, Presets

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger("imgproxy.edge")

TIMEOUT_S = 0.5
_PAUSES_S = (0.2, 1.0, 5.0)
"""Before each further attempt; the last one again and again."""
_MOST = 10_000
"""Purges that wait for an edge. More become one purge of everything."""
_BATCH = 100
"""Purges in one request: an edge takes 1 MiB."""
_LONGEST = 4096
"""Bytes of a value that an edge takes."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PRESET = "preset-"
_URL = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?/?")


class EdgeSettings(RoomSettings):
    """The nginx edges before this server (`imgproxy nginx`)."""

    edge_urls: Words = Field(
        default=(),
        description="Purge listeners of the edges, such as `http://10.0.0.5:8090`. Where there are any, answers say"
        " what an edge needs to know: X-Accel-Expires, X-Imgproxy-Generation and X-Imgproxy-Expires.",
    )
    edge_token: SecretStr = Field(default=SecretStr(""), description="Token that the edges ask for. Empty: none.")

    @field_validator("edge_urls")
    @classmethod
    def _are_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not _URL.fullmatch(url):
                # Not quoted: it may hold a password.
                raise ValueError('expected URLs such as "http://10.0.0.5:8090", without a user')
        return urls

    @field_validator("edge_token")
    @classmethod
    def _is_one_word(cls, token: SecretStr) -> SecretStr:
        return one_word(token)


def expand(purge: Purge, presets: Presets) -> tuple[Purge, ...]:
    """The purge as an edge has to hear it, who knows the presets' names in URLs but not what is in them.

    What a preset brings along, another preset's tag or a tag of its own, concerns the URLs that name the preset; if
    the default one brings it, all.
    """
    if purge.kind != "tag":
        return (purge,)
    if purge.value == _PRESET + DEFAULT or purge.value in _brought({DEFAULT} & {*presets.names}, presets):
        return (replace(purge, kind="all", value=""),)
    # The default preset is part of everything; what it brings was dealt with.
    concerned = [name for name in presets.names if purge.value in _brought({name}, presets)]
    tags = dict.fromkeys((purge.value, *(_PRESET + name for name in concerned)))
    return tuple(replace(purge, value=tag) for tag in tags)


def sayable(purge: Purge) -> Purge:
    """The purge in words that an edge takes: where its value has none, one that concerns more."""
    value = purge.value
    if purge.kind == "all" or (len(_bytes(value)) <= _LONGEST and not _CONTROL.search(value)):
        return purge
    start = _bytes(_CONTROL.split(value)[0])[:_LONGEST].decode("utf-8", "ignore") if purge.kind == "prefix" else ""
    return replace(purge, value=start) if start else replace(purge, kind="all", value="")


def _bytes(text: str) -> bytes:
    # The bytes of a source that is no UTF-8, as they are in its digest.
    return text.encode("utf-8", "surrogateescape")


def _brought(names: set[str], presets: Presets) -> set[str]:
    """The tags that these presets give to whatever uses them, those inside them included."""
    settings = [Setting(Preset, (("names", tuple(sorted(names))),))]
    applied = presets.applied(settings) if names else frozenset[str]()
    own = (setting for setting in presets.expand(settings) if setting.option is CacheTags)
    tags = {tag for setting in own for tag in dict(setting.values)["tags"]}
    return tags | {_PRESET + name for name in applied}


class Edges:
    """The edges before this server. ``async with`` it, or end it with ``aclose``."""

    def __init__(self, urls: Sequence[str], token: str = "", *, pauses: Sequence[float] = _PAUSES_S) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(
            headers=headers | {"Content-Type": "application/json"}, timeout=TIMEOUT_S, trust_env=False
        )
        self._edges = [_Edge(url.rstrip("/") + "/purge", self._client, tuple(pauses)) for url in urls]

    @classmethod
    def of(cls, settings: EdgeSettings) -> Edges:
        return cls(settings.edge_urls, settings.edge_token.get_secret_value())

    @property
    def waiting(self) -> int:
        """Purges that some edge has not taken yet."""
        return sum(len(edge.waiting) for edge in self._edges)

    async def announce(self, purges: Sequence[Purge]) -> int:
        """How many edges took the purges at once; the others get them as soon as they can be reached."""
        if not purges or not self._edges:
            return 0
        taken = await asyncio.gather(*(edge.tell(purges) for edge in self._edges))
        return sum(taken)

    async def aclose(self) -> None:
        for edge in self._edges:
            await edge.aclose()
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Edge:
    """One edge, and the purges that it has yet to hear of."""

    def __init__(self, url: str, client: httpx.AsyncClient, pauses: tuple[float, ...]) -> None:
        self.waiting: dict[tuple[str, str], Purge] = {}
        self._url = url
        self._client = client
        self._pauses = pauses
        self._task: asyncio.Task[None] | None = None

    async def tell(self, purges: Sequence[Purge]) -> bool:
        try:
            await self._post(purges)
        except httpx.HTTPError as error:
            _log.warning("an edge did not take a purge", extra={"fields": {"edge": self._url, "reason": repr(error)}})
            self._keep(purges)
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._deliver())
            return False
        return True

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self.waiting:
            _log.error(
                "an edge never heard of some purges",
                extra={"fields": {"edge": self._url, "purges": len(self.waiting)}},
            )

    def _keep(self, purges: Sequence[Purge]) -> None:
        for purge in purges:
            key = (purge.kind, purge.value)
            if key not in self.waiting or self.waiting[key].generation < purge.generation:
                self.waiting[key] = purge
        if len(self.waiting) > _MOST:
            newest = max(purge.generation for purge in self.waiting.values())
            self.waiting = {("all", ""): Purge("all", generation=newest)}

    async def _deliver(self) -> None:
        """Try again until nothing waits."""
        failures = 1
        while self.waiting:
            await asyncio.sleep(self._pauses[min(failures, len(self._pauses)) - 1] if failures else 0)
            batch = dict(list(self.waiting.items())[:_BATCH])
            try:
                await self._post(list(batch.values()))
            except httpx.HTTPError:
                failures += 1
                continue
            failures = 0
            for key, purge in batch.items():
                if self.waiting.get(key) == purge:
                    del self.waiting[key]

    async def _post(self, purges: Sequence[Purge]) -> None:
        """Raises ``httpx.HTTPError``."""
        for start in range(0, len(purges), _BATCH):
            rules = [
                {"kind": each.kind, "value": each.value, "generation": each.generation}
                for each in map(sayable, purges[start : start + _BATCH])
            ]
            body = _bytes(json.dumps(rules, ensure_ascii=False))
            (await self._client.post(self._url, content=body)).raise_for_status()
