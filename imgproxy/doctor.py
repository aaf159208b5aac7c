"""Whether a server with these settings would be well on this machine, finding by finding. For ``imgproxy doctor``."""

from __future__ import annotations

import os
import platform
import resource
import shutil
from typing import TYPE_CHECKING

from imgproxy import __version__
from imgproxy.caches.base import TierDown
from imgproxy.caches.connecting import connect
from imgproxy.errors import ImageError
from imgproxy.explanation import Step
from imgproxy.formats import FORMATS
from imgproxy.model import Deadline
from imgproxy.origins.configured import fallback, watermark
from imgproxy.origins.fetch import Origins
from imgproxy.overload.pressure import Groups
from imgproxy.render.pool import Pool
from imgproxy.render.settings import available_cpus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from imgproxy.settings import Settings

_PATIENCE_S = 5.0
_FEW_DESCRIPTORS = 4096
"""Half of them are for clients; the rest is originals, origins and render processes."""
_SHORT_KEY = 16
"""Bytes."""


async def examine(settings: Settings) -> AsyncGenerator[Step]:
    """The findings, as they are made. Starts a render process, and asks Redis and origins what a server would."""
    yield Step("version", f"imgproxy-server {__version__}, Python {platform.python_version()}, {platform.machine()}")
    for warning in settings.warnings:
        yield Step("settings", warning, good=False, remedy="Correct or remove the variable.")
    for step in (*_signing(settings), *_machine(), *_files(settings)):
        yield step
    async for step in _rendering(settings):
        yield step
    async for step in _pictures(settings):
        yield step
    if url := settings.cache.redis_url.get_secret_value():
        yield await _redis(url)


def _signing(settings: Settings) -> Iterator[Step]:
    keys = settings.signing.key
    if not keys:
        remedy = "Set IMGPROXY_KEY and IMGPROXY_SALT: `openssl rand -hex 32` makes one."
        yield Step("signing keys", "none: whoever can reach the server can use it", good=False, remedy=remedy)
    elif min(map(len, keys)) < _SHORT_KEY:
        yield Step("signing keys", "one has fewer than 16 bytes", good=False, remedy="Use keys of 32 random bytes.")
    else:
        yield Step("signing keys", str(len(keys)))
    if settings.signing.signature_size < _SHORT_KEY:
        text = f"{settings.signing.signature_size} bytes: few enough to be found by trying"
        yield Step("signatures", text, good=False, remedy="Set IMGPROXY_SIGNATURE_SIZE to 16 or more.")
    if not settings.origin.allowed_sources:
        yield Step("allowed sources", "any public one; IMGPROXY_ALLOWED_SOURCES can name yours")


def _machine() -> Iterator[Step]:
    yield Step("CPUs", str(available_cpus()))
    used = Groups.own().used()
    yield Step("memory limit", "none" if used is None else f"{100 * used:.0f} % of it in use")
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    remedy = "" if descriptors >= _FEW_DESCRIPTORS else "Raise it: `ulimit -n 65536`, LimitNOFILE= in systemd."
    yield Step("descriptors", f"at most {descriptors}", good=not remedy, remedy=remedy)


def _files(settings: Settings) -> Iterator[Step]:
    if root := settings.origin.local_filesystem_root:
        readable = os.access(root, os.R_OK | os.X_OK)
        remedy = "" if readable else "Let this user read the folder."
        yield Step("local files", root, good=readable, remedy=remedy)
    fonts = shutil.which("fc-list") is not None or os.path.isdir("/usr/share/fonts")  # noqa: PTH112
    remedy = "" if fonts else "Install fonts (fonts-dejavu-core) if SVGs have text."
    yield Step("fonts", "there are some" if fonts else "none: text in SVGs stays empty", good=fonts, remedy=remedy)


async def _rendering(settings: Settings) -> AsyncGenerator[Step]:
    pool = Pool(1, budget=settings.pool.budget, require_sandbox=settings.pool.require_sandbox)
    try:
        await pool.start()
        await pool.probe(Deadline.after(_PATIENCE_S))
    except (ImageError, OSError) as error:
        yield Step("rendering", str(error), good=False, remedy="Install the package anew, with its libvips.")
        return
    else:
        yield Step("rendering", "a picture in every format was rendered")
        missing = pool.sandbox.missing
        remedy = ""
        if missing:
            remedy = "A newer kernel (5.13 for landlock), or a container that allows it; docs/security.md tells more."
        yield Step("sandbox", str(pool.sandbox), good=not missing, remedy=remedy)
    finally:
        await pool.aclose()
    yield Step("reads", ", ".join(each.name for each in FORMATS if each.readable))
    yield Step("writes", ", ".join(each.name for each in FORMATS if each.writable))


async def _pictures(settings: Settings) -> AsyncGenerator[Step]:
    """The watermark and the fallback image, which are fetched when they are first needed: too late to be missed."""
    origins = Origins(settings.origin)
    try:
        for name, picture in (
            ("watermark", watermark(origins, settings.configured)),
            ("fallback image", fallback(origins, settings.configured)),
        ):
            if not picture:
                continue
            try:
                source = await picture.source(Deadline.after(_PATIENCE_S))
            except ImageError as error:
                yield Step(name, str(error), good=False, remedy=error.remedy)
            else:
                source.close()
                yield Step(name, f"{source.size} bytes")
            picture.close()
    finally:
        await origins.aclose()


async def _redis(url: str) -> Step:
    shards = connect(url, timeout=_PATIENCE_S, slow=None)
    try:
        await shards.call("imgproxy:doctor", lambda client: client.exists("imgproxy:doctor"))
    except TierDown as error:
        remedy = "The server works without it, and makes more renders. Check IMGPROXY_REDIS_URL."
        return Step("Redis", str(error), good=False, remedy=remedy)
    finally:
        await shards.aclose()
    return Step("Redis", "answers")
